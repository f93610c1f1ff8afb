"""A chat model whose next call is counted, and stopped where the budget ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, message_chunk_to_message
from langchain_core.runnables import Runnable, RunnableLambda

from ....graphs.common.asking import failure_of
from ....graphs.common.metering import Meter, estimated, no_usage
from ....models import limit_answer
from ....types import Usage

__all__ = ("MeteredModel",)


class MeteredModel:
    """Takes the model's place for one call of `create_agent`: it binds tools as the model does, and streams.

    A call that breaks off gives what the model had said, without the tool calls that it had begun; `failed` says why.
    Tool calls whose arguments are no JSON are given as calls without arguments, so that each can be answered.

    Args:
        llm: the model.
        most: tokens of the answer.
        most_calls: tool calls of the answer; further ones are left out.
        deadline: a `time.monotonic`.
    """

    def __init__(self, llm: BaseChatModel, *, most: int, most_calls: int, deadline: float) -> None:
        self.llm, self.most, self.most_calls, self.deadline = llm, most, most_calls, deadline
        self.usage: Usage = no_usage()
        self.failed = ""

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Runnable[Any, Any]:
        """The call, with tools."""
        return self._call(self.llm.bind_tools(tools, **options))

    def bind(self, **options: Any) -> Runnable[Any, Any]:
        """The call, without tools."""
        return self._call(self.llm.bind(**options))

    def _call(self, bound: Any) -> Runnable[Any, Any]:
        limit = dict(limit_answer(self.llm, self.most))

        def invoke(messages: list[BaseMessage]) -> AIMessage:
            meter, whole = self._meter(), None
            try:
                for chunk in bound.stream(messages, **limit):
                    meter.take(chunk)
                    whole = chunk if whole is None else whole + chunk
                    if meter.over:
                        break
                else:
                    meter.ended = True
            except Exception as error:
                self.failed = failure_of(error)
            return self._ended(meter, messages, whole)

        async def ainvoke(messages: list[BaseMessage]) -> AIMessage:
            meter, whole = self._meter(), None
            try:
                async for chunk in bound.astream(messages, **limit):
                    meter.take(chunk)
                    whole = chunk if whole is None else whole + chunk
                    if meter.over:
                        break
                else:
                    meter.ended = True
            except Exception as error:
                self.failed = failure_of(error)
            return await asyncio.to_thread(self._ended, meter, messages, whole)

        return RunnableLambda(invoke, afunc=ainvoke, name="model")

    def _meter(self) -> Meter:
        return Meter(self.llm, most=self.most, deadline=self.deadline)

    def _ended(self, meter: Meter, messages: Sequence[BaseMessage], whole: Any) -> AIMessage:
        # What a model that does not stream says comes as one whole message.
        message = AIMessage("") if whole is None else message_chunk_to_message(whole)
        assert isinstance(message, AIMessage)
        counted = bool(meter.usage["tokens_in"])
        meter.close(messages)
        self.usage = meter.usage
        if not counted:  # the client says nothing: calls are written tokens as well
            self.usage["tokens_out"] += estimated(json.dumps([call["args"] for call in message.tool_calls]))
        return _with_calls(message, _answerable(message)[: self.most_calls] if meter.ended else [])


def _with_calls(message: AIMessage, calls: list[Any]) -> AIMessage:
    """The message with these tool calls alone: also where a provider keeps a copy of them, nothing is left over."""
    changed = {call["id"] for call in calls} != {call["id"] for call in message.tool_calls}
    others = {key: value for key, value in message.additional_kwargs.items() if key != "tool_calls"}
    update: dict[str, Any] = {"tool_calls": calls, "invalid_tool_calls": [], "additional_kwargs": others}
    return message.model_copy(update={**update, **({"content": str(message.text)} if changed else {})})


def _answerable(message: AIMessage) -> list[Any]:
    """The message's tool calls, each with an id of its own."""
    broken: list[Any] = [
        {"name": call.get("name"), "args": {}, "id": call.get("id")} for call in message.invalid_tool_calls
    ]
    calls: list[Any] = []
    for at, call in enumerate([*message.tool_calls, *broken]):
        known = {each["id"] for each in calls}
        identity = call["id"] if call["id"] and call["id"] not in known else f"{message.id}-{at}"
        calls.append({"name": call["name"] or "unnamed", "args": call["args"], "id": identity, "type": "tool_call"})
    return calls
