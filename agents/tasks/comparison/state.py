"""State of comparisons."""

from __future__ import annotations

from typing import Any, TypedDict

from langchain_core.documents import Document

from ....graphs.common.state import StrategyState

__all__ = ("ComparisonState", "Side")


class Side(TypedDict):
    """One of the things that are compared."""

    name: str
    query: str
    """What is searched for: the name and the aspect."""
    passages: list[Document]
    """Those that name the side, in the retriever's order."""
    statements: list[dict[str, Any]]
    """What is said of it and supported: {text, citations}."""
    trouble: str
    """Why there is no statement."""


class ComparisonState(StrategyState, total=False):
    """The common state, and the sides."""

    sides: list[Side]
    """Empty where the question compares nothing: it is read as it is then."""
    aspect: str
    missing: str
    """What the answer must say of sides without a statement."""
