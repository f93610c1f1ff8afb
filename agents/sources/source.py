"""A source: a name, what it can answer, and what answers."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langgraph.pregel import Pregel
from llama_index.core.base.base_retriever import BaseRetriever

from ...errors import UsageError
from ...types import Budget
from .route import NONE, UNKNOWN

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ("GraphOfBudget", "Kind", "Source", "checked_sources", "tool_argument")

Kind = Literal["retriever", "graph", "tool"]
GraphOfBudget: TypeAlias = "Callable[[Budget], CompiledStateGraph[Any, Any, Any, Any]]"
"""Builds a strategy that keeps to a budget."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_QUESTION_ARGUMENTS = ("question", "query", "input")


@dataclass(frozen=True)
class Source:
    """What a question can be asked of.

    `answers` is one of:

    - a LlamaIndex retriever (a knowledge base, a web search): its passages are read. It sees what it sees elsewhere:
      its tenant, its filters and its collection are part of it, and nothing here widens them;
    - a strategy of ours, compiled without a checkpointer (`table_qa`, `summarise_rag`): it answers by itself, and
      keeps the budget it was built with. A function from a `Budget` to such a graph is given what is left instead;
    - a LangChain tool or any other Runnable: it is given the question, and gives text, `Document`s, or (a tool made by
      `as_tool`) the whole result of a strategy.

    Raises `UsageError` for a name that is none, a description that is empty, or what cannot answer.

        >>> Source("handbook", "Rules for employees: leave, travel, money.", kb.retriever())  # doctest: +SKIP
        >>> Source("sales", "Sales by month.", lambda budget: table_qa(db, llm, budget=budget))  # doctest: +SKIP
    """

    name: str
    """Letters, digits, `_` and `-`, at most 64, a letter first. `none` and `unknown` are labels of the routers."""
    description: str
    """What it can answer, in a sentence or two: routers know nothing else of it."""
    answers: BaseRetriever | Runnable[Any, Any] | GraphOfBudget
    cost: float = 1.0
    """Of one question, beside the other sources, in a unit of your own: of equally good ones the cheaper comes first,
    and a router that is a language model is told.
    """
    examples: Sequence[str] = ()
    """Questions that it can answer."""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            hint = "letters, digits, _ and -, at most 64, a letter first"
            raise UsageError(f"{self.name!r} is no name of a source", hint=hint)
        if self.name.casefold() in (NONE, UNKNOWN):
            raise UsageError(f"a source cannot be called {self.name!r}", hint="routers have that label for no source")
        if not isinstance(self.description, str) or not self.description.strip():
            raise UsageError(f"the source {self.name!r} has no description", hint="say what it can answer")
        if isinstance(self.examples, str) or not all(isinstance(each, str) and each.strip() for each in self.examples):
            raise UsageError(f"the examples of {self.name!r} are no questions", hint="give a list of texts")
        if not (isinstance(self.cost, (int, float)) and math.isfinite(self.cost) and self.cost >= 0):
            raise UsageError(f"the cost of {self.name!r} is {self.cost!r}", hint="use a number from 0 on")
        _check_answers(self.name, self.answers)

    @property
    def kind(self) -> Kind:
        """How it is asked."""
        if isinstance(self.answers, BaseRetriever):
            return "retriever"
        return "tool" if isinstance(self.answers, Runnable) and not isinstance(self.answers, Pregel) else "graph"

    def graph(self, budget: Budget) -> Any:
        """The strategy that answers, built for this budget where it is a function of one."""
        assert self.kind == "graph"
        answers: Any = self.answers
        return answers if isinstance(answers, Pregel) else answers(budget)


def checked_sources(sources: Sequence[Source]) -> dict[str, Source]:
    """Sources by name, in their order. `UsageError` where there are none, or two of one name."""
    if not sources:
        raise UsageError("there are no sources", hint="give at least one Source(name, description, retriever)")
    named: dict[str, Source] = {}
    for source in sources:
        if not isinstance(source, Source):
            raise UsageError(f"{type(source).__name__} is no source", hint="use Source(name, description, retriever)")
        if source.name.casefold() in {name.casefold() for name in named}:
            raise UsageError(f"two sources are called {source.name!r}", hint="names differ by more than their case")
        named[source.name] = source
    return named


def tool_argument(tool: BaseTool) -> str:
    """The name of the argument that takes the question. `UsageError` where it is not clear which.

    >>> from langchain_core.tools import tool
    >>> @tool
    ... def search(query: str, limit: int = 3) -> str:
    ...     "Searches."
    >>> tool_argument(search)
    'query'
    """
    needed = [name for name, schema in tool.args.items() if "default" not in schema]
    likely = [name for name in _QUESTION_ARGUMENTS if name in tool.args]
    if len(needed) == 1:
        return needed[0]
    if not needed and likely:
        return likely[0]
    raise UsageError(
        f"the tool {tool.name!r} needs {', '.join(needed) or 'nothing'}, not one question",
        hint="wrap it in a RunnableLambda that takes the question",
    )


def _check_answers(name: str, answers: Any) -> None:
    if isinstance(answers, Pregel):
        if {"question", "answer"} - set(answers.channels):
            hint = "it takes `question` and gives `answer`, `documents`, `citations`"
            raise UsageError(f"the graph of {name!r} is no strategy", hint=hint)
        if answers.checkpointer:
            hint = "build it without one: the graph that asks it keeps its state"
            raise UsageError(f"the graph of {name!r} has a checkpointer", hint=hint)
    elif isinstance(answers, BaseTool):
        tool_argument(answers)
    elif isinstance(answers, type) or not (isinstance(answers, (BaseRetriever, Runnable)) or callable(answers)):
        hint = "give a LlamaIndex retriever, a strategy, a LangChain tool or another Runnable"
        raise UsageError(f"the source {name!r} cannot be asked: it is a {type(answers).__name__}", hint=hint)
