"""The effects of asking: a strategy runs inside ours, a tool is called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from ...graphs.common.asking import QUIET
from .source import tool_argument

__all__ = ("AskGraph", "AskTool", "GraphReply")


@dataclass(frozen=True, slots=True)
class GraphReply:
    """What a strategy gave, and whether its sentences went out as they came."""

    result: Any
    streamed: bool


@dataclass(frozen=True, slots=True)
class AskGraph:
    """Runs a strategy. It joins the thread of the run that asks it: one that was killed goes on where it was."""

    build: Callable[[], Any]
    question: str
    write: Callable[[Any], None] | None
    """Takes what it streams; None: nobody is to see it."""
    quiet: bool = False
    """Keep its models' tokens out of streams."""

    def run(self) -> GraphReply:
        """Blocking."""
        result, streamed = None, False
        for mode, chunk in self.build().stream(*self._given(), stream_mode=["custom", "values"]):
            result, streamed = self._take(mode, chunk, result, streamed)
        return GraphReply(result, streamed)

    async def arun(self) -> GraphReply:
        """Awaited."""
        result, streamed = None, False
        graph = await asyncio.to_thread(self.build)
        async for mode, chunk in graph.astream(*self._given(), stream_mode=["custom", "values"]):
            result, streamed = self._take(mode, chunk, result, streamed)
        return GraphReply(result, streamed)

    def _given(self) -> tuple[dict[str, Any], Any]:
        return {"question": self.question}, QUIET if self.quiet else None

    def _take(self, mode: str, chunk: Any, result: Any, streamed: bool) -> tuple[Any, bool]:
        if mode == "values":
            return chunk, streamed
        if self.write is not None:
            self.write(chunk)
        return result, streamed or self.write is not None


@dataclass(frozen=True, slots=True)
class AskTool:
    """Calls a tool, so that it gives its artifact too, or invokes any other Runnable with the question."""

    tool: Runnable[Any, Any]
    question: str

    def run(self) -> Any:
        """Blocking."""
        return self.tool.invoke(self._given())

    async def arun(self) -> Any:
        """Awaited."""
        return await self.tool.ainvoke(self._given())

    def _given(self) -> Any:
        if not isinstance(self.tool, BaseTool):
            return self.question
        arguments = {tool_argument(self.tool): self.question}
        return {"type": "tool_call", "id": "routed", "name": self.tool.name, "args": arguments}
