"""Retrieval for LangChain apps: compositions of retrievers, a middleware, and a strategy as a LlamaIndex query engine.

LangChain 1.x has no home for ensembles, multiple queries, compression and parent documents. Here each is a
`BaseRetriever`: typed, sync and async, over stable ids, and traced.

    >>> from ragloom.agents.langchain import CompressionRetriever, EnsembleRetriever
    >>> both = EnsembleRetriever(retrievers=[handbook.retriever(), wiki.retriever()])  # doctest: +SKIP
    >>> CompressionRetriever(retriever=both, compressor=reranker, k=5).invoke("Who books trips?")  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .compression import CompressionRetriever
    from .engine import query_engine
    from .ensemble import EnsembleRetriever
    from .kb_parents import KnowledgeBaseParents
    from .llama_index import LlamaIndexRetriever
    from .middleware import RetrievalMiddleware
    from .multi_query import MultiQueryRetriever
    from .parents import ParentRetriever, Parents, StoreParents

__all__ = (
    "CompressionRetriever",
    "EnsembleRetriever",
    "KnowledgeBaseParents",
    "LlamaIndexRetriever",
    "MultiQueryRetriever",
    "ParentRetriever",
    "Parents",
    "RetrievalMiddleware",
    "StoreParents",
    "query_engine",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "compression": ["CompressionRetriever"],
        "engine": ["query_engine"],
        "ensemble": ["EnsembleRetriever"],
        "kb_parents": ["KnowledgeBaseParents"],
        "llama_index": ["LlamaIndexRetriever"],
        "middleware": ["RetrievalMiddleware"],
        "multi_query": ["MultiQueryRetriever"],
        "parents": ["ParentRetriever", "Parents", "StoreParents"],
    },
)
