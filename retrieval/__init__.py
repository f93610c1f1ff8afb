"""Retrieval: documents of any format in, passages with their sources out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .chunkers import ChunkSettings
    from .documents import LangChainRetriever, to_document, to_node
    from .fusion import reciprocal_rank_fusion, relative_score_fusion
    from .ingest import IngestProgress, IngestReport
    from .knowledge_base import KnowledgeBase
    from .readers import read_document
    from .retriever import KnowledgeBaseRetriever
    from .store import LanceVectorStore
    from .web import WebRetriever, load_web

__all__ = (
    "ChunkSettings",
    "IngestProgress",
    "IngestReport",
    "KnowledgeBase",
    "KnowledgeBaseRetriever",
    "LanceVectorStore",
    "LangChainRetriever",
    "WebRetriever",
    "load_web",
    "read_document",
    "reciprocal_rank_fusion",
    "relative_score_fusion",
    "to_document",
    "to_node",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "chunkers": ["ChunkSettings"],
        "documents": ["LangChainRetriever", "to_document", "to_node"],
        "fusion": ["reciprocal_rank_fusion", "relative_score_fusion"],
        "ingest": ["IngestProgress", "IngestReport"],
        "knowledge_base": ["KnowledgeBase"],
        "readers": ["read_document"],
        "retriever": ["KnowledgeBaseRetriever"],
        "store": ["LanceVectorStore"],
        "web": ["WebRetriever", "load_web"],
    },
)
