"""A retriever, and what reranks, filters or shortens what it finds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.runnables.config import ensure_config
from llama_index.core.postprocessor.types import BaseNodePostprocessor

from ...graphs.common.effects import Doing, Effect, Rerank
from ...types import Step
from .composing import Call, Composition, identified, search
from .llama_index import RetrieverLike

__all__ = ("CompressionRetriever",)


class CompressionRetriever(Composition):
    """Gives what a compressor makes of what a retriever finds.

    The compressor reads as many documents as the retriever gives; `k` cuts what comes out. Its error is raised: it may
    be the one that keeps documents from being shown, so they are never given without it.

        >>> reranker = load_reranker("reranker:bundled")  # doctest: +SKIP
        >>> CompressionRetriever(retriever=kb.retriever(top_k=50), compressor=reranker, k=5)  # doctest: +SKIP
    """

    retriever: RetrieverLike
    """What is searched: a LangChain or LlamaIndex retriever, or a Runnable from a query to documents."""
    compressor: BaseDocumentCompressor | BaseNodePostprocessor
    """LangChain's, or a LlamaIndex postprocessor: `TrainedReranker`."""

    def compose(self, query: str, step: Step) -> Doing[list[Document]]:
        """The search, then the compressor; it is not asked about nothing."""
        found = identified((yield search(self.retriever, query)))
        kept = identified((yield self._compressing(found, query))) if found else []
        step["decision"] = f"{len(kept)} of {len(found)} documents"
        step["reason"] = f"by {type(self.compressor).__name__}" if found else "nothing was found"
        return kept

    def _compressing(self, documents: list[Document], query: str) -> Effect:
        compressor = self.compressor
        if isinstance(compressor, BaseNodePostprocessor):
            return Rerank(compressor, documents, query)

        def compress(given: Sequence[Document]) -> Any:
            return compressor.compress_documents(given, query, ensure_config().get("callbacks"))

        async def acompress(given: Sequence[Document]) -> Any:
            return await compressor.acompress_documents(given, query, ensure_config().get("callbacks"))

        return Call(compress, acompress, documents)
