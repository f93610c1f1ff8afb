"""Fusing rankings: rank fusion and relative-score fusion, over stable ids.

A ranking is a mapping {id: score}, best first. Both functions return a new ranking, best first, with deterministic
ties (the order of first appearance over the given rankings), and never touch what they are given.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

__all__ = ("reciprocal_rank_fusion", "relative_score_fusion")

Id = TypeVar("Id", bound=Hashable)


def reciprocal_rank_fusion(
    rankings: Sequence[Mapping[Id, float]], *, weights: Sequence[float] | None = None, k: int = 60
) -> dict[Id, float]:
    """Reciprocal rank fusion: score(d) = sum of weight / (k + rank), ranks from 1.

    Source: Cormack, Clarke and Buettcher, SIGIR 2009 (k = 60).

        >>> reciprocal_rank_fusion([{"a": 9.0, "b": 1.0}, {"b": 0.7}])
        {'b': 0.03252247488101534, 'a': 0.01639344262295082}
    """
    fused: dict[Id, float] = {}
    for weight, ranking in zip(_weights(rankings, weights), rankings, strict=True):
        for rank, key in enumerate(ranking, start=1):
            fused[key] = fused.get(key, 0.0) + weight / (k + rank)
    return _best_first(fused)


def relative_score_fusion(
    rankings: Sequence[Mapping[Id, float]],
    *,
    weights: Sequence[float] | None = None,
    floors: Sequence[bool] | None = None,
) -> dict[Id, float]:
    """Weighted sum of scores, each ranking divided by its own maximum.

    What a ranking does not hold counts 0 there (right for BM25, whose scores start at 0), or, where `floors` says so,
    as much as its last item (right for cosine similarities, of which a cut-off list shows the top of a narrow
    band). Negative scores count as 0.

        >>> relative_score_fusion([{"a": 8.0, "b": 2.0}, {"b": 0.5, "c": 0.4}], weights=[0.5, 0.5])
        {'b': 0.625, 'a': 0.5, 'c': 0.4}
    """
    keys = list(dict.fromkeys(key for ranking in rankings for key in ranking))
    fused = dict.fromkeys(keys, 0.0)
    floored = floors or [False] * len(rankings)
    for weight, ranking, has_floor in zip(_weights(rankings, weights), rankings, floored, strict=True):
        top = max(ranking.values(), default=0.0)
        if top <= 0:
            continue
        floor = max(min(ranking.values()), 0.0) if has_floor else 0.0
        for key in keys:
            fused[key] += weight * max(ranking.get(key, floor), 0.0) / top
    return _best_first(fused)


def _weights(rankings: Sequence[object], weights: Sequence[float] | None) -> Sequence[float]:
    if weights is None:
        return [1.0] * len(rankings)
    if len(weights) != len(rankings):
        raise ValueError(f"{len(weights)} weights for {len(rankings)} rankings")
    return weights


def _best_first(scores: dict[Id, float]) -> dict[Id, float]:
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
