"""State of extracting and composing."""

from __future__ import annotations

from langchain_core.documents import Document

from ..common.state import StrategyState

__all__ = ("HierarchicalState",)


class HierarchicalState(StrategyState, total=False):
    """The common state, and what the reader is shown."""

    extracts: list[Document]
    """Quotes, each with the id of its passage, in which its text stands word by word."""
