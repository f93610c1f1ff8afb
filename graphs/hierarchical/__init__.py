"""Extract, then compose: quotes of single passages first, then an answer from the quotes."""

from .graph import hierarchical_rag

__all__ = ("hierarchical_rag",)
