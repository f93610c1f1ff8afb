"""State of closed book."""

from __future__ import annotations

from ..common.state import StrategyState

__all__ = ("ClosedBookState",)


class ClosedBookState(StrategyState, total=False):
    """The common state; `documents` and `citations` stay empty."""
