"""Dependent decomposition: a plan of sub-questions, of which later ones may wait for the answers of earlier ones."""

from .graph import decompose_rag

__all__ = ("decompose_rag",)
