"""Sources as the tools of a LangChain agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from langchain.agents.middleware.types import AgentMiddleware, ToolCallRequest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.types import Command
from pydantic import BaseModel, Field

from ....graphs.common.effects import Doing, node
from ....graphs.common.purse import Purse
from ....types import Budget, Step
from ..access import AnySource, ScopedSource, cards_of, named_sources, scope_of
from ..found import passages_text
from ..searching import look_up, share
from .results import ToolResult, searches_in
from .state import RunState

__all__ = ("SourcesMiddleware",)


class Query(BaseModel):
    """What a tool is given: a query and nothing else. Who may see what is not the model's to say."""

    query: str = Field(description="What to look for: one short question or a few words, with names in full.")


class SourcesMiddleware(AgentMiddleware[RunState, Any, Any]):
    """One tool for each source, with `response_format="content_and_artifact"`: the artifact holds the passages, as
    `Document`s with id, source, offsets and `source_name`, so that an answer can cite them.

    Whatever goes wrong is told to the model in the tool's message: a tool that does not exist, an argument that is no
    query, a search that was made before, a source that fails or finds nothing. Passages that stand in the conversation
    already are not repeated. Other tools of the agent are left to it.

    Args:
        sources: what can be searched, each name once.
        budget: what a source that is a strategy itself may take, together with what the turn has cost
            (`BudgetMiddleware` counts it). Several that are called at once share what is left.

    Example:
        >>> create_agent(llm, [], middleware=[SourcesMiddleware([handbook, web])])  # doctest: +SKIP
    """

    state_schema = RunState

    def __init__(self, sources: Sequence[AnySource], *, budget: Budget | None = None) -> None:
        super().__init__()
        self.sources: Mapping[str, AnySource] = named_sources(sources)
        self.budget = budget or Budget()
        self._look = node("search", self._body, clocked=False)
        self.tools: Sequence[BaseTool] = [self._tool(card.name, card.description) for card in cards_of(self.sources)]

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolResult]) -> ToolResult:
        """Searches."""
        if not self._is_ours(request):
            return handler(request)
        return self._result(request, self._look.invoke(_asked(request)))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolResult]]
    ) -> ToolResult:
        """Searches."""
        if not self._is_ours(request):
            return await handler(request)
        return self._result(request, await self._look.ainvoke(_asked(request)))

    def _is_ours(self, request: ToolCallRequest) -> bool:
        return request.tool_call["name"] in self.sources or request.tool is None

    def _body(self, asked: dict[str, Any], step: Step) -> Doing[dict[str, Any]]:
        state = asked["state"]
        searches = searches_in(state.get("messages") or [])
        scope, left = scope_of(asked["context"]), self._share(state, asked["call"])
        looked = yield from look_up(self.sources, scope, asked["name"], asked["query"], searches, left, step)
        return {"searched": looked.searched, "inner_steps": list(looked.steps), "usage": looked.usage}

    def _share(self, state: Mapping[str, Any], call: str | None) -> Budget:
        """Of what is left, the part of this call: those of one message run beside each other."""
        spoken = [each for each in state.get("messages") or [] if isinstance(each, AIMessage)]
        calls = spoken[-1].tool_calls if spoken else []
        asking = [each["id"] for each in calls if _may_ask_a_model(self.sources.get(each["name"]))]
        place = asking.index(call) if call in asking else 0
        return share(Purse(self.budget, state), place, len(asking))

    def _result(self, request: ToolCallRequest, update: dict[str, Any]) -> Command[Any]:
        searched = update["searched"]
        message = ToolMessage(
            passages_text(searched["documents"]) if searched["documents"] else searched["note"],
            artifact=searched["documents"],
            name=request.tool_call["name"],
            tool_call_id=request.tool_call["id"] or "",
        )
        steps = [*update["steps"], *update["inner_steps"]]
        return Command(update={"messages": [message], "steps": steps, "usage": update["usage"]})

    def _tool(self, name: str, description: str) -> BaseTool:
        """The tool as a model is told of it. Called outside an agent it searches as well, without scope or history."""

        def search(query: str) -> tuple[str, list[Document]]:
            return _shown(self._look.invoke(_alone(name, query)))

        async def asearch(query: str) -> tuple[str, list[Document]]:
            return _shown(await self._look.ainvoke(_alone(name, query)))

        return StructuredTool.from_function(
            search,
            coroutine=asearch,
            name=name,
            description=description,
            args_schema=Query,
            response_format="content_and_artifact",
        )


def _may_ask_a_model(source: AnySource | None) -> bool:
    """A scoped source is known when it is opened, which is too late to divide."""
    return source is not None and (isinstance(source, ScopedSource) or source.kind == "graph")


def _asked(request: ToolCallRequest) -> dict[str, Any]:
    context = getattr(request.runtime, "context", None)
    call = request.tool_call
    asked = {"name": call["name"], "query": call["args"].get("query"), "call": call["id"]}
    return {**asked, "state": request.state, "context": context}


def _alone(name: str, query: str) -> dict[str, Any]:
    return {"name": name, "query": query, "call": None, "state": {}, "context": None}


def _shown(update: dict[str, Any]) -> tuple[str, list[Document]]:
    searched = update["searched"]
    return passages_text(searched["documents"]) if searched["documents"] else searched["note"], searched["documents"]
