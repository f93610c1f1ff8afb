"""One search over a snapshot: BM25, dense, or both fused. What every retriever and the vector store run on.

The `default` mode is relative-score fusion with alpha 0.6. How it was chosen, and what else was tried, stands in
docs/retrieval.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from ..errors import UsageError
from .fusion import reciprocal_rank_fusion, relative_score_fusion

if TYPE_CHECKING:
    from .store import Snapshot

__all__ = ("DEFAULT_ALPHA", "MODES", "Fusion", "Mode", "hybrid_scores", "pool_size")

Mode = Literal["bm25", "dense", "hybrid", "default"]
Fusion = Literal["relative", "rank"]
MODES: tuple[Mode, ...] = ("bm25", "dense", "hybrid", "default")

DEFAULT_ALPHA = 0.6
"""Weight of the dense ranking in `default` mode: 0 is BM25 alone, 1 dense alone."""


def pool_size(top_k: int) -> int:
    """How deep each ranking is read before fusing: deep enough that a passage's other score is rarely missing."""
    return max(200, min(10 * top_k, 1000), top_k)


def hybrid_scores(
    snapshot: Snapshot,
    query: str,
    vector: Sequence[float],
    *,
    top_k: int,
    alpha: float = DEFAULT_ALPHA,
    fusion: Fusion = "relative",
    where: str | None = None,
    pool: int | None = None,
) -> dict[int, float]:
    """The `top_k` best rows as {row id: fused score}, best first.

    `alpha` is the dense weight, from 0 (BM25 alone) to 1 (dense alone), in both fusions. At the two ends the other
    search does not run at all.
    """
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha must lie between 0 (BM25) and 1 (dense), not {alpha!r}")
    depth = pool or pool_size(top_k)
    lexical = snapshot.search_text(query, depth, where) if alpha < 1 else {}
    dense = snapshot.search_vector(vector, depth, where) if alpha > 0 else {}
    weights = [1 - alpha, alpha]
    if fusion == "rank":
        fused = reciprocal_rank_fusion([lexical, dense], weights=weights)
    else:
        # A dense list as long as the pool was cut: what it lacks scores just below its last item, not 0.
        fused = relative_score_fusion([lexical, dense], weights=weights, floors=[False, len(dense) == depth])
    return dict(list(fused.items())[:top_k])
