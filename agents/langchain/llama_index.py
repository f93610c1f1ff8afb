"""Any LlamaIndex retriever as a LangChain retriever, and what the compositions take for a retriever."""

from __future__ import annotations

import copy
from typing import Annotated, Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable
from langgraph.pregel import Pregel
from llama_index.core.base.base_retriever import BaseRetriever as LlamaIndexBase
from pydantic import BeforeValidator, ConfigDict, Field

from ...errors import UsageError
from ...graphs.common.effects import Search

__all__ = ("LlamaIndexRetriever", "RetrieverLike", "as_retriever", "most")


class LlamaIndexRetriever(BaseRetriever):
    """A LlamaIndex retriever for LangChain apps: a knowledge base's, a reranked one, a web search.

    Documents carry the node's id, its metadata, `score` and `score_kind`. `k` may be given to the constructor and to
    `invoke(query, k=...)`. A retriever with a `top_k` (LlamaIndex: `similarity_top_k`) is asked for so many; any other
    gives what it gives, cut at `k`. Without `k` it gives as many as it does by itself.

        >>> retriever = LlamaIndexRetriever(retriever=kb.retriever(), k=3)  # doctest: +SKIP
        >>> retriever.invoke("How many days of leave?")[0].metadata["score_kind"]  # doctest: +SKIP
        'relative_score'
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retriever: LlamaIndexBase
    k: int | None = Field(default=None, ge=1)
    """How many documents."""

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        k = most(k, self.k)
        return Search(_giving(self.retriever, k), query).run()[:k]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None
    ) -> list[Document]:
        k = most(k, self.k)
        return (await Search(_giving(self.retriever, k), query).arun())[:k]


def as_retriever(given: object) -> Runnable[str, list[Document]]:
    """A LangChain retriever, or any Runnable from a query to documents, as it is; a LlamaIndex retriever made one."""
    if isinstance(given, LlamaIndexBase):
        return LlamaIndexRetriever(retriever=given)
    if isinstance(given, Pregel):  # a Runnable as well, but one that takes and gives a state
        raise UsageError(f"the graph {given.name!r} is no retriever", hint="give StrategyRetriever(graph=...)")
    if isinstance(given, Runnable):
        return given
    raise UsageError(f"a {type(given).__name__} is no retriever", hint="give one of LangChain's or LlamaIndex's")


RetrieverLike = Annotated[Runnable[str, list[Document]], BeforeValidator(as_retriever)]
"""A field that takes what `as_retriever` takes."""


def most(asked: int | None, default: int | None) -> int | None:
    """How many documents a call wants: its own `k`, else the retriever's. `UsageError` for less than one."""
    if asked is not None and asked < 1:
        raise UsageError(f"k is {asked}", hint="use 1 or more")
    return default if asked is None else asked


def _giving(retriever: Any, k: int | None) -> Any:
    """A copy of the retriever that gives `k`, where it can be told: the caller's own stays as it is."""
    if k is None:
        return retriever
    if hasattr(retriever, "with_mode"):
        return retriever.with_mode(retriever.mode, k)
    for name in ("top_k", "similarity_top_k"):
        if isinstance(getattr(retriever, name, None), int):
            twin = copy.copy(retriever)
            setattr(twin, name, k)
            return twin
    return retriever
