"""Utility critic (Self-RAG's IsUse): how useful is an answer to its question, from 1 (useless) to 5?

Asai et al., 2023, "Self-RAG", https://arxiv.org/abs/2310.11511, table 1. Judged without passages: a useful answer may
be unsupported, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...models.specs import TrainedRole
from ..data.build import build_parts
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..data.utility import utility_rows
from ..options import Method, PairOptions, Tell, TrainOptions
from ..pair_metrics import by_set, macro_f1, rank_correlation
from ..pair_rows import Examples, PairTask
from ..pair_training import train_pairs
from ..recipe import Built, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLE: TrainedRole = "utility"
SUMMARY = "question and answer to usefulness from 1 to 5"
METHODS: tuple[Method, ...] = ("lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")
DEFAULTS = PairOptions(method="lora", rank=16, learning_rate=5e-4, max_tokens=192, batch_size=32, epochs=1.0)
LABELS = ("1", "2", "3", "4", "5")
VALUES = np.array([float(label) for label in LABELS])


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Answers of every usefulness, made of answered questions, and rated ones from traces."""

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return utility_rows(sources, limit=options.per_set, seed=options.seed, tell=tell)

    return build_parts(ROLE, data, out, options, tell, rows)


def measure(examples: Examples, probabilities: NDArray[Any]) -> dict[str, float | None]:
    """Rank correlation of the expected utility; accuracy of the likeliest label, exact and within one."""
    expected = probabilities @ VALUES
    truth = VALUES[examples.targets.astype(int)]
    decided = VALUES[probabilities.argmax(axis=1)]
    return {
        "spearman": rank_correlation(expected, truth),
        "within_one": round(float((np.abs(decided - truth) <= 1).mean()), 4),
        "accuracy": round(float((decided == truth).mean()), 4),
        "macro_f1": macro_f1(decided, truth),
        "mean_error": round(float(np.abs(expected - truth).mean()), 4),
    }


TASK = PairTask(
    role=ROLE,
    labels=LABELS,
    inputs="question [SEP] answer",
    pair=lambda row: (row["question"], row["answer"]),
    target=lambda row: float(LABELS.index(str(row["label"]))),
    measure=measure,
    metric="spearman",
)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Cross-entropy over five classes; temperature on the dev part; everything else on the test part."""
    trained = train_pairs(built, TASK, out, options, tell)
    test = trained.test
    truth = VALUES[test.examples.targets.astype(int)]
    sets, _ = by_set(rank_correlation, test.examples.sets, test.probabilities @ VALUES, truth)
    return trained.outcome({**measure(test.examples, test.probabilities), "sets": sets})
