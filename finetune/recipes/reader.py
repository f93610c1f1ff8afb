"""Extractive reader: which words of which passage answer a question, or that none do.

    rows        those of the drafter: gold passage among hard negatives, the answer and the sentence that carries it
    training    beginning and end of the answer in each passage, or none; LoRA on every linear layer of a small encoder
    chosen by   loss on dev documents; the score from which it answers by SQuAD 2.0's own measure on them
    measured    F1, exact match, containment on unseen documents, right abstentions, the passage that it takes

As in Devlin et al., 2019, "BERT", https://arxiv.org/abs/1810.04805, section 4.3, over the passages of a retriever as in
Karpukhin et al., 2020, "DPR", https://arxiv.org/abs/2004.04906, section 6.1. The result loads as `reader:PATH`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import UsageError
from ...models.specs import TrainedRole
from ..data.parts import Part
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..options import Method, Tell, TrainOptions, own_options
from ..recipe import Built, Outcome

__all__ = ("DEFAULTS", "METHODS", "ROLE", "SUMMARY", "ReaderOptions", "build", "train")

ROLE: TrainedRole = "reader"
SUMMARY = "question and passages to the words that answer, or to none: reads in milliseconds, writes nothing of its own"
METHODS: tuple[Method, ...] = ("lora", "freeze", "full")
DEV_ROWS = 300
"""Looked at several times in a training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderOptions(TrainOptions):
    """What an extractive reader may be told besides."""

    unanswerable: float = 0.2
    """Share of the questions without an answer in their passages."""
    kept_rank: int = 16
    """Of LoRA: what is left of its rank when it is stored (`shrinking`)."""
    measured: int = 1000
    """Rows of dev and of test part that are answered."""

    def __post_init__(self) -> None:
        TrainOptions.__post_init__(self)
        for name in ("measured", "kept_rank"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name} is {getattr(self, name)!r}", hint="use a positive number")
        if not 0 <= self.unanswerable < 1:
            raise UsageError(f"unanswerable is {self.unanswerable!r}", hint="use a share from 0 to below 1")


DEFAULTS = ReaderOptions(epochs=2.0, batch_size=32, learning_rate=1e-3, warmup=0.06, rank=32, max_tokens=320)


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Rows of all question sets, of traces that were found good, and of files of rows."""
    from ..data.build import build_parts
    from ..data.drafts import draft_rows

    given = own_options(options, ReaderOptions)

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return draft_rows(
            sources, out=out, seed=given.seed, tell=tell, limit=given.per_set, unanswerable=given.unanswerable
        )

    return build_parts(ROLE, data, out, given, tell, rows, given.unanswerable)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Trains on the train part, chooses the threshold on the dev part, and measures the test part."""
    from ...models.extractive import ExtractiveReader
    from ...models.extractive_chat import ExtractiveChatModel
    from ..abstaining import answers_of, best_threshold, told_of_parts
    from ..causal_training import part_rows
    from ..drafting import mean_scores, score_drafts
    from ..processes import is_main, wait_for_all
    from ..shrinking import shrink_adapter
    from ..span_training import INPUTS, forgotten, span_pairs, train_spans

    given = own_options(options, ReaderOptions)
    learnt, lost = span_pairs(part_rows(built, ROLE, "train"))
    looked_at, _ = span_pairs(part_rows(built, ROLE, "dev", DEV_ROWS, given.seed))
    trained = train_spans(learnt, looked_at, out, given, tell)
    kept = shrink_adapter(out, given.kept_rank) if given.method == "lora" and is_main() else 1.0
    wait_for_all()
    tell("measuring", 0, None)
    model = ExtractiveChatModel(
        reader=ExtractiveReader.of(trained.artifact, device=given.device, dtype=given.precision)
    )
    parts: tuple[Part, ...] = ("dev", "test")
    rows = {part: part_rows(built, ROLE, part, given.measured, given.seed) for part in parts}
    said = {part: answers_of(model, own, f"reading, {part} rows", tell) for part, own in rows.items()}
    found = {part: [each.said for each in own] for part, own in said.items()}
    thresholds = {"abstain_below": best_threshold(found["dev"])} if found["dev"] else {}
    scores = score_drafts(rows["test"], [each.text for each in said["test"]])
    metrics: dict[str, Any] = {"reader": mean_scores(rows["test"], scores), "general": forgotten(out, given)}
    if thresholds:
        metrics["abstaining"] = told_of_parts(found, thresholds["abstain_below"])
    metrics["sets"] = {}
    for name in sorted({row["origin"]["set"] for row in rows["test"]}):
        inside = [i for i, row in enumerate(rows["test"]) if row["origin"]["set"] == name]
        metrics["sets"][name] = mean_scores([rows["test"][i] for i in inside], [scores[i] for i in inside])
    return Outcome(
        inputs=INPUTS,
        metrics=metrics,
        thresholds=thresholds,
        settings={**trained.settings, "rows_without_span": lost, "kept_change": round(kept, 4)},
        curves=trained.curves,
        files=trained.files,
    )
