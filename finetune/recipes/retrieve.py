"""Retrieval critic (Self-RAG's Retrieve): must anything be looked up to answer a question?

Asai et al., 2023, "Self-RAG", https://arxiv.org/abs/2310.11511, table 1. The question is the first text of the pair,
the second one is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...models.specs import TrainedRole
from ..data.build import build_parts
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..data.utility import retrieval_need_rows
from ..options import Method, PairOptions, Tell, TrainOptions
from ..pair_metrics import auroc, balanced_accuracy, by_set, threshold_of
from ..pair_rows import Examples, PairTask
from ..pair_training import train_pairs
from ..recipe import Built, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLE: TrainedRole = "retrieve"
SUMMARY = "question to whether anything must be looked up"
METHODS: tuple[Method, ...] = ("lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")
DEFAULTS = PairOptions(method="lora", rank=16, learning_rate=5e-4, max_tokens=96, batch_size=64, epochs=1.0)


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Questions about documents, and others that need none."""

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return retrieval_need_rows(sources, limit=options.per_set, seed=options.seed, tell=tell)

    return build_parts(ROLE, data, out, options, tell, rows)


def measure(examples: Examples, probabilities: NDArray[Any]) -> dict[str, float | None]:
    """AUROC, and accuracy at one half."""
    scores, truth = probabilities[:, 0], examples.targets
    right = (scores >= 0.5) == (truth >= 0.5)
    return {"auroc": auroc(scores, truth), "accuracy": round(float(right.mean()), 4)}


TASK = PairTask(
    role=ROLE,
    labels=("yes",),
    inputs="question [SEP]",
    pair=lambda row: (row["question"], ""),
    target=lambda row: float(row["label"] == "yes"),
    measure=measure,
    metric="auroc",
)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Binary cross-entropy; Platt scaling and the threshold on the dev part; everything else on the test part."""
    trained = train_pairs(built, TASK, out, options, tell)
    dev, test = trained.dev, trained.test
    threshold = threshold_of(dev.probabilities[:, 0], dev.examples.targets >= 0.5)
    decided, truth = test.probabilities[:, 0] >= threshold, test.examples.targets >= 0.5
    sets, macro = by_set(balanced_accuracy, test.examples.sets, decided, truth)
    metrics = {
        **measure(test.examples, test.probabilities),
        "balanced_accuracy": balanced_accuracy(decided, truth),
        "balanced_accuracy_sets": macro,
        "sets": sets,
    }
    return trained.outcome(metrics, thresholds={"yes": threshold})
