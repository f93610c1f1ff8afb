"""What the tests of sources share: routers and sources that say what a test wants."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle

from ragloom.agents.sources import NONE, Source, SourceRoute

# The strategies' own kit: what must hold of their results holds of ours too.
sys.path.append(str(Path(__file__).parents[1] / "graphs"))


class Fixed:
    """Always the same route: names, a `SourceRoute`, an exception to raise, or garbage."""

    def __init__(self, *names: str, gives: Any = None, labels: Any = ("leave", "travel", "garden", NONE)) -> None:
        self.gives = SourceRoute(names, by="Fixed", reason="as told") if gives is None else gives
        self.labels = labels
        self.asked: list[str] = []

    def route(self, question: str) -> Any:
        self.asked.append(question)
        if isinstance(self.gives, Exception):
            raise self.gives
        return self.gives

    async def aroute(self, question: str) -> Any:
        return self.route(question)


class Broken(BaseRetriever):
    """Raises."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or ConnectionError("the store is gone")
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        raise self.error


def document(identity: str, text: str = "") -> Document:
    return Document(text or f"text of {identity}", id=identity, metadata={"source": identity, "score": 0.5})


def shelves() -> list[Source]:
    """Three retrievers that know different things."""
    from strategy_kit import Shelf

    return [
        Source("leave", "Annual leave of employees.", Shelf("leave.md"), examples=["How many days off do I get?"]),
        Source("travel", "Hotels, trips and what is paid for them.", Shelf("travel.md")),
        Source("garden", "Roses and the garden.", Shelf("garden.md"), cost=3.0),
    ]


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]
