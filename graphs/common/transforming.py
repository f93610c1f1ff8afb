"""Query transforms: other ways to ask the retriever for what the question asks, in front of any strategy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from langchain_core.language_models import BaseChatModel

from .effects import Doing
from .purse import Purse

__all__ = ("QueryTransform", "Rewritten")


@dataclass(frozen=True, slots=True)
class Rewritten:
    """What a transform made of a question."""

    queries: list[str] = field(default_factory=list)
    """Further queries; the question itself is always searched for too."""
    hypotheses: list[str] = field(default_factory=list)
    """Passages that might answer it: their vectors stand beside the question's in a dense search."""
    failed: str = ""
    """Why there is nothing, or less."""


class QueryTransform(Protocol):
    """Makes queries of a question, within the purse. Never raises for what the model says."""

    name: str

    def rewrite(self, question: str, llm: BaseChatModel, purse: Purse) -> Doing[Rewritten]:
        """The queries: `found = yield from transform.rewrite(...)`."""
        ...
