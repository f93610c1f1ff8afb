"""Adaptive RAG: as much retrieval as the question needs."""

from .graph import adaptive_rag

__all__ = ("adaptive_rag",)
