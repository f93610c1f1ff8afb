"""A retriever and a reranker as one retriever."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

from ..errors import UsageError

if TYPE_CHECKING:
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

__all__ = ("RerankedRetriever",)


class RerankedRetriever(BaseRetriever):
    """Reranks the first passages of a retriever; those behind them stay behind, with the scores that they had.

    Args:
        retriever: any LlamaIndex retriever.
        reranker: any LlamaIndex postprocessor.
        rerank_from: how many passages the reranker reads.
        top_k: how many passages are given; None: all that the retriever found.
    """

    def __init__(
        self,
        retriever: BaseRetriever,
        reranker: BaseNodePostprocessor,
        *,
        rerank_from: int = 50,
        top_k: int | None = None,
    ) -> None:
        if rerank_from < 1 or (top_k is not None and top_k < 1):
            raise UsageError(f"rerank_from is {rerank_from} and top_k {top_k}", hint="use 1 or more")
        self.retriever, self.reranker, self.rerank_from, self.top_k = retriever, reranker, rerank_from, top_k
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = self.retriever.retrieve(query_bundle)
        best = self.reranker.postprocess_nodes(found[: self.rerank_from], query_bundle)
        return [*best, *found[self.rerank_from :]][: self.top_k]

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = await self.retriever.aretrieve(query_bundle)
        best = await self.reranker.apostprocess_nodes(found[: self.rerank_from], query_bundle)
        return [*best, *found[self.rerank_from :]][: self.top_k]
