"""What the tests of the LangChain faces share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import PrivateAttr

TEXTS = {
    "leave.md": "Full-time employees get 25 days of annual leave.",
    "travel.md": "Hotels in Vienna are paid up to 165 euros a night.",
    "garden.md": "The roses in the garden are watered at dawn.",
    "kitchen.md": "The canteen serves soup, and on Fridays pancakes.",
    "security.md": "Passwords have at least fourteen characters.",
}


def documents(*ids: str) -> list[Document]:
    """Documents that say their ids, each with a score of its own kind."""
    return [
        Document(f"text {each}", id=each, metadata={"source": f"{each}.md", "score": 9.0 - at, "score_kind": "test"})
        for at, each in enumerate(ids)
    ]


class Fixed(BaseRetriever):
    """Always the same documents, or an error; remembers what it was asked, and from which world."""

    found: list[Document]
    error: Any = None
    fails_on: str = ""
    """Only queries that hold this fail."""

    _asked: list[tuple[str, str]] = PrivateAttr(default_factory=list)

    @property
    def asked(self) -> list[str]:
        return [query for _, query in self._asked]

    @property
    def worlds(self) -> set[str]:
        return {world for world, _ in self._asked}

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return self._give("sync", query)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        await asyncio.sleep(0)
        return self._give("async", query)

    def _give(self, world: str, query: str) -> list[Document]:
        self._asked.append((world, query))
        if self.error is not None and self.fails_on in query:
            raise self.error
        return list(self.found)


def ids(found: Sequence[Document]) -> list[str | None]:
    return [document.id for document in found]
