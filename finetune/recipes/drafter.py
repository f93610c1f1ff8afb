"""Drafter: question and passages to a rationale and a short answer, or to saying that they hold none.

    rows        gold passage among hard negatives, the sentence that carries the answer, the answer; a fifth without one
    training    next-token loss on the completion alone, LoRA on every linear layer of a small chat model
    chosen by   loss on dev documents
    measured    F1, exact match, containment on unseen documents, right abstentions; the base beside it, with the same
                passages, by the drafter's prompt and by the prompt that `ask` has for a short answer

The fine-tuned drafter of Wang et al., 2024, "Speculative RAG", https://arxiv.org/abs/2407.08223. The result loads as
`drafter:PATH`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...evals.files import write_whole
from ...evals.statistics import paired_difference
from ...models.artifacts import base_of
from ...models.drafts import DRAFTER_PROMPT
from ...models.specs import TrainedRole
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..options import Method, Tell, TrainOptions, own_options
from ..recipe import Built, Outcome

__all__ = ("DEFAULTS", "METHODS", "ROLE", "SUMMARY", "DrafterOptions", "build", "train")

ROLE: TrainedRole = "drafter"
SUMMARY = "question and passages to evidence and a short answer, or to none: a chat model that reads"
METHODS: tuple[Method, ...] = ("lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")
DEV_ROWS = 150
"""Looked at several times in a training: more would take longer than they tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrafterOptions(TrainOptions):
    """What a drafter may be told besides."""

    prompt_tokens: int = 256
    """Tokens of most prompts, about; a tenth have up to five passages of up to 200 words."""
    unanswerable: float = 0.2
    """Share of the rows without an answer."""
    counterfactual: float = 0.0
    """Share of the questions whose passage is made to say something else."""
    answer_tokens: int = 96
    """Tokens that an answer may have when it is measured."""
    measured: int = 200
    """Rows of the test part that are answered, by the base and by the trained model."""

    def __post_init__(self) -> None:
        TrainOptions.__post_init__(self)
        for name in ("prompt_tokens", "answer_tokens", "measured"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)!r}", hint="use a positive number")
        for name in ("unanswerable", "counterfactual"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)!r}", hint="use a share from 0 to below 1")


DEFAULTS = DrafterOptions(
    base="bundled:smollm2",
    method="lora",
    epochs=2.0,
    batch_size=1,  # of up to 1024 tokens, without any padding; on a CPU more at a time is no faster
    accumulate=16,
    learning_rate=7e-4,
    schedule="cosine",
    warmup=0.05,
    rank=8,
    max_tokens=1024,  # five passages, as `ask` hands them over
    evaluations=4,
)


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Drafts of all question sets, of traces that were found good, and of files of rows."""
    from ..data.build import build_parts
    from ..data.drafts import draft_rows

    given = own_options(options, DrafterOptions)

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return draft_rows(
            sources,
            out=out,
            seed=given.seed,
            tell=tell,
            limit=given.per_set,
            tokens=given.prompt_tokens,
            unanswerable=given.unanswerable,
            counterfactual=given.counterfactual,
        )

    told = (given.prompt_tokens, given.unanswerable, given.counterfactual)
    return build_parts(ROLE, data, out, given, tell, rows, *told)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Trains on the train part and measures the test part, base and trained."""
    from ..causal_base import base_folder, load_base, load_tokenizer
    from ..causal_training import check_size, examples, part_rows, train_causal
    from ..drafting import draft_example
    from ..forgetting import language_change, negative_log_likelihood

    given = own_options(options, DrafterOptions)
    folder = base_folder(given.base, tell=tell)
    check_size(folder, given, {})
    tokenizer = load_tokenizer(folder)

    def encode(row: TrainingRow) -> Any:
        made = draft_example(tokenizer, row, given.max_tokens)
        return made and made[0]

    rows = {
        "train": part_rows(built, ROLE, "train"),
        "dev": part_rows(built, ROLE, "dev", DEV_ROWS, given.seed),
    }
    test = part_rows(built, ROLE, "test", given.measured, given.seed)
    learnt, too_long = examples(rows["train"], encode, tell, "train")
    looked_at, _ = examples(rows["dev"], encode, tell, "dev")

    model = load_base(folder, given)
    exam = _Exam(tokenizer, test, given, tell)
    before = _remembered(
        out / "rows" / "base.json",
        [base_of(given.base)[1].sha256, given.answer_tokens, given.max_tokens, test],
        lambda: {
            "drafter": exam.answers(model, "the base, drafting"),
            "short": exam.answers(model, "the base, reading", plain=True),
            "nll": negative_log_likelihood(model, tokenizer),
        },
    )
    trained = train_causal(model, tokenizer, {"train": learnt, "dev": looked_at}, out, given, tell)
    after = exam.answers(trained.model, "the drafter")
    metrics = exam.report({"drafter": after, "base": before["drafter"], "base_short_prompt": before["short"]})
    metrics["general"] = language_change(before["nll"], negative_log_likelihood(trained.model, tokenizer))
    return Outcome(
        inputs=DRAFTER_PROMPT,
        metrics=metrics,
        settings={**trained.settings, "too_long": too_long},
        curves=tuple(trained.log),
        files=trained.files,
    )


