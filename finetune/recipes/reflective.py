"""Reflective: a generator that says when to retrieve, and judges what it reads and writes, with tokens of its own.

    rows        answers cut into segments, judged by our trained critics; passages good and bad
    training    next-token loss without the passages, span by span; LoRA and the fifteen new rows of the vocabulary
    chosen by   loss on dev documents
    measured    share of outputs in grammar, agreement with the critics about relevance, support and use

The generator of Asai et al., 2023, "Self-RAG", https://arxiv.org/abs/2310.11511. The result loads as `reflective:PATH`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...models.reflections import REFLECTIVE_PROMPT
from ...models.specs import TrainedRole
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..options import Method, Tell, TrainOptions, own_options
from ..recipe import Built, Outcome

__all__ = ("DEFAULTS", "METHODS", "ROLE", "SUMMARY", "ReflectiveOptions", "build", "train")

ROLE: TrainedRole = "reflective"
SUMMARY = "question to an answer with reflection tokens: when to retrieve, what is relevant, supported, useful"
METHODS: tuple[Method, ...] = ("lora", "qlora", "full")
DEV_ROWS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class ReflectiveOptions(TrainOptions):
    """What a reflective generator may be told besides."""

    critics: Any = ()
    """Names such as `support:PATH`; a role that is not named is the bundled one. Or an object with their methods."""
    answer_tokens: int = 80
    """Tokens that may be written between two retrievals when it is measured."""
    measured: int = 200
    """Rows of the test part that are answered."""

    def __post_init__(self) -> None:
        TrainOptions.__post_init__(self)
        for name in ("answer_tokens", "measured"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)!r}", hint="use a positive number")
        if self.method not in METHODS:
            raise UsageError(
                f"the method {self.method!r} cannot teach new tokens", hint=f"use one of {', '.join(METHODS)}"
            )


DEFAULTS = ReflectiveOptions(
    base="bundled:smollm2",
    method="lora",
    epochs=2.0,
    batch_size=8,
    accumulate=2,
    learning_rate=1e-3,
    schedule="cosine",
    warmup=0.05,
    rank=16,
    max_tokens=384,
    evaluations=4,
)


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Segments of the answers of all question sets, judged by the critics; and files of rows."""
    from ..data.build import build_parts
    from ..data.reflections import critics_of, reflective_rows

    given = own_options(options, ReflectiveOptions)
    critics = critics_of(given.critics, device=given.device)

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return reflective_rows(sources, critics, out=out, seed=given.seed, tell=tell, limit=given.per_set)

    told = getattr(critics, "fingerprint", type(critics).__name__)
    return build_parts(ROLE, data, out, given, tell, rows, told)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Trains on the train part and lets the critics judge what is written to the test part."""
    from ..causal_base import base_folder, load_base, load_tokenizer
    from ..causal_training import check_size, examples, part_rows, train_causal
    from ..data.reflections import critics_of
    from ..forgetting import language_change, negative_log_likelihood
    from ..reflecting import add_reflection_tokens, reflect, reflective_example, score_reflections, widen

    given = own_options(options, ReflectiveOptions)
    folder = base_folder(given.base, tell=tell)
    critics = critics_of(given.critics, device=given.device)
    tokenizer = load_tokenizer(folder)
    ids = add_reflection_tokens(tokenizer)
    check_size(folder, given, {"trainable_token_indices": {"embed_tokens": ids}} if given.method != "full" else {})

    def encode(row: TrainingRow) -> Any:
        return reflective_example(tokenizer, row, given.max_tokens)

    rows = part_rows(built, ROLE, "train")
    learnt, too_long = examples(rows, encode, tell, "train")
    looked_at, _ = examples(part_rows(built, ROLE, "dev", DEV_ROWS, given.seed), encode, tell, "dev")
    test = part_rows(built, ROLE, "test", given.measured, given.seed)

    model = load_base(folder, given)
    before = negative_log_likelihood(model, tokenizer)
    widened = widen(model, tokenizer, ids)
    extra = {} if given.method == "full" else {"trainable_token_indices": widened}
    parts = {"train": learnt, "dev": looked_at}
    trained = train_causal(model, tokenizer, parts, out, given, tell, extra=extra)  # type: ignore[arg-type]
    said = reflect(trained.model, tokenizer, test, max_new_tokens=given.answer_tokens, tell=tell)
    metrics: dict[str, Any] = {"test": score_reflections(test, said, critics)} if test else {}
    metrics["general"] = language_change(before, negative_log_likelihood(trained.model, tokenizer))
    return Outcome(
        inputs=REFLECTIVE_PROMPT,
        metrics=metrics,
        settings={
            **trained.settings,
            "too_long": too_long,
            "critics": getattr(critics, "fingerprint", type(critics).__name__),
        },
        curves=tuple(trained.log),
        files=trained.files,
    )
