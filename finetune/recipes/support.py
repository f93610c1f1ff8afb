"""Support critic (Self-RAG's IsSup): does a passage support a claim fully, partially, or not at all?

Asai et al., 2023, "Self-RAG", https://arxiv.org/abs/2310.11511, section 3; the same judgement is groundedness where
answers are checked. The claim stands after its question where there is one. What decides is the classifier and the
share of the claim's words that the passage holds, weighed as the dev part says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...graphs.common.support import held_share
from ...graphs.common.support_mixture import SupportMixture
from ...models.pair_text import claim_text, passage_text
from ...models.specs import TrainedRole
from ..data.build import build_parts
from ..data.claims import support_rows
from ..data.rows import TrainingRow
from ..data.sources import Sources
from ..options import Method, PairOptions, Tell, TrainOptions
from ..pair_metrics import auroc, balanced_accuracy, by_set, macro_f1, set_weights, threshold_of
from ..pair_rows import Examples, PairTask
from ..pair_training import Scored, train_pairs
from ..recipe import Built, Outcome

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROLE: TrainedRole = "support"
SUMMARY = "claim and passage to fully, partially or not supported"
METHODS: tuple[Method, ...] = ("lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full")
DEFAULTS = PairOptions(method="lora", rank=16, learning_rate=5e-4, max_tokens=288, batch_size=32, epochs=1.0)
LABELS = ("fully", "partially", "none")
FULLY = LABELS.index("fully")


def build(data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
    """Labelled claims, and claims made of answered questions: right, with another answer, against another passage."""

    def rows(sources: Sources) -> Iterator[TrainingRow]:
        return support_rows(sources, out=out, limit=options.per_set, seed=options.seed, tell=tell)

    return build_parts(ROLE, data, out, options, tell, rows)


def measure(examples: Examples, probabilities: NDArray[Any]) -> dict[str, float | None]:
    """Of fully supported against the rest the AUROC; of the three labels macro F1 and accuracy."""
    decided = probabilities.argmax(axis=1)
    fully = (examples.targets == FULLY).astype(float)
    _, macro = by_set(auroc, examples.sets, probabilities[:, FULLY], fully)
    whole = auroc(probabilities[:, FULLY], fully)
    return {
        "auroc": whole,
        "auroc_sets": whole if macro is None else macro,  # each set may be of one class
        "macro_f1": macro_f1(decided, examples.targets),
        "accuracy": round(float((decided == examples.targets).mean()), 4),
    }


TASK = PairTask(
    role=ROLE,
    labels=LABELS,
    inputs="question claim [SEP] title: passage",
    pair=lambda row: (
        claim_text(row["claim"], str(row.get("question") or "")),
        passage_text(row["passage"], str(row.get("title") or "")),
    ),
    target=lambda row: float(LABELS.index(row["label"])),
    measure=measure,
    metric="auroc_sets",
)


def train(built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
    """Cross-entropy; temperature, mixture with the words, and threshold on the dev part; the rest on the test part."""
    trained = train_pairs(built, TASK, out, options, tell)
    dev, test = trained.dev, trained.test
    mixture = fit_mixture(dev)
    right = dev.examples.targets == FULLY
    threshold = threshold_of(mixed(dev, mixture), right, weights=set_weights(dev.examples.sets, right))
    scores = mixed(test, mixture)
    decided = scores >= threshold
    truth = test.examples.targets == FULLY
    sets, macro = by_set(balanced_accuracy, test.examples.sets, decided, truth)
    metrics = {
        **measure(test.examples, test.probabilities),
        "auroc_sets_words": by_set(auroc, test.examples.sets, shares(test.examples), truth)[1],
        "auroc_sets_mixed": by_set(auroc, test.examples.sets, scores, truth)[1],
        "balanced_accuracy": balanced_accuracy(decided, truth),
        "balanced_accuracy_sets": macro,
        "sets": sets,
        "labels": {name: int(np.sum(test.examples.targets == at)) for at, name in enumerate(LABELS)},
    }
    settings = {"mixture": mixture.settings()} if mixture else None
    return trained.outcome(metrics, thresholds={"fully": threshold}, settings=settings)


def fit_mixture(dev: Scored) -> SupportMixture | None:
    """Of the classifier and the words, every set of the dev part counting as much; None where it orders them no better
    than the classifier alone.
    """
    right = dev.examples.targets == FULLY
    if right.all() or not right.any():
        return None
    alone = dev.probabilities[:, FULLY]
    weights = set_weights(dev.examples.sets, right)
    mixture = SupportMixture.fitted(alone, shares(dev.examples), right, weights / weights.mean())
    better = _order(mixed(dev, mixture), dev.examples) > _order(alone, dev.examples)
    return mixture if better else None


def mixed(scored: Scored, mixture: SupportMixture | None) -> NDArray[Any]:
    """Of each row the score that it is decided by."""
    alone = scored.probabilities[:, FULLY]
    return mixture.scores(alone, shares(scored.examples)) if mixture else alone


def shares(examples: Examples) -> NDArray[np.float64]:
    """Of each row the share of the claim's words that the passage holds."""
    found = [
        held_share(row["claim"], str(row.get("question") or ""), row["passage"], str(row.get("title") or ""))
        for row in examples.rows
    ]
    return np.array(found)


def _order(scores: NDArray[Any], examples: Examples) -> float:
    truth = (examples.targets == FULLY).astype(float)
    _, macro = by_set(auroc, examples.sets, scores, truth)
    return macro if macro is not None else auroc(scores, truth) or 0.0
