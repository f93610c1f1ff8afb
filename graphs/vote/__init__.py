"""Late fusion: an answer from every passage alone, then a vote."""

from .graph import vote_rag

__all__ = ("vote_rag",)
