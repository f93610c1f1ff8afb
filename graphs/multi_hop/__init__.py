"""Multi-hop RAG (IRCoT): each thought is the next query."""

from .graph import multi_hop_rag

__all__ = ("multi_hop_rag",)
