"""Measures of classifiers of pairs, over all rows and as the mean over data sets: a big set does not hide a bad one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evals.retrieval import score_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = (
    "LEAST",
    "auroc",
    "balanced_accuracy",
    "by_set",
    "macro_f1",
    "mean_ndcg",
    "rank_correlation",
    "set_weights",
    "threshold_of",
)

LEAST = 30
"""Rows from which the measure of a set is worth its part in a mean over sets."""

Metric = Callable[["NDArray[Any]", "NDArray[Any]"], "float | None"]
"""Of predictions and truth; None where it is not defined, such as the AUROC of one class."""


def auroc(scores: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """How often a positive row scores above a negative one."""
    from sklearn.metrics import roc_auc_score

    yes = np.asarray(truth) >= 0.5
    return None if yes.all() or not yes.any() else round(float(roc_auc_score(yes, scores)), 4)


def balanced_accuracy(decided: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """Mean of the shares of positive and of negative rows that are decided rightly."""
    decided, truth = np.asarray(decided, dtype=bool), np.asarray(truth, dtype=bool)
    if truth.all() or not truth.any():
        return None
    return round(float((decided[truth].mean() + (~decided[~truth]).mean()) / 2), 4)


def macro_f1(decided: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """Mean F1 over the classes that occur."""
    from sklearn.metrics import f1_score

    return round(float(f1_score(truth, decided, average="macro", zero_division=0)), 4) if len(truth) else None


def rank_correlation(scores: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """Spearman's."""
    from scipy.stats import spearmanr

    if len(truth) < 2 or np.ptp(scores) == 0 or np.ptp(truth) == 0:
        return None
    return round(float(spearmanr(scores, truth).statistic), 4)


def mean_ndcg(scores: Sequence[float] | NDArray[Any], truth: NDArray[Any], groups: Sequence[Hashable]) -> float | None:
    """nDCG@10 of the rows of each group ordered by score; groups without a relevant row say nothing."""
    keys: dict[Hashable, str] = {}
    runs: dict[str, dict[str, float]] = {}
    qrels: dict[str, dict[str, int]] = {}
    for row, (score, label, group) in enumerate(zip(scores, truth, groups, strict=True)):
        key = keys.setdefault(group, str(len(keys)))
        runs.setdefault(key, {})[str(row)] = float(score)
        qrels.setdefault(key, {})[str(row)] = int(label >= 0.5)
    runs = {key: run for key, run in runs.items() if any(qrels[key].values())}
    if not runs:
        return None
    found = score_runs(runs, qrels)
    return round(float(np.mean([each["ndcg@10"] for each in found.values()])), 4)


def by_set(
    metric: Metric, sets: Sequence[str], predicted: NDArray[Any], truth: NDArray[Any]
) -> tuple[dict[str, float], float | None]:
    """The metric of each set that has one, and the mean over those of `LEAST` rows; if none has them, over all."""
    names = np.asarray(sets)
    found: dict[str, float] = {}
    for name in sorted(set(sets)):
        value = metric(predicted[names == name], truth[names == name])
        if value is not None:
            found[name] = value
    counted = [value for name, value in found.items() if (names == name).sum() >= LEAST] or [*found.values()]
    return found, round(float(np.mean(counted)), 4) if counted else None


def set_weights(sets: Sequence[str], truth: NDArray[Any]) -> NDArray[np.float64]:
    """Weights with which a balanced accuracy over all rows is the mean of those of the sets.

    Sets of one class, or of fewer than `LEAST` rows, have no part in it; where that leaves none, all rows count alike.
    """
    names, yes = np.asarray(sets), np.asarray(truth, dtype=bool)
    weights = np.zeros(len(yes))
    for name in set(sets):
        inside = names == name
        counts = (inside & yes).sum(), (inside & ~yes).sum()
        if inside.sum() >= LEAST and min(counts):
            weights[inside] = np.where(yes[inside], 1 / counts[0], 1 / counts[1])
    return weights if weights.any() else np.ones(len(yes))


def threshold_of(
    scores: NDArray[Any], truth: NDArray[Any], *, default: float = 0.5, weights: NDArray[Any] | None = None
) -> float:
    """The score from which yes is decided, with the best balanced accuracy; of equal ones the nearest to `default`.

    `weights` of the rows: by `set_weights` no big set decides for the others.

    >>> threshold_of(np.array([0.1, 0.2, 0.6, 0.7]), np.array([0, 0, 1, 1]))
    0.4
    """
    from sklearn.metrics import roc_curve

    yes = np.asarray(truth, dtype=bool)
    if yes.all() or not yes.any():
        return default
    if weights is not None and (weights > 0).any():
        scores, yes, weights = scores[weights > 0], yes[weights > 0], weights[weights > 0]
    missed, found, _ = roc_curve(yes, scores, sample_weight=weights, drop_intermediate=False)
    values = np.unique(np.asarray(scores, dtype=np.float64))[::-1]
    # Between the score that is still yes and the next lower one; the curve's first point takes none.
    cuts = np.concatenate([[values[0] + 1], (values[:-1] + values[1:]) / 2, [values[-1]]])
    gain = found - missed
    best = np.flatnonzero(gain > gain.max() - 1e-12)
    return float(min(cuts[best], key=lambda cut: abs(cut - default)))
