"""What tests of the assistant share: the strategies' own kit, a model that reads what it is shown, and users."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from langchain_core.messages import BaseMessage

from ragloom.access import AccessScope
from ragloom.agents.assistant import Assistant, Chat, with_memory
from ragloom.graphs import naive_rag
from ragloom.testing import FakeChatModel

# The strategies' own kit: what must hold of their results holds of ours too.
sys.path.append(str(Path(__file__).parents[1] / "graphs"))

from strategy_kit import GOOD, Shelf

ANA, BO = AccessScope("acme", "ana"), AccessScope("acme", "bo")


def naive(llm: Any, *names: str, **options: Any) -> Any:
    return naive_rag(Shelf(*(names or ("leave.md", "travel.md"))), llm, reader=with_memory(llm), **options)


def reader(**options: Any) -> FakeChatModel:
    """Says what is true of leave where it is asked for that, nothing useful of follow-ups, and else does not know."""

    def say(messages: list[BaseMessage]) -> str:
        return GOOD if "annual leave" in str(messages[-1].text).rpartition("Question:")[2] else "I don't know."

    return FakeChatModel(replies=say, **options)


def opened(folder: Path, llm: Any = None, strategy: Any = None, **options: Any) -> Assistant:
    llm = llm or reader()
    return Assistant.open(folder / "chats.sqlite", strategy or naive(llm), llm, **options)


def ask(chat: Chat, question: str, way: str) -> dict[str, Any]:
    """The last event, sync or async."""
    return chat.ask(question) if way == "sync" else asyncio.run(chat.aask(question))


def resume(chat: Chat, way: str, reply: Any = None, to: str | None = None) -> list[dict[str, Any]]:
    """All events, sync or async."""

    async def events() -> list[dict[str, Any]]:
        return [event async for event in chat.aresume(reply, to)]

    return list(chat.resume(reply, to)) if way == "sync" else asyncio.run(events())


def told(chat: Chat) -> list[str]:
    """What was said in a thread."""
    return [str(message.text) for message in chat.state().messages]
