"""Pseudo-relevance feedback within the pool: passages near the best ones, and near each other, move up.

Two classic ideas, both on the vectors of the passages that were found anyway, so that no second search is made:

- Rocchio feedback (Rocchio 1971): the similarity to the centroid of the first three passages is added;
- score regularisation (Diaz, CIKM 2005): a passage's score is pulled towards those of its nearest neighbours, for near
  passages tend to be relevant to the same queries.

Weights are small on purpose: strong feedback helps topical collections and harms questions with one right passage (see
docs/retrieval.md).
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
CENTROID_WEIGHT = 0.2
NEIGHBOURS = 10
NEIGHBOUR_WEIGHT = 0.1
SHARPNESS = 4
"""Similarities are raised to this power: a neighbour counts little unless it is near."""


def feedback(
    snapshot: Snapshot,
    scores: dict[int, float],
    *,
    centroid_weight: float = CENTROID_WEIGHT,
    neighbour_weight: float = NEIGHBOUR_WEIGHT,
) -> dict[int, float]:
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
    raised = score + centroid_weight * (vectors @ (centroid / length)) if length > 0 else score
    near = np.clip(vectors @ vectors.T, 0.0, None) ** SHARPNESS
    np.fill_diagonal(near, 0.0)
    count = min(NEIGHBOURS, len(rows) - 1)
    near[near < np.partition(near, -count, axis=1)[:, [-count]]] = 0.0
    around = (near @ raised) / (near.sum(axis=1) + 1e-9)
    if around.max() > 0:
        raised = (1 - neighbour_weight) * raised + neighbour_weight * around * (raised.max() / around.max())
    if raised.max() <= 0:  # nothing matches at all
        return scores
    raised *= score.max() / raised.max()
    order = np.argsort(-raised, kind="stable")
    last = float(raised[order[-1]])
    reordered = {rows[index]: float(raised[index]) for index in order}
    return reordered | {row: min(scores[row], last) for row in list(scores)[POOL:]}
