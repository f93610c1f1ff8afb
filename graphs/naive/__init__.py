"""Naive RAG: retrieve, (rerank), read, cite."""

from .graph import naive_rag

__all__ = ("naive_rag",)
