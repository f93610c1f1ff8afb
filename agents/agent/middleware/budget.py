"""The budget of a LangChain agent: calls, tokens, seconds and searches."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware.types import (
    AgentMiddleware,
    ExtendedModelResponse,
    ModelCallResult,
    ModelRequest,
    ModelResponse,
    ToolCallRequest,
)
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite

from ....graphs.common.asking import failure_of
from ....graphs.common.metering import no_usage
from ....graphs.common.packing import Packed, pack_passages
from ....graphs.common.purse import READING_SHARE, Purse
from ....models import context_window, count_tokens
from ....types import Budget, Step
from ..found import all_found
from .metered import MeteredModel
from .results import ToolResult, passages_of, searches_in, with_passages, with_update
from .state import RunState

__all__ = ("BudgetMiddleware",)


class BudgetMiddleware(AgentMiddleware[RunState, Any, Any]):
    """Ends the agent's loop where its budget ends, with what it has; LangGraph's recursion limit is a crash.

    Before each call of the model the prompt is packed: passages that tools gave and that do not fit the model's window
    or the tokens that are left are left out whole, the best of every search stay. A call that cannot be afforded is
    not made, and the run ends. Every tool call counts as a hop, whatever comes of it; one that is too many is
    answered with a sentence that says so. A model that fails ends the loop; `error` says why.

    Args:
        budget: of one turn.
        max_answer_tokens: of one reply of the model, tool calls included.
        reading_follows: something reads what was found when the loop has ended: a call and `READING_SHARE` of the
            tokens are left for it, and the model is not asked where it could not search any more.

    Example:
        >>> create_agent(llm, tools, middleware=[BudgetMiddleware(Budget(llm_calls=4, hops=3))])  # doctest: +SKIP
    """

    state_schema = RunState

    def __init__(
        self, budget: Budget | None = None, *, max_answer_tokens: int = 256, reading_follows: bool = False
    ) -> None:
        super().__init__()
        self.budget = budget or Budget()
        self.max_answer_tokens = max_answer_tokens
        self.reading_follows = reading_follows

    def before_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Begins to count."""
        counts = {"steps": [], "usage": no_usage(), "hops": 0, "elapsed": 0.0}
        return {"error": "", **{name: Overwrite(value) for name, value in counts.items()}}

    async def abefore_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Begins to count."""
        return self.before_agent(state, runtime)

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelCallResult[Any]:
        """Asks within the budget."""
        began = time.perf_counter()
        ready, model, refused = self._prepared(request)
        if refused:
            return self._answer(request, AIMessage(""), model, began, refused)
        try:
            message = _message_of(handler(ready))
        except Exception as error:
            model.failed = failure_of(error)
            message = AIMessage("")
        return self._answer(request, message, model, began)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelCallResult[Any]:
        """Asks within the budget."""
        began = time.perf_counter()
        ready, model, refused = await asyncio.to_thread(self._prepared, request)  # counting tokens may ask a server
        if refused:
            return self._answer(request, AIMessage(""), model, began, refused)
        try:
            message = _message_of(await handler(ready))
        except Exception as error:
            model.failed = failure_of(error)
            message = AIMessage("")
        return self._answer(request, message, model, began)

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolResult]) -> ToolResult:
        """Counts the call, or says that it is one too many."""
        began = time.perf_counter()
        refused = self._refused(request)
        return _counted(request, refused or handler(request), began)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolResult]]
    ) -> ToolResult:
        """Counts the call, or says that it is one too many."""
        began = time.perf_counter()
        refused = self._refused(request)
        return _counted(request, refused or await handler(request), began)

    # -- the model ----------------------------------------------------------------------------------------------------

    def _prepared(self, request: ModelRequest[Any]) -> tuple[ModelRequest[Any], MeteredModel, str]:
        """The request that fits, and why it cannot be made."""
        purse = Purse(self.budget, request.state)
        kept = int(self.budget.tokens * READING_SHARE) if self.reading_follows else 0
        limit = min(context_window(request.model), purse.tokens - kept) - self.max_answer_tokens
        packed = self._packed(request, limit)
        calls = max(1, purse.hops)
        model = MeteredModel(request.model, most=self.max_answer_tokens, most_calls=calls, deadline=purse.deadline)
        if self.reading_follows and purse.hops <= 0:
            refused = f"the budget of {self.budget.hops} searches is spent"
        else:
            keep = 1 if self.reading_follows else 0
            refused = purse.refusal(tokens=packed.tokens + self.max_answer_tokens, keep_calls=keep)
        if not refused and packed.tokens > limit:
            refused = f"{packed.tokens} tokens do not fit beside an answer of {self.max_answer_tokens}"
        asked: Any = model  # create_agent binds tools to it and invokes it, and asks no more of a model
        messages: list[Any] = packed.messages
        return request.override(model=asked, messages=messages), model, refused

    def _packed(self, request: ModelRequest[Any], limit: int) -> Packed:
        """The messages with as many passages as fit. `tokens` counts what stands around them, tools included."""
        system = [request.system_message] if request.system_message else []
        tools = [tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in request.tools]
        calls = [call for each in request.messages if isinstance(each, AIMessage) for call in each.tool_calls]
        around = count_tokens(request.model, json.dumps([tools, calls], default=str))

        def render(shown: list[Document]) -> list[BaseMessage]:
            identities = {document.id for document in shown}
            return [*system, *(_with_only(message, identities) for message in request.messages)]

        found = all_found(searches_in(request.messages))
        count: Callable[[str], int] = lambda text: count_tokens(request.model, text)  # noqa: E731
        packed = pack_passages(found, render, count, limit - around)
        messages = packed.messages[len(system) :]
        return Packed(messages, packed.taken, packed.left_out, packed.tokens + around)

    def _answer(
        self, request: ModelRequest[Any], message: AIMessage, model: MeteredModel, began: float, refused: str = ""
    ) -> ExtendedModelResponse[Any]:
        seconds = time.perf_counter() - began
        step = Step(node="think", decision="", reason="", ms=round(seconds * 1000, 1))
        called = ", ".join(call["name"] for call in message.tool_calls)
        step["decision"] = "stop" if refused else f"call {called}"[:200] if called else "answer"
        step["reason"] = refused or model.failed or "by the model"
        elapsed = _elapsed(request.state) + seconds
        update: dict[str, Any] = {"steps": [step], "usage": model.usage, "elapsed": elapsed}
        if model.failed:
            step["decision"] = "stop"
            update["error"] = model.failed
        return ExtendedModelResponse(ModelResponse(result=[message]), Command(update=update))

    # -- tools --------------------------------------------------------------------------------------------------------

    def _refused(self, request: ToolCallRequest) -> ToolMessage | None:
        """The answer to a call that is one too many; those of one message are counted in their order."""
        purse = Purse(self.budget, request.state)
        last = next(each for each in reversed(request.state["messages"]) if isinstance(each, AIMessage))
        before = [call["id"] for call in last.tool_calls]
        place = before.index(request.tool_call["id"]) if request.tool_call["id"] in before else 0
        if place < purse.hops and purse.seconds > 0:
            return None
        return ToolMessage(
            "The budget of searches is spent. Answer with what was found.",
            artifact=[],
            name=request.tool_call["name"],
            tool_call_id=request.tool_call["id"] or "",
        )


def _counted(request: ToolCallRequest, result: ToolResult, began: float) -> Command[Any]:
    """Those of one message begin together: of what they took, the longest counts."""
    return with_update(result, {"hops": 1, "elapsed": _elapsed(request.state) + time.perf_counter() - began})


def _elapsed(state: Any) -> float:
    return float(state.get("elapsed") or 0.0)


def _message_of(response: Any) -> AIMessage:
    """The model's message; what middleware further in made of it counts."""
    messages = [each for each in response.result if isinstance(each, AIMessage)]
    return messages[-1] if messages else AIMessage("")


def _with_only(message: Any, identities: set[str | None]) -> Any:
    """A tool's message with the passages that fit."""
    found = passages_of(message)
    if not isinstance(message, ToolMessage) or not found:
        return message
    shown = [document for document in found if document.id in identities]
    if len(shown) == len(found):
        return message
    return with_passages(message, shown, "What was found has no room here any more.", len(found) - len(shown))
