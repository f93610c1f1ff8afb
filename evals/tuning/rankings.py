"""The two rankings of every query under one chunking, computed once; whatever is made of them costs milliseconds.

The index is the dear part, so it is kept in the cache under what it depends on: documents, chunking, embedder. It is
the same folder that `ragloom eval retrieval` uses, and a build that was cut off goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ...retrieval.feedback import feedback
from ...retrieval.fusion import reciprocal_rank_fusion, relative_score_fusion
from ...retrieval.knowledge_base import KnowledgeBase
from ...retrieval.search import pool_size
from ..datasets import RetrievalSet
from ..indexing import index_set
from ..retrieval import CHUNKS_PER_DOCUMENT, DEPTH, score_runs
from .space import DEFAULT, Candidate

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("QueryVectors", "Rankings")

TOP_K = DEPTH * CHUNKS_PER_DOCUMENT
POOL = pool_size(TOP_K)
"""As deep as `ragloom eval retrieval` reads, so that the row of the default is the one it prints."""


class QueryVectors:
    """Vectors of queries, each embedded once: they do not depend on how documents are cut."""

    def __init__(self, embedder: Embedder | None = None) -> None:
        self.embedder = embedder
        self._known: dict[str, Any] = {}

    def of(self, query: str, kb: KnowledgeBase) -> Any:
        """The vector of a query; the embedder is loaded when the first one is asked for."""
        if query not in self._known:
            self.embedder = self.embedder or kb.embedder
            self._known[query] = self.embedder.embed_query(query)
        return self._known[query]


class Rankings:
    """Rankings of a set's queries under one chunking.

    >>> Rankings(found, kb, QueryVectors()).scores(Candidate(kind="rank", alpha=0.5))["q1"]["ndcg@10"]  # doctest: +SKIP
    0.63
    """

    def __init__(
        self,
        retrieval_set: RetrievalSet,
        kb: KnowledgeBase,
        vectors: QueryVectors,
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self.set = retrieval_set
        index_set(retrieval_set, kb=kb, progress=progress)
        self._snapshot = kb.table.snapshot()
        began = time.perf_counter()
        self._lexical: dict[str, dict[int, float]] = {}
        self._dense: dict[str, dict[int, float]] = {}
        for number, (key, text) in enumerate(retrieval_set.queries.items(), start=1):
            self._lexical[key] = self._snapshot.search_text(text, POOL)
            self._dense[key] = self._snapshot.search_vector(vectors.of(text, kb), POOL) if text.strip() else {}
            if progress:
                progress(number, len(retrieval_set.queries))
        rows = {row for part in (self._lexical, self._dense) for found in part.values() for row in found}
        order = sorted(rows)
        taken = self._snapshot.take(order, ["source"])
        self._source: dict[int, str] = {row: item["source"] for row, item in zip(order, taken, strict=True)}
        self.seconds = time.perf_counter() - began
        """What the queries took, without the index."""

    def scores(self, candidate: Candidate) -> dict[str, dict[str, float]]:
        """query id to metric to value, as `evaluate_retrieval` gives it for the same settings."""
        runs = {key: self._documents(self._ranked(key, candidate)) for key in self.set.queries}
        return score_runs(runs, self.set.qrels)

    def _ranked(self, key: str, candidate: Candidate) -> dict[int, float]:
        if candidate.mode == "bm25":
            return _first(self._lexical[key], TOP_K)
        if candidate.mode == "dense":
            return _first(self._dense[key], TOP_K)
        both = [self._lexical[key], self._dense[key]]
        weights = [1 - candidate.alpha, candidate.alpha]
        if candidate.fusion == "rank":
            return _first(reciprocal_rank_fusion(both, weights=weights), TOP_K)
        fused = relative_score_fusion(both, weights=weights, floors=[False, len(both[1]) == POOL])
        ranked = _first(fused, TOP_K)
        return feedback(self._snapshot, ranked) if candidate.kind == DEFAULT.kind else ranked

    def _documents(self, ranked: Mapping[int, float]) -> dict[str, float]:
        """A document scores as its best chunk."""
        best: dict[str, float] = {}
        for row, score in ranked.items():
            best.setdefault(self._source[row], float(score))
        return _first(best, DEPTH)


def _first(ranking: Mapping[Any, float], count: int) -> dict[Any, float]:
    return dict(list(ranking.items())[:count])
