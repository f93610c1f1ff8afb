"""State of RAG-Fusion."""

from __future__ import annotations

from typing import Literal

from ..common.state import StrategyState

__all__ = ("FusionState", "Way")

Way = Literal["rewrite", "read"]


class FusionState(StrategyState, total=False):
    """The common state, and what was thought of the first search."""

    way: Way
    """Whether rewrites are wanted, or the first pass is read."""
    rewrites: list[str]
    """The model's other queries; empty where none were made."""
