"""`KnowledgeBaseRetriever`: a knowledge base as a LlamaIndex retriever."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

from ..access import AccessScope, scope_from
from ..errors import UsageError
from .feedback import POOL, feedback
from .search import DEFAULT_ALPHA, MODES, Fusion, Mode, hybrid_scores, pool_size
from .store.filters import all_of, quote, to_predicate
from .store.schema import NODE_COLUMNS, row_to_node

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters

    from .knowledge_base import KnowledgeBase

__all__ = ("KnowledgeBaseRetriever",)

_SCORE_KINDS = {"bm25": "bm25", "dense": "cosine", "rank": "reciprocal_rank", "relative": "relative_score"}


class KnowledgeBaseRetriever(BaseRetriever):
    """Retrieves passages that one scope may see, best first.

    Modes: `bm25` (no model is loaded), `dense`, `hybrid` (rank fusion unless told otherwise) and `default` (the
    combination that did best on the development sets: relative-score fusion with alpha 0.6, then weak feedback). Each
    result carries `score` and, in its metadata, the `score_kind`: scores of different kinds must not be compared.

    Args:
        kb: the knowledge base.
        mode: one of `MODES`.
        top_k: how many passages.
        alpha: weight of the dense ranking in `hybrid`, 0 to 1 (default 0.5).
        fusion: `rank` or `relative`, for `hybrid`.
        filters: LlamaIndex metadata filters; all of them hold.
        scope: whose passages may be seen: its tenant's, that are for everyone or for a group of it. No filter widens
            it. `UsageError`, here or when it searches, where the knowledge base requires a scope and there is none.
        tenant: short for a scope with this tenant and no groups.
        collection: only this source (the `--source` of the ingestion).
    """

    def __init__(
        self,
        kb: KnowledgeBase,
        *,
        mode: Mode = "default",
        top_k: int = 5,
        alpha: float | None = None,
        fusion: Fusion | None = None,
        filters: MetadataFilters | None = None,
        scope: AccessScope | None = None,
        tenant: str = "",
        collection: str | None = None,
    ) -> None:
        _check(mode, top_k)
        if fusion is not None and fusion not in get_args(Fusion):
            raise UsageError(f"unknown fusion {fusion!r}", hint="use rank or relative")
        if mode != "hybrid" and (alpha is not None or fusion is not None):
            raise UsageError(f"alpha and fusion belong to the mode 'hybrid', not {mode!r}", hint="use --mode hybrid")
        self.kb, self.mode, self.top_k = kb, mode, top_k
        self.alpha = DEFAULT_ALPHA if mode == "default" else 0.5 if alpha is None else alpha
        if not 0.0 <= self.alpha <= 1.0:
            raise UsageError(f"alpha must lie between 0 (BM25) and 1 (dense), not {alpha!r}")
        self.fusion: Fusion = "relative" if mode == "default" else fusion or "rank"
        self.scope = scope_from(scope, tenant)
        self._limits = [None if collection is None else f"collection = {quote(collection)}", to_predicate(filters)]
        kb.visible_to(self.scope)  # an error now rather than at the first question
        super().__init__()

    def with_mode(self, mode: Mode, top_k: int | None = None) -> KnowledgeBaseRetriever:
        """The same retriever in another mode, with that mode's own `alpha` and `fusion`.

        Whatever limits what may be seen (scope, collection, filters) holds for it as well.

            >>> kb.retriever(tenant="a").with_mode("bm25", top_k=20)  # doctest: +SKIP
        """
        top_k = self.top_k if top_k is None else top_k
        _check(mode, top_k)
        twin = copy.copy(self)  # not made anew: nothing that narrows what is seen can be left out
        twin.top_k = top_k
        if mode != self.mode:
            twin.mode = mode
            twin.alpha, twin.fusion = (DEFAULT_ALPHA, "relative") if mode == "default" else (0.5, "rank")
        return twin

    @property
    def predicate(self) -> str | None:
        """What limits what may be seen (scope, collection, filters), as the store's own condition.

        `UsageError` where the knowledge base requires a scope by now, and this retriever has none.
        """
        return all_of([self.kb.visible_to(self.scope), *self._limits])

    @property
    def fingerprint(self) -> str:
        """Changes when its results may: folder and version of the knowledge base, mode, filters, scope."""
        told = (self.mode, self.top_k, self.alpha, self.fusion, self.predicate)
        return f"{self.kb.folder} version {self.kb.table.snapshot().version} {told}"

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self.search(query_bundle.query_str, self.top_k, query_bundle.embedding)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)

    def search(self, query: str, top_k: int, vector: Sequence[float] | None = None) -> list[NodeWithScore]:
        """The `top_k` best passages, on one snapshot of the knowledge base; no match gives an empty list.

        `vector` stands for the query's own in a dense search.
        """
        where = self.predicate
        snapshot = self.kb.table.snapshot()
        if self.mode == "bm25":
            kind, scores = "bm25", snapshot.search_text(query, top_k, where)
        elif not query.strip():
            kind, scores = "dense", {}
        elif self.mode == "dense":
            kind, scores = "dense", snapshot.search_vector(self._embed(query, vector), top_k, where)
        else:
            kind = self.fusion
            scores = hybrid_scores(
                snapshot,
                query,
                self._embed(query, vector) if self.alpha > 0 else [],
                top_k=max(top_k, POOL) if self.mode == "default" else top_k,
                alpha=self.alpha,
                fusion=self.fusion,
                where=where,
                pool=pool_size(top_k),
            )
            if self.mode == "default":
                scores = dict(list(feedback(snapshot, scores).items())[:top_k])
        found = []
        for row, score in zip(snapshot.take(list(scores), [*NODE_COLUMNS]), scores.values(), strict=True):
            node = row_to_node(row)
            node.metadata["score_kind"] = _SCORE_KINDS[kind]
            node.excluded_embed_metadata_keys.append("score_kind")
            node.excluded_llm_metadata_keys.append("score_kind")
            found.append(NodeWithScore(node=node, score=score))
        return found

    def _embed(self, query: str, vector: Sequence[float] | None) -> Any:
        return self.kb.query_vector(query) if vector is None else vector


def _check(mode: Mode, top_k: int) -> None:
    if mode not in MODES:
        raise UsageError(f"unknown retrieval mode {mode!r}", hint=f"use one of {', '.join(MODES)}")
    if top_k < 1:
        raise UsageError(f"top_k must be at least 1, not {top_k}")
