"""Strategies by name: those of `ragloom.graphs`, and those that choose among strategies and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..graphs import STRATEGIES as FIXED
from ..graphs.registry import strategy_named

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever

__all__ = ("CHOOSING", "STRATEGIES", "build_strategy")


def _auto(retriever: BaseRetriever, llm: BaseChatModel, **options: Any) -> Any:
    from .auto import default_auto

    return default_auto(retriever, llm, **options)


def _agentic(
    retriever: BaseRetriever, llm: BaseChatModel, *, reranker: Any = None, transform: Any = None, **options: Any
) -> Any:
    """An agent whose one source is the retriever."""
    from .agent import rag_agent
    from .sources import Source

    if transform is not None:
        raise UsageError("the strategy 'agentic' takes no transform", hint="its model writes the queries itself")
    if reranker is not None:
        from ..retrieval.reranked import RerankedRetriever

        retriever = RerankedRetriever(retriever, reranker, rerank_from=getattr(retriever, "top_k", 50))
    return rag_agent([Source("documents", "The documents of the knowledge base.", retriever)], llm, **options)


def _tasks(retriever: BaseRetriever, llm: BaseChatModel, **options: Any) -> Any:
    from .tasks import task_rag

    return task_rag(retriever, llm, **options)


CHOOSING: dict[str, Callable[..., CompiledStateGraph[Any, Any, Any, Any]]] = {
    "agentic": _agentic,
    "auto": _auto,
    "tasks": _tasks,
}
STRATEGIES: dict[str, Callable[..., CompiledStateGraph[Any, Any, Any, Any]]] = {**FIXED, **CHOOSING}
"""Every strategy there is: `name: function(retriever, llm, **options)`."""


def build_strategy(name: str, *args: Any, **kwargs: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Builds a strategy by name; `UsageError` with the list of known ones for any other name.

    >>> build_strategy("auto", kb.retriever(), llm).name  # doctest: +SKIP
    'auto'
    """
    return strategy_named(name, STRATEGIES)(*args, **kwargs)