class _Exam:
    """The test rows, put to one model after another with the same passages."""

    def __init__(self, tokenizer: Any, rows: Sequence[TrainingRow], options: DrafterOptions, tell: Tell) -> None:
        from ..drafting import draft_example

        self._tokenizer, self._options, self._tell = tokenizer, options, tell
        cut = [(row, draft_example(tokenizer, row, options.max_tokens)) for row in rows]
        self._rows = [(row, made[1]) for row, made in cut if made]

    def answers(self, model: Any, who: str, *, plain: bool = False) -> list[str]:
        """What a model says to each row."""
        from ..causal_training import prompt_ids
        from ..drafting import draft_prompt, reader_prompt
        from ..generation import greedy

        make = reader_prompt if plain else draft_prompt
        said = greedy(
            model,
            [prompt_ids(self._tokenizer, make(row, kept)) for row, kept in self._rows],
            max_new_tokens=self._options.answer_tokens,
            pad_id=self._tokenizer.pad_token_id,
            stop=[self._tokenizer.eos_token_id],
            tell=self._tell,
            task=f"{who}: test rows",
        )
        texts: list[str] = self._tokenizer.batch_decode(said, skip_special_tokens=True)
        return texts

    def report(self, said: dict[str, list[str]]) -> dict[str, Any]:
        """Means of each, of the first one by set, and its gain in F1 over the others with 95 % intervals."""
        from ..drafting import mean_scores, score_drafts

        shown = [self._shown(row, kept) for row, kept in self._rows]
        scores = {who: score_drafts(shown, texts) for who, texts in said.items()}
        report: dict[str, Any] = {who: mean_scores(shown, found) for who, found in scores.items()}
        (first, best), *others = scores.items()
        report["sets"] = {}
        for name in sorted({row["origin"]["set"] for row in shown}):
            inside = [i for i, row in enumerate(shown) if row["origin"]["set"] == name]
            report["sets"][name] = mean_scores([shown[i] for i in inside], [best[i] for i in inside])
        for who, found in others:
            left, right = ({str(i): s["f1"] for i, s in enumerate(each) if "f1" in s} for each in (best, found))
            gain = paired_difference(left, right, seed=self._options.seed)
            report[f"{first}_minus_{who}_f1"] = {name: round(float(value), 4) for name, value in gain.items()}  # type: ignore[arg-type]
        return report

    def _shown(self, row: TrainingRow, kept: Sequence[int]) -> TrainingRow:
        from ..drafting import right_draft

        cited = right_draft(row, kept).cited
        passages = [row["passages"][place] for place in kept]
        return {**row, "passages": passages, "gold": cited[0] - 1 if cited else -1}


def _remembered(path: Path, key: object, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an interrupted run has found out about the base already."""
    mark = hashlib.sha256(json.dumps(key, sort_keys=True).encode("utf-8", "replace")).hexdigest()
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if kept["key"] == mark:
            return dict(kept["found"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    found = make()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps({"key": mark, "found": found}))
    return found
