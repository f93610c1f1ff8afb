"""State of strategy routing."""

from __future__ import annotations

from ...graphs.common.state import StrategyState
from .outcome import Outcome

__all__ = ("AutoState",)


class AutoState(StrategyState, total=False):
    """The common state, and what the two paths gave."""

    cheap: Outcome
    chosen: str
    """Name of the expensive strategy that runs; empty where none does."""
    other: Outcome | None
    """What the expensive strategy gave; None where none ran."""
