"""State of summaries."""

from __future__ import annotations

from typing import TypedDict

from langchain_core.documents import Document

from ....graphs.common.state import StrategyState
from .matching import Scope

__all__ = ("SummaryState", "Window")


class Window(TypedDict):
    """Some neighbouring passages, and what was made of them."""

    context: str
    """Document and section."""
    passages: list[Document]
    summary: str
    """Empty where the passages are read themselves."""


class SummaryState(StrategyState, total=False):
    """The common state, and what is summed up."""

    scope: Scope
    chosen: dict[str, str]
    """The documents that are summed up, by id, and what they are called. Of a topic none; of an unclear request those
    between which it does not decide.
    """
    meant: int
    """Documents that are meant: more than are chosen where they are too many."""
    passages: int
    """Passages of what is chosen: more than are read where the budget does not pay for all."""
    windows: list[Window]
    whole: bool
    """All passages fit the reader's prompt: nothing has to be summed up before."""
    missing: str
    """What the answer must say that it leaves out."""
