"""Corrective RAG: passages are graded before they are read, refined, and replaced where none is right."""

from .graph import corrective_rag

__all__ = ("corrective_rag",)
