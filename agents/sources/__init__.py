"""Sources: a question goes to the knowledge bases, tables, web searches and tools that can answer it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .cascade_router import CascadeRouter
    from .confusion import Confusion, confusion
    from .embedding_router import EmbeddingRouter
    from .graph import routed_rag
    from .linear_router import LinearRouter
    from .llm_router import LLMRouter
    from .merged_retriever import MergedRetriever
    from .route import NONE, UNKNOWN, SourceRoute
    from .router import SourceRouter
    from .source import Source
    from .trained_router import TrainedRouter

__all__ = (
    "NONE",
    "UNKNOWN",
    "CascadeRouter",
    "Confusion",
    "EmbeddingRouter",
    "LLMRouter",
    "LinearRouter",
    "MergedRetriever",
    "Source",
    "SourceRoute",
    "SourceRouter",
    "TrainedRouter",
    "confusion",
    "routed_rag",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "cascade_router": ["CascadeRouter"],
        "confusion": ["Confusion", "confusion"],
        "embedding_router": ["EmbeddingRouter"],
        "graph": ["routed_rag"],
        "linear_router": ["LinearRouter"],
        "llm_router": ["LLMRouter"],
        "merged_retriever": ["MergedRetriever"],
        "route": ["NONE", "UNKNOWN", "SourceRoute"],
        "router": ["SourceRouter"],
        "source": ["Source"],
        "trained_router": ["TrainedRouter"],
    },
)
