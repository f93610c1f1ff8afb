"""Retrieval: documents of any format in, passages with their sources out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .chunkers import ChunkSettings
    from .documents import LangChainRetriever, to_document, to_node
    from .fusion import reciprocal_rank_fusion, relative_score_fusion
    from .ingest import IngestProgress, IngestReport
    from .knowledge_base import KnowledgeBase
    from .readers import read_document
    from .retriever import KnowledgeBaseRetriever
    from .store import LanceVectorStore

__all__ = (
    "ChunkSettings",
    "IngestProgress",
    "IngestReport",
    "KnowledgeBase",
    "KnowledgeBaseRetriever",
    "LanceVectorStore",
    "LangChainRetriever",
    "read_document",
    "reciprocal_rank_fusion",
    "relative_score_fusion",
    "to_document",
    "to_node",
)

_HOMES = {
    "ChunkSettings": "chunkers",
    "IngestProgress": "ingest",
    "IngestReport": "ingest",
    "KnowledgeBase": "knowledge_base",
    "KnowledgeBaseRetriever": "retriever",
    "LanceVectorStore": "store",
    "LangChainRetriever": "documents",
    "read_document": "readers",
    "reciprocal_rank_fusion": "fusion",
    "relative_score_fusion": "fusion",
    "to_document": "documents",
    "to_node": "documents",
}


def __getattr__(name: str) -> Any:
    """Imports on first use: LlamaIndex and LanceDB take a second that not every command needs."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
