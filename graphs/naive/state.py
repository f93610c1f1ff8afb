"""State of naive RAG."""

from __future__ import annotations

from typing import Any

from ..common.state import StrategyState

__all__ = ("NaiveState",)


class NaiveState(StrategyState, total=False):
    """The common state, and the draft between reading and citing."""

    draft: list[dict[str, Any]]
    """Checked sentences: {text, citations}."""
    declined: bool
    """The model said itself that the passages do not hold the answer."""
