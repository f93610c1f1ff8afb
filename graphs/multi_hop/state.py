"""State of multi-hop RAG."""

from __future__ import annotations

from langchain_core.documents import Document

from ..common.state import StrategyState

__all__ = ("MultiHopState",)


class MultiHopState(StrategyState, total=False):
    """The common state, and the chain so far. `documents` holds the passages of all rounds, mixed."""

    thoughts: list[str]
    """Sentences of the chain of thought. They are queries, no evidence."""
    rounds: list[list[Document]]
    """What each round of retrieval found that no earlier one had."""
    stopped: str
    """Why the chain ended; empty while it goes on."""
