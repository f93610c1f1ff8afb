"""Evaluator of Corrective RAG: question and passage to the probability that the passage answers the question.

Yan et al., 2024, "Corrective Retrieval Augmented Generation", https://arxiv.org/abs/2401.15884, train one on titles of
one data set; it learned to match titles. This one learns from several sets, with negatives that our own retriever took
for good ones, is calibrated, and brings the two thresholds that the actions of the paper are decided by.

    made=0.5          so many queries made of the passages (titles, statements, keywords) beside each question
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.pair_text import passage_text
from ...models.specs import TrainedRole
from ..data.build import build_parts
from ..data.made_queries import check_made
from ..data.relevance import relevance_rows
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..options import Method, PairOptions, Tell, TrainOptions, own_options
from ..pair_metrics import auroc, by_set
from ..pair_rows import Examples, PairTask
from ..pair_training import Scored, train_pairs
from ..recipe import Built, Outcome
from ..thresholds import Scored as Passages
from ..thresholds import fit_thresholds, measure_thresholds

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLE: TrainedRole = "evaluator"
SUMMARY = "question and passage to calibrated relevance, with the thresholds of Corrective RAG"
METHODS: tuple[Method, ...] = ("lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatorOptions(PairOptions):
    """What an evaluator may be told besides."""

    made: float = 0.0
    """Queries made of the passages themselves for each question that is trained on; 0 for questions alone."""

    def __post_init__(self) -> None:
        PairOptions.__post_init__(self)
        check_made(self.made)


DEFAULTS = EvaluatorOptions(method="lora", rank=16, learning_rate=5e-4, max_tokens=288, batch_size=32, epochs=1.0)


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Gold passages, hard negatives of our retriever, random ones, questions without an answer, and made queries."""
    made = own_options(options, EvaluatorOptions).made

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return relevance_rows(
            sources, out=out, role="evaluator", limit=options.per_set, made=made, seed=options.seed, tell=tell
        )

    return build_parts(ROLE, data, out, options, tell, rows, made)


def measure(examples: Examples, probabilities: NDArray[Any]) -> dict[str, float | None]:
    """AUROC over all rows and as the mean over sets; accuracy at one half."""
    scores, truth = probabilities[:, 0], examples.targets
    _, macro = by_set(auroc, examples.sets, scores, truth)
    right = (scores >= 0.5) == (truth >= 0.5)
    whole = auroc(scores, truth)
    mean = whole if macro is None else macro  # each set may be of one class
    return {"auroc": whole, "auroc_sets": mean, "accuracy": round(float(right.mean()), 4)}


TASK = PairTask(
    role=ROLE,
    labels=("relevant",),
    inputs="question [SEP] title: passage",
    pair=lambda row: (row["question"], passage_text(row["passage"], str(row.get("title") or ""))),
    target=lambda row: float(row["label"]),
    measure=measure,
    metric="auroc_sets",
)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Binary cross-entropy; Platt scaling and thresholds on the dev part; everything else on the test part."""
    trained = train_pairs(built, TASK, out, options, tell)
    chosen = fit_thresholds(_passages(trained.dev))
    there = measure_thresholds(_passages(trained.test), chosen.lower, chosen.upper)
    for warning in there.warnings:
        tell(f"warning: {warning}", 0, None)
    test = trained.test
    sets, _ = by_set(auroc, test.examples.sets, test.probabilities[:, 0], test.examples.targets)
    metrics = {
        **measure(test.examples, test.probabilities),
        "sets": sets,
        "actions": there.report(),
        "actions_dev": chosen.report(),
    }
    return trained.outcome(metrics, thresholds={"lower": chosen.lower, "upper": chosen.upper})


def _passages(scored: Scored) -> dict[str, Passages]:
    """Question to its passages: score, and whether it is gold."""
    found: dict[str, list[tuple[float, bool]]] = {}
    columns = (scored.examples.questions, scored.probabilities[:, 0], scored.examples.targets)
    for question, score, target in zip(*columns, strict=True):
        found.setdefault(str(question), []).append((float(score), bool(target >= 0.5)))
    return dict(found)
