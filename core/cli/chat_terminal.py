"""A conversation in a terminal: lines in, answers out, until the person leaves."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..errors import RagloomError
from .chat_commands import COMMANDS, help_text
from .chat_lines import agrees, offer_history, read_line
from .output import console, note
from .session import AnswerPrinter

if TYPE_CHECKING:
    from ..access import AccessScope
    from ..agents.assistant import Assistant, Chat
    from ..agents.conversation import LongTermMemory
    from ..settings import Settings

__all__ = ("Talk",)


class Talk:
    """What a person talks to. Whatever fails is one line, and the conversation goes on.

    Answers run on an event loop, so that Ctrl-C ends the model's call at once, and not when it has said everything.
    """

    def __init__(
        self, assistant: Assistant, scope: AccessScope, settings: Settings, build: Callable[[Settings], Any]
    ) -> None:
        assert assistant.memory is not None
        self.assistant, self.scope, self.settings = assistant, scope, settings
        self.memory: LongTermMemory = assistant.memory
        self.thread = self.new_name()
        self._build = build
        self._loop = asyncio.Runner()

    @property
    def chat(self) -> Chat:
        """The conversation at hand."""
        return self.assistant.chat(self.scope, self.thread)

    def run(self) -> None:
        """Until /quit or the end of the input."""
        note("Ask about your documents; /help lists the commands.")
        self.tell_thread()
        with self._loop:
            while True:
                console().print()
                line = read_line()
                if line is None or line.strip() in ("/quit", "/exit"):
                    return
                if line.strip():
                    self._safely(self._take, line.strip())

    # -- what commands do ---------------------------------------------------------------------------------------------

    def last(self, key: str) -> list[Any]:
        """A list of the last answer's: `documents` or `steps`."""
        found: list[Any] = self.chat.state().last.get(key) or []
        if not found:
            note(f"no {key} yet")
        return found

    def choose(self, strategy: str) -> None:
        """Another strategy from now on."""
        settings = self.settings.model_copy(update={"strategy": strategy})
        self.assistant = self.assistant.answering_with(self._build(settings))
        self.settings = settings

    def new_name(self) -> str:
        """Of a thread: when it began, and something that no other process has at this time."""
        return f"{datetime.now():%Y-%m-%d-%H%M}-{secrets.token_hex(2)}"

    def go_to(self, thread: str) -> None:
        """Another thread, new or old."""
        self.scope.thread_key(thread)  # refuses what is no name
        self.thread = thread
        offer_history(str(each.text) for each in self.chat.state().messages if each.type == "human")

    def tell_thread(self) -> None:
        """Its name, and what is unfinished in it."""
        note(f"conversation {self.thread}")
        if unfinished := self.chat.state().unfinished:
            note(f"not answered yet: {unfinished!r}; /resume goes on with it")

    def resume(self) -> None:
        """Goes on with what was broken off."""
        self._answer(self.chat.aresume())

    # -- one line -----------------------------------------------------------------------------------------------------

    def _take(self, line: str) -> None:
        if not line.startswith("/"):
            self._answer(self.chat.astream(line))
            return
        name, _, argument = line.partition(" ")
        if name in COMMANDS:
            COMMANDS[name][0](self, argument.strip())
        else:
            console().print(help_text())

    def _answer(self, events: AsyncIterator[dict[str, Any]]) -> None:
        """Shows an answer; a person is asked where the run stops for that."""
        while True:
            last = self._loop.run(_shown(events))
            if last["type"] != "interrupt":
                return
            events = self.chat.aresume(agrees(_asking(last["value"])), last["id"])

    def _safely(self, do: Callable[[str], None], line: str) -> None:
        try:
            self._until_stopped(do, line)
        except RagloomError as error:
            note(f"error: {error}")
        except Exception as error:
            if os.environ.get("RAGLOOM_DEBUG"):
                raise
            note(f"error: unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}")

    def _until_stopped(self, do: Callable[[str], None], line: str) -> None:
        try:
            do(line)
        except KeyboardInterrupt:
            note("\nstopped; /resume goes on with it" if self.chat.state().unfinished else "\nstopped")


async def _shown(events: AsyncIterator[dict[str, Any]]) -> dict[str, Any]:
    """The last event; the others, and it, are shown."""
    printer = AnswerPrinter()
    last: dict[str, Any] = {}
    async for last in events:
        if last["type"] == "interrupt":
            continue
        error = last.get("error")
        if not (error and last["abstained"]):
            printer.show(last)
        if error:
            note(f"error: {error}")
    return last


def _asking(value: Any) -> str:
    """An interrupt as a question to a person."""
    if isinstance(value, dict) and value.get("type") == "web_search":
        return f"Ask the web: {'; '.join(map(repr, value['queries']))}?"
    return f"Go on? {value}"
