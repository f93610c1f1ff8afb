"""State of the assistant."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ...graphs.common.state import StrategyOutput, StrategyState
from ..conversation.summary import ThreadSummary

__all__ = ("AssistantOutput", "AssistantState", "Way")

Way: TypeAlias = Literal["remember", "listen", "answer", "end"]


class AssistantOutput(StrategyOutput, total=False):
    """What every strategy gives, and what the conversation did to the question."""

    asked: str
    """The question that stands alone. What the user said stays in `messages`."""
    recalled: list[str]
    """Facts of the user that the reader was shown, the nearest first."""


class AssistantState(StrategyState, total=False):
    """The common state, and what is kept of a thread beside its messages."""

    thread_summary: ThreadSummary
    recalled: list[str]
    strategy: str
    """Name of the strategy that answers: a run that was broken off goes on with the same one only."""
    way: Way
