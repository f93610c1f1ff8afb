"""Summaries of single passages, read together, checked against the passages themselves."""

from .graph import summarise_rag

__all__ = ("summarise_rag",)
