"""Self-RAG with critics beside the model: retrieve where needed, write sentence by sentence, keep the best."""

from .graph import self_rag

__all__ = ("self_rag",)
