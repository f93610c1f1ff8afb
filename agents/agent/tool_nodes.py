"""The loop of a model that calls tools: LangChain's `create_agent`, inside a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig

from ...graphs.common.asking import QUIET, failure_of
from ...graphs.common.effects import Doing
from ...types import Step
from .found import all_found
from .nodes import AgentNodes
from .state import RagAgentState

__all__ = ("ToolNodes",)


@dataclass(frozen=True, slots=True)
class _Run:
    """The effect of running the agent on a question. It joins the thread of the run that asks it."""

    agent: Any
    question: str
    quiet: bool = False
    """Keep the model's tokens out of streams."""

    def _config(self) -> RunnableConfig | None:
        return RunnableConfig(tags=QUIET["tags"]) if self.quiet else None

    def _given(self) -> dict[str, Any]:
        return {"messages": [HumanMessage(self.question)]}

    def run(self) -> dict[str, Any]:
        """Blocking."""
        state: dict[str, Any] = self.agent.invoke(self._given(), self._config())
        return state

    async def arun(self) -> dict[str, Any]:
        """Awaited."""
        state: dict[str, Any] = await self.agent.ainvoke(self._given(), self._config())
        return state


@dataclass(frozen=True, kw_only=True)
class ToolNodes(AgentNodes):
    """The nodes, with what they work with."""

    agent: Any

    def loop(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Lets the model search and answer."""
        from .middleware.results import searches_in

        try:
            done: Mapping[str, Any] = yield _Run(self.agent, state["prompted"])
        except Exception as error:
            step["decision"], step["reason"] = "stop", failure_of(error)
            return {"error": step["reason"], "inner_steps": []}
        searches = searches_in(done["messages"])
        step["decision"] = done.get("settled") or "no answer that is supported"
        step["reason"] = f"{done['usage']['calls']} calls, {done['hops']} searches"
        return {
            "searches": searches,
            "documents": all_found(searches),
            "draft": done.get("draft") or [],
            "declined": done.get("declined", False),
            "settled": done.get("settled", ""),
            "error": done.get("error", ""),
            "usage": done["usage"],
            "hops": done["hops"],
            "inner_steps": done["steps"],
        }

    def after_admission(self, state: RagAgentState) -> Literal["loop", "cite"]:
        """A question that the guard blocks is put to no model."""
        return "cite" if state["settled"] else "loop"
