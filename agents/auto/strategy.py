"""A strategy as a path: checked when the graph is built, built for what is left, run inside another graph."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from langgraph.errors import GraphBubbleUp
from langgraph.pregel import Pregel

from ...errors import UsageError
from ...types import Budget
from ..sources.router import TO_MEND
from .outcome import Outcome, outcome_of

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ("CHEAP", "RunStrategy", "Strategy", "built", "checked")

CHEAP = "cheap"
"""The name of the cheap path."""
Strategy: TypeAlias = (
    "CompiledStateGraph[Any, Any, Any, Any] | Callable[[Budget], CompiledStateGraph[Any, Any, Any, Any]]"
)
"""A compiled strategy, which keeps the budget it was built with; or a function that builds one for what is left."""


def checked(name: str, strategy: Any) -> None:
    """Raises `UsageError` for what is no strategy, or has threads of its own."""
    if isinstance(strategy, Pregel):
        if {"question", "answer"} - set(strategy.channels):
            hint = "it takes `question` and gives `answer`, `documents`, `citations`"
            raise UsageError(f"{name!r} is a graph, but no strategy", hint=hint)
        if strategy.checkpointer:
            hint = "build it without one: the graph that runs it keeps its state"
            raise UsageError(f"the strategy {name!r} has a checkpointer", hint=hint)
    elif isinstance(strategy, type) or not callable(strategy):
        hint = "give a compiled strategy, or a function from a Budget to one"
        raise UsageError(f"{name!r} is a {type(strategy).__name__}, no strategy", hint=hint)


def built(name: str, strategy: Any, budget: Budget) -> Any:
    """The compiled strategy. `UsageError` where a function gives something else."""
    if isinstance(strategy, Pregel):
        return strategy
    graph = strategy(budget)
    if not isinstance(graph, Pregel):
        raise UsageError(f"{name!r} gave a {type(graph).__name__}, no strategy", hint="return a compiled graph")
    checked(name, graph)
    return graph


@dataclass(slots=True)
class _Heard:
    """What a strategy that runs has said so far."""

    write: Callable[[Any], None] | None
    values: Mapping[str, Any] = field(default_factory=dict)
    said: list[Mapping[str, Any]] = field(default_factory=list)
    failed: str = ""

    def take(self, mode: str, chunk: Any) -> None:
        if mode == "values":
            self.values = chunk
            return
        if isinstance(chunk, Mapping) and chunk.get("type") == "sentence":
            self.said.append(chunk)
        if self.write is not None:
            self.write(chunk)

    def fail(self, error: Exception) -> None:
        self.failed = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"

    def outcome(self, path: str) -> Outcome:
        streamed = self.write is not None and bool(self.said)
        return outcome_of(path, self.values, self.said, failed=self.failed, streamed=streamed)


@dataclass(frozen=True, slots=True)
class RunStrategy:
    """The effect of running a strategy. Its failure is part of the outcome; an interrupt is none, and goes on; what the
    user must mend (another embedder, a missing artifact) is raised.

    It joins the thread of the run that asks it: one that was killed goes on where it was.
    """

    path: str
    build: Callable[[], Any]
    question: str
    write: Callable[[Any], None] | None
    """Takes what it streams; None: nobody is to see it yet."""

    def run(self) -> Outcome:
        """Blocking."""
        heard = _Heard(self.write)
        try:
            for mode, chunk in self.build().stream({"question": self.question}, stream_mode=["custom", "values"]):
                heard.take(mode, chunk)
        except (GraphBubbleUp, *TO_MEND):
            raise
        except Exception as error:
            heard.fail(error)
        return heard.outcome(self.path)

    async def arun(self) -> Outcome:
        """Awaited."""
        heard = _Heard(self.write)
        try:
            graph = await asyncio.to_thread(self.build)
            async for mode, chunk in graph.astream({"question": self.question}, stream_mode=["custom", "values"]):
                heard.take(mode, chunk)
        except (GraphBubbleUp, *TO_MEND):
            raise
        except Exception as error:
            heard.fail(error)
        return heard.outcome(self.path)
