"""The passages in an agent's messages, and what tool calls come to."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.types import Command

from ....types import add_usage
from ..found import Searched, passages_text

__all__ = (
    "CRITIQUE",
    "ToolResult",
    "messages_in",
    "passages_of",
    "question_of",
    "searches_in",
    "turn_of",
    "with_passages",
    "with_update",
)

ToolResult: TypeAlias = ToolMessage | Command[Any]
CRITIQUE = "ragloom-critique"
"""Marks, under `lc_source`, a message that is no question of the user's."""
_MERGED: dict[str, Callable[[Any, Any], Any]] = {"usage": add_usage, "elapsed": max}
_DUMPED = frozenset(Document.model_fields)


def with_update(result: ToolResult, update: Mapping[str, Any]) -> Command[Any]:
    """The result of a tool call with a further update of the state."""
    given: Any = result.update if isinstance(result, Command) else {"messages": [result]}
    if not isinstance(given, Mapping):
        raise TypeError("a tool gave a Command whose update is no dictionary")
    before = dict(given)
    for key, value in update.items():
        if key in before and key != "messages":
            before[key] = _MERGED.get(key, operator.add)(before[key], value)
        else:
            before[key] = value
    return dataclasses.replace(result, update=before) if isinstance(result, Command) else Command(update=before)


def messages_in(result: ToolResult) -> list[Any]:
    """The messages that a tool call came to."""
    if isinstance(result, Command):
        return list(result.update.get("messages") or []) if isinstance(result.update, Mapping) else []
    return [result]


def passages_of(message: Any) -> list[Document]:
    """The passages that a tool gave as its artifact; none where that is something else."""
    given = getattr(message, "artifact", None)
    found = [_passage(each) for each in given] if isinstance(given, (list, tuple)) else []
    passages = [each for each in found if each is not None]
    return passages if len(passages) == len(found) else []


def _passage(given: Any) -> Document | None:
    """A passage, also as checkpointers give it back: of an artifact they keep the fields alone."""
    if isinstance(given, Document):
        return given
    if not isinstance(given, dict) or set(given) != _DUMPED or given["type"] != "Document":
        return None
    text, identity, metadata = given["page_content"], given["id"], given["metadata"]
    named = isinstance(metadata, dict) and all(isinstance(key, str) for key in metadata)
    if not (named and isinstance(text, str) and (identity is None or isinstance(identity, str))):
        return None
    return Document(text, id=identity, metadata=metadata)


def with_passages(message: ToolMessage, documents: Sequence[Document], note: str, left_out: int = 0) -> ToolMessage:
    """The message with these passages alone, in its text as well; the note where there are none."""
    text = passages_text(documents, left_out) if documents else note
    return message.model_copy(update={"content": text, "artifact": list(documents)})


def turn_of(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """From the user's last question on."""
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if isinstance(message, HumanMessage) and message.additional_kwargs.get("lc_source") != CRITIQUE:
            return list(messages[at:])
    return []


def question_of(messages: Sequence[AnyMessage]) -> str:
    """The user's last question; empty where there is none."""
    turn = turn_of(messages)
    return str(turn[0].text) if turn else ""


def searches_in(messages: Sequence[AnyMessage]) -> list[Searched]:
    """The tool calls that were answered in this turn, with the passages that each gave."""
    turn = turn_of(messages)
    calls = {call["id"]: call for message in turn if isinstance(message, AIMessage) for call in message.tool_calls}
    searches = []
    for message in turn:
        if isinstance(message, ToolMessage) and (call := calls.get(message.tool_call_id)):
            query = next((value for value in call["args"].values() if isinstance(value, str)), "")
            documents = passages_of(message)
            note = "" if documents else str(message.text)
            searches.append(Searched(source=call["name"], query=query, documents=documents, note=note))
    return searches
