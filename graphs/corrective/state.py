"""State of Corrective RAG."""

from __future__ import annotations

from typing import TypedDict

from langchain_core.documents import Document

from ...models.evaluator import Action
from ..common.state import StrategyState

__all__ = ("CorrectiveState", "Strip")


class Strip(TypedDict):
    """A few sentences of a passage, and how probably they answer the question."""

    id: str
    """Id of the passage."""
    start: int
    """Character offsets in the passage."""
    end: int
    score: float | None
    """0 to 1; None where the evaluator failed."""
    kept: bool


class CorrectiveState(StrategyState, total=False):
    """The common state, and what the evaluator said."""

    doc_scores: dict[str, float | None]
    """Passage to its grade; None where the evaluator failed."""
    action: Action
    web_queries: list[str]
    """What the second source is asked."""
    external: list[Document]
    """What the second source found, graded like the rest."""
    strips: list[Strip]
    called_for: bool
    """Whether the action left anything to read."""
