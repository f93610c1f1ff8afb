"""Pseudo-relevance feedback within the pool: passages near the best ones move up.

Rocchio feedback (Rocchio 1971), on the vectors of the passages that were found anyway, so that no second search is
made: the similarity to the centroid of the first three passages is added. The weight is small on purpose: strong
feedback helps topical collections and harms questions with one right passage (see docs/retrieval.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .store import Snapshot

__all__ = ("feedback",)

POOL = 200
"""Passages that take part."""
TRUSTED = 3
"""Passages whose centroid stands for what is relevant."""
WEIGHT = 0.2


def feedback(snapshot: Snapshot, scores: dict[int, float], *, weight: float = WEIGHT) -> dict[int, float]:
    """Reorders a ranking {row id: score, best first}; the best score stays what it was.

    What lies beyond the pool keeps its order below it.
    """
    import numpy as np

    rows = list(scores)[:POOL]
    if len(rows) <= TRUSTED:
        return scores
    vectors = snapshot.vectors(rows)
    score = np.array([scores[row] for row in rows], dtype=np.float32)
    centroid = score[:TRUSTED] @ vectors[:TRUSTED]
    length = float(np.linalg.norm(centroid))
    if length == 0:
        return scores
    raised = score + weight * (vectors @ (centroid / length))
    if raised.max() <= 0:  # nothing matches at all
        return scores
    raised *= score.max() / raised.max()
    order = np.argsort(-raised, kind="stable")
    last = float(raised[order[-1]])
    reordered = {rows[index]: float(raised[index]) for index in order}
    return reordered | {row: min(scores[row], last) for row in list(scores)[POOL:]}
