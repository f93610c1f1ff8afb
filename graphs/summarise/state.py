"""State of summarising."""

from __future__ import annotations

from ..common.state import StrategyState

__all__ = ("SummariseState",)


class SummariseState(StrategyState, total=False):
    """The common state, and what the reader is shown."""

    summaries: dict[str, str]
    """Passage to its summary, of the passages that are of use; empty where the passage itself is read."""
