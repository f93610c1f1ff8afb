"""One thread of one user: questions in, checked sentences and a result out, and what was broken off goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Interrupt

from ...access import AccessScope
from ...errors import StoreError, UsageError
from .pruning import keep_latest

__all__ = ("Chat", "ChatState")

Event = dict[str, Any]
INTERRUPT = "__interrupt__"


@dataclass(frozen=True, slots=True)
class ChatState:
    """Where a thread stands."""

    messages: tuple[AnyMessage, ...] = ()
    """What was said, word for word."""
    last: dict[str, Any] = field(default_factory=dict)
    """The last run as the graph's state has it: `answer`, `documents`, `steps`, `asked`, ..."""
    unfinished: str = ""
    """The question of a run that was broken off, or waits for a person; empty where the last one was answered."""
    interrupts: tuple[Interrupt, ...] = ()
    """What the run waits for, each with its `id`, in the order in which a person is asked."""


class Chat:
    """A conversation; `Assistant.chat` makes it. It holds nothing itself: two of one thread are the same.

    Events, in their order: `{"type": "sentence", "text", "citations"}` as sentences pass the check, and at last either
    `{"type": "result", ...}` with what the graph gave, or `{"type": "interrupt", "id", "value"}` where a person is
    asked something: `resume(reply, id)` goes on. Where several things wait, each is asked by itself. An answer that was
    not made by the reader has no sentences.

    Every finished step is kept before the next one begins. A run that ended in the middle (a kill, an error, a closed
    stream) leaves its question `unfinished`: `resume()` goes on from the last finished step, inside the strategy too,
    and sentences of the step that was broken off come once more. With another strategy than the run began with, the
    question is asked again from the start. A new question lets the unfinished one rest: it stays in the messages.

    Once a question is answered its steps are dropped, where the threads are `Threads`: there is no going back in time.

    One question at a time: a thread that is asked twice at once is nobody's conversation.
    """

    def __init__(self, graph: Any, strategy: Callable[[AccessScope], str], scope: AccessScope, thread: str) -> None:
        """`strategy` tells the name of what answers within the graph; only resuming needs it."""
        self._graph, self._strategy = graph, strategy
        self._who = scope
        self._config: RunnableConfig = {"configurable": {"thread_id": scope.thread_key(thread)}}

    # -- questions ----------------------------------------------------------------------------------------------------

    def stream(self, question: str) -> Iterator[Event]:
        """Asks."""
        yield from self._run({"messages": [HumanMessage(_checked(question))]})

    async def astream(self, question: str) -> AsyncIterator[Event]:
        """As `stream`."""
        async for event in self._arun({"messages": [HumanMessage(_checked(question))]}):
            yield event

    def ask(self, question: str) -> Event:
        """Asks; the last event: a result, or an interrupt."""
        return list(self.stream(question))[-1]

    async def aask(self, question: str) -> Event:
        """As `ask`."""
        return [event async for event in self.astream(question)][-1]

    def resume(self, reply: Any = None, to: str | None = None) -> Iterator[Event]:
        """Goes on with the unfinished question; `reply` is a person's, where one was asked, and None asks once more.

        `to` is the `id` of the event that asked, else the reply is to the first thing that waits; to that alone: what
        else waits is asked next. `UsageError` where nothing is unfinished, or `to` does not wait any more: a button
        that is pressed twice consents once.
        """
        yield from self._run(self._rest(self.state(), reply, to))

    async def aresume(self, reply: Any = None, to: str | None = None) -> AsyncIterator[Event]:
        """As `resume`."""
        state = await self.astate()
        async for event in self._arun(await asyncio.to_thread(self._rest, state, reply, to)):
            yield event

    # -- what is kept -------------------------------------------------------------------------------------------------

    def state(self) -> ChatState:
        """Where the thread stands."""
        return _state(self._graph.get_state(self._config))

    async def astate(self) -> ChatState:
        """As `state`."""
        return _state(await self._graph.aget_state(self._config))

    # -- parts --------------------------------------------------------------------------------------------------------

    def _run(self, given: Any) -> Iterator[Event]:
        last: Event = {}
        for mode, part in self._graph.stream(given, self._config, **self._how()):
            if mode == "custom":
                yield part
            else:
                last = part
        if INTERRUPT in last:
            yield _asking(self.state())
            return
        self._tidy()
        yield {"type": "result", **last}

    async def _arun(self, given: Any) -> AsyncIterator[Event]:
        last: Event = {}
        async for mode, part in self._graph.astream(given, self._config, **self._how()):
            if mode == "custom":
                yield part
            else:
                last = part
        if INTERRUPT in last:
            yield _asking(await self.astate())
            return
        await asyncio.to_thread(self._tidy)
        yield {"type": "result", **last}

    def _tidy(self) -> None:
        with suppress(StoreError):  # another process writes: the answer is there, and the next run tidies
            keep_latest(self._graph.checkpointer, self._config["configurable"]["thread_id"])

    def _how(self) -> dict[str, Any]:
        return {
            "context": self._who,  # for sources that see what their user may see (`rag_agent`)
            "stream_mode": ["custom", "values"],
            "output_keys": self._graph.output_channels,
            "durability": "sync",
        }

    def _rest(self, state: ChatState, reply: Any, to: str | None) -> Any:
        """What the graph is given to go on."""
        if not state.unfinished:
            raise UsageError("no question of this thread is unfinished", hint="ask a new one")
        waiting = [each.id for each in state.interrupts]
        if to is not None and to not in waiting:
            raise UsageError("this reply is to nothing that waits", hint="resume() without a reply asks once more")
        if state.last.get("strategy") != self._strategy(self._who):
            said = next(each for each in reversed(state.messages) if each.type == "human")
            return {"messages": [said]}  # the same message, by its id: it is not said twice
        if reply is None or not waiting:
            return None
        return Command(resume={to or waiting[0]: reply})


def _checked(question: str) -> str:
    if not question.strip():
        raise UsageError("the question is empty")
    # A lone surrogate, as a terminal with a wrong encoding gives, could not be kept.
    return question.encode("utf-8", "replace").decode()


def _asking(state: ChatState) -> Event:
    first = state.interrupts[0]
    return {"type": "interrupt", "id": first.id, "value": first.value}


def _state(snapshot: Any) -> ChatState:
    messages = tuple(snapshot.values.get("messages") or ())
    said = [str(each.text) for each in messages if each.type == "human"]
    return ChatState(
        messages=messages,
        last=dict(snapshot.values),
        unfinished=said[-1] if snapshot.next and said else "",
        interrupts=tuple(snapshot.interrupts),
    )
