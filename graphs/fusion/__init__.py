"""RAG-Fusion: where the first search looks weak, the question is searched for in other words too, and all is fused."""

from .graph import fusion_rag

__all__ = ("fusion_rag",)
