"""State of decomposition."""

from __future__ import annotations

from typing import Literal, TypedDict

from langchain_core.documents import Document

from ..common.state import StrategyState

__all__ = ("DecomposeState", "Outcome", "SubQuestion")

Outcome = Literal["open", "searched", "answered", "not found", "skipped"]


class SubQuestion(TypedDict):
    """One step of the plan."""

    number: int
    """What `#1` in another sub-question means."""
    text: str
    """As planned, placeholders in it."""
    needs: list[int]
    """Numbers of the sub-questions whose answers it waits for."""
    outcome: Outcome
    """Only a sub-question that another one waits for is answered; the others are searched for."""
    asked: str
    """The text with the answers in the places of its placeholders."""
    answer: str
    passages: list[Document]


class DecomposeState(StrategyState, total=False):
    """The common state, and the plan with what came of it."""

    plan: list[SubQuestion]
    """Empty where the plan is the question itself."""
    own: list[Document]
    """What the question itself found."""
