"""Speculative RAG: drafts from different passages beside each other, and the one that holds best is told."""

from .graph import speculative_rag

__all__ = ("speculative_rag",)
