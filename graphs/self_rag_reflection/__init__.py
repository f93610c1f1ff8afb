"""Self-RAG with reflection tokens: a model that was trained for it decides and judges itself."""

from .graph import self_rag_tokens

__all__ = ("self_rag_tokens",)
