"""Diverse rewrites: the queries of RAG-Fusion."""

from __future__ import annotations

from dataclasses import dataclass

from langchain_core.language_models import BaseChatModel

from ...errors import UsageError
from ..common.effects import Doing
from ..common.purse import Purse
from ..common.transforming import Rewritten
from .asking import ask_for_queries

__all__ = ("DiverseRewrites",)


@dataclass
class DiverseRewrites:
    """Up to `n` queries, each from another angle: a synonym, a broader or narrower topic, a part of it.

    Raudaschl, RAG-Fusion (github.com/Raudaschl/rag-fusion, its prompt `diverse`); Rackauckas, 2024,
    https://arxiv.org/abs/2402.03367. In Raudaschl's measurements three to four are enough. Good for questions in other
    words than the documents'; costs one call of the model before the search.
    """

    n: int = 4
    name = "diverse"

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"DiverseRewrites(n={self.n})", hint="use 1 or more")

    def rewrite(self, question: str, llm: BaseChatModel, purse: Purse) -> Doing[Rewritten]:
        """The rewrites; none where the model fails or says nothing else than the question."""
        return (yield from ask_for_queries("diverse", question, llm, purse, most=self.n))
