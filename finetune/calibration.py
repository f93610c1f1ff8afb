"""Probabilities that mean what they say: a scale and shifts for logits, fitted on the dev part.

One logit: Platt scaling (Platt, 1999, "Probabilistic Outputs for Support Vector Machines"), with his smoothed targets.
Several: a temperature (Guo et al., 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599)
and a shift for each class, because the classes of training data are seldom as frequent as those of use. The scale is
positive, so that no order changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..models.artifacts import Calibration

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("BINS", "expected_calibration_error", "fit_calibration", "reliability")

BINS = 15
"""Bins of equal width, as Guo et al. use them."""
_RIDGE = 1e-6  # on shifts: with several classes one more than needed
_BOUND = 5.0  # of the logarithm of the scale


def fit_calibration(logits: NDArray[Any], targets: NDArray[Any], *, weights: NDArray[Any] | None = None) -> Calibration:
    """Scale and shifts that make `targets` most likely.

    `logits` is `(n, labels)`; `targets` are shares of yes (one label) or class numbers; `weights`, `(n,)`, how much
    each row counts, all alike by default. Raises `UsageError` where there are no rows.
    """
    from scipy.optimize import minimize

    values = np.asarray(logits, dtype=np.float64)
    if not len(values):
        raise UsageError("there is no row to calibrate on", hint="the dev part is empty: give more documents")
    wanted = _smoothed(np.asarray(targets), values.shape[1])
    columns = values if values.shape[1] > 1 else np.hstack([np.zeros_like(values), values])
    free = slice(None) if values.shape[1] > 1 else slice(1, None)
    given = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    counts = (given / given.sum())[:, None]

    def cost(settings: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        scale, shift = np.exp(settings[0]), np.zeros(columns.shape[1])
        shift[free] = settings[1:]
        moved = scale * columns + shift
        moved -= moved.max(axis=1, keepdims=True)
        logs = moved - np.log(np.exp(moved).sum(axis=1, keepdims=True))
        wrong = (np.exp(logs) - wanted) * counts
        slope = np.concatenate([[scale * (wrong * columns).sum()], wrong.sum(axis=0)[free] + 2 * _RIDGE * settings[1:]])
        return float(-(counts * wanted * logs).sum() + _RIDGE * (settings[1:] ** 2).sum()), slope

    start = np.zeros(1 + values.shape[1])
    bounds = [(-_BOUND, _BOUND)] + [(None, None)] * values.shape[1]
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return Calibration(scale=float(np.exp(found[0])), shift=tuple(float(value) for value in found[1:]))


def expected_calibration_error(probabilities: NDArray[Any], labels: NDArray[Any], *, bins: int = BINS) -> float:
    """Mean distance of probability and frequency over bins, weighted by their rows: 0 (calibrated) to 1.

    One column: the probability of yes against the share of yes. Several: that of the likeliest class against how often
    it is right.

        >>> expected_calibration_error(np.array([0.8, 0.8, 0.8, 0.8]), np.array([1, 1, 1, 0]))
        0.05
    """
    found = reliability(probabilities, labels, bins=bins)
    rows = sum(each["rows"] for each in found)
    return round(sum(each["rows"] * abs(each["said"] - each["seen"]) for each in found) / max(rows, 1), 6)


def reliability(probabilities: NDArray[Any], labels: NDArray[Any], *, bins: int = BINS) -> list[dict[str, float]]:
    """The bins that have rows, for the card: from, to, rows, mean probability (`said`), frequency (`seen`)."""
    said, seen = _told(np.asarray(probabilities, dtype=np.float64), np.asarray(labels))
    edges = np.linspace(0, 1, bins + 1)
    which = np.clip(np.searchsorted(edges, said, side="right") - 1, 0, bins - 1)
    found = []
    for number in np.unique(which):
        inside = which == number
        found.append(
            {
                "from": round(float(edges[number]), 6),
                "to": round(float(edges[number + 1]), 6),
                "rows": int(inside.sum()),
                "said": float(said[inside].mean()),
                "seen": float(seen[inside].mean()),
            }
        )
    return found


def _told(probabilities: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if probabilities.ndim == 1 or probabilities.shape[1] == 1:
        return probabilities.reshape(-1), labels.astype(np.float64)
    return probabilities.max(axis=1), (probabilities.argmax(axis=1) == labels).astype(np.float64)


def _smoothed(targets: NDArray[Any], labels: int) -> NDArray[Any]:
    """Shares of each class, as if one row more of every class had been seen: separable data has no infinite scale."""
    if labels == 1:
        yes, no = float(targets.sum()), float((1 - targets).sum())
        share = targets * (yes + 1) / (yes + 2) + (1 - targets) / (no + 2)
        return np.stack([1 - share, share], axis=1)
    counts = np.bincount(targets.astype(int), minlength=labels)
    spare = (labels - 1) / (counts[targets.astype(int)] + labels)
    wanted = np.repeat((spare / (labels - 1))[:, None], labels, axis=1)
    wanted[np.arange(len(targets)), targets.astype(int)] = 1 - spare
    return wanted
