"""State of routed RAG."""

from __future__ import annotations

import operator
from typing import Annotated, Literal

from typing_extensions import TypedDict

from ...graphs.common.state import StrategyState
from .answer import SourceAnswer

__all__ = ("Asking", "RoutedState", "Share", "Way")

Way = Literal["ask", "alone", "abstain"]


class RoutedState(StrategyState, total=False):
    """The common state, where the question goes, and what the sources said."""

    way: Way
    chosen: list[str]
    """Names of the sources that are asked, best first."""
    told: Annotated[list[SourceAnswer], operator.add]
    outcome: Literal["read", "answered", "failed"]
    """What can be done with what they said."""


class Share(TypedDict):
    """What asking one source may cost: the fields of a `Budget`."""

    llm_calls: int
    tokens: int
    seconds: float
    hops: int


class Asking(TypedDict):
    """What the node `ask` is sent."""

    names: list[str]
    """One source, or the retrievers that one strategy reads together."""
    asked: str
    search_queries: list[str]
    hypotheses: list[str]
    share: Share
    alone: bool
    """Nothing else is asked: what it streams is the answer."""
