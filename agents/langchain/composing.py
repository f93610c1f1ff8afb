"""What the compositions have in common: one body for sync and async, `k`, and documents told apart by id.

A composition is a body that yields effects (`graphs/common/effects.py`), run as one node. So its trace holds, beside
the retrievers that it asked, a step with what it decided and why.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field

from ...errors import RagloomError
from ...graphs.common.effects import Doing, node
from ...graphs.common.mixing import fuse as fuse_by_id
from ...types import Step
from .llama_index import most

__all__ = ("Call", "Composition", "fuse", "identified", "scored", "search", "told")


@dataclass(frozen=True, slots=True)
class Call:
    """The effect of a library's function that comes in both worlds: `Call(store.mget, store.amget, keys)`."""

    function: Callable[[Any], Any]
    afunction: Callable[[Any], Awaitable[Any]]
    argument: Any

    def run(self) -> Any:
        """Blocking."""
        return self.function(self.argument)

    async def arun(self) -> Any:
        """Awaited."""
        return await self.afunction(self.argument)


def search(retriever: Runnable[str, list[Document]], query: str) -> Call:
    """The effect of a search. The run's callbacks reach the retriever through LangChain's context."""
    return Call(retriever.invoke, retriever.ainvoke, query)


class Composition(BaseRetriever, ABC):
    """A retriever made of others. `k` may be given to the constructor and to `invoke(query, k=...)`."""

    # A misspelt option is an error, not an option that does nothing.
    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    k: int | None = Field(default=None, ge=1)
    """How many documents are given at most; None: all that there are."""

    @abstractmethod
    def compose(self, query: str, step: Step) -> Doing[list[Document]]:
        """The documents, best first. Fills the step."""

    def _body(self, state: Mapping[str, Any], step: Step) -> Doing[dict[str, Any]]:
        return {"documents": (yield from self.compose(state["query"], step))}

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        k = most(k, self.k)
        found = node("compose", self._body).invoke({"query": query}, {"callbacks": run_manager.get_child()})
        return _only(found, k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        k = most(k, self.k)
        found = await node("compose", self._body).ainvoke({"query": query}, {"callbacks": run_manager.get_child()})
        return _only(found, k)


def identified(documents: Iterable[Document]) -> list[Document]:
    """Each document once, by its id. One without an id gets one made of its source and text, on a copy.

    >>> [each.id for each in identified([Document("a", id="1"), Document("b", id="1"), Document("c")])]
    ['1', 'text:597fcb31282d34654c200d3418fca570']
    """
    first: dict[str, Document] = {}
    for document in documents:
        identity = document.id or _made_id(document)
        first.setdefault(identity, document if document.id else document.model_copy(update={"id": identity}))
    return list(first.values())


def fuse(rankings: Sequence[Sequence[Document]], weights: Sequence[float]) -> list[Document]:
    """Weighted reciprocal rank fusion of what any retrievers gave, also without ids (see `mixing.fuse`)."""
    return fuse_by_id([identified(ranking) for ranking in rankings], weights)


def scored(document: Document, score: float | None, kind: str) -> Document:
    """A copy with another score: what a retriever gave stays as it was."""
    return document.model_copy(update={"metadata": {**document.metadata, "score": score, "score_kind": kind}})


def told(error: Exception) -> str:
    """An error in a log: its own words only where they are ours, for others may hold addresses with keys in them."""
    return str(error) if isinstance(error, RagloomError) else type(error).__name__


def _made_id(document: Document) -> str:
    text = f"{document.metadata.get('source', '')}\0{document.page_content}"
    return f"text:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _only(found: Mapping[str, Any], k: int | None) -> list[Document]:
    documents: list[Document] = found["documents"]
    return documents[:k]
