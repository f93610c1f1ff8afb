"""Thresholds by what they cost the innocent: a share of benign texts that may be flagged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("partial_auroc", "recall_at", "threshold_at")

HIGHEST = 0.05
"""False positives that a guard could be used with, at most."""


def threshold_at(benign: NDArray[Any], rate: float) -> float:
    """The score from which at most `rate` of these benign scores are flagged, half-way to the next higher one (to 1
    above the highest); 0.5 where there are none.

    >>> threshold_at(np.array([0.1, 0.2, 0.3, 0.7]), 0.25)
    0.5
    """
    if not len(benign):
        return 0.5
    ordered = np.sort(np.asarray(benign, dtype=np.float64))[::-1]
    allowed = int(rate * len(ordered) + 1e-9)
    if allowed >= len(ordered):
        return float(ordered[-1])
    refused = float(ordered[allowed])  # the highest that must pass, and all that equal it
    above = ordered[ordered > refused]
    upper = float(above[-1]) if len(above) else max(1.0, refused)
    return max((refused + upper) / 2, float(np.nextafter(refused, np.inf)))


def recall_at(attacks: NDArray[Any], benign: NDArray[Any], rate: float) -> float:
    """Share of the attacks that score above the threshold for `rate` on these benign texts themselves."""
    return float((np.asarray(attacks) >= threshold_at(benign, rate)).mean())


def partial_auroc(scores: NDArray[Any], truth: NDArray[Any]) -> float | None:
    """AUROC up to 5 % false positives, scaled to 0.5 (chance) to 1 (McClish, 1989); None of one class alone."""
    from sklearn.metrics import roc_auc_score

    yes = np.asarray(truth) >= 0.5
    return None if yes.all() or not yes.any() else round(float(roc_auc_score(yes, scores, max_fpr=HIGHEST)), 4)
