"""`Assistant`: one for many users, over threads and a memory that outlive the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from langgraph.checkpoint.base import BaseCheckpointSaver

from ...access import AccessScope
from ...errors import UsageError
from ..conversation.memory import LongTermMemory
from ..conversation.threads import ThreadInfo, Threads
from .chat import Chat
from .graph import assistant_graph
from .nodes import Strategy, strategy_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from typing_extensions import Unpack

    from ...models import Embedder
    from .graph import AssistantOptions

__all__ = ("Assistant", "Forgotten")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How much was forgotten."""

    threads: int
    facts: int


class Assistant:
    """Chats of many users: each sees their own threads and facts, and of the documents what their strategy sees.

    Args:
        strategy: what answers, as of `assistant_graph`: a graph, or a function from an `AccessScope` to one.
        llm: makes follow-ups whole and summarises.
        threads: `Threads`, or any LangGraph checkpointer (`PostgresSaver`): then threads are not listed, and forgotten
            one by one.
        memory: facts that outlive a thread; None: nothing is remembered.
        options: `guard`, `router`, `sure`, `margin`, `budget`, `most_tokens`, `most_facts`, as of `assistant_graph`.

    What was given is the caller's to close; `open` makes both in one file, and `close` closes them.

    Example:
        >>> strategy = naive_rag(retriever, llm, reader=with_memory(llm))  # doctest: +SKIP
        >>> with Assistant.open("chat.sqlite", strategy, llm) as assistant:  # doctest: +SKIP
        ...     for event in assistant.chat(AccessScope(user="ana"), "first").stream("Who is the ombudsperson?"):
        ...         print(event["type"])
        sentence
        result
    """

    def __init__(
        self,
        strategy: Strategy,
        llm: BaseChatModel,
        *,
        threads: Threads | BaseCheckpointSaver[Any],
        memory: LongTermMemory | None = None,
        **options: Unpack[AssistantOptions],
    ) -> None:
        self.threads, self.memory = threads, memory
        saver = threads.saver if isinstance(threads, Threads) else threads
        self.graph = assistant_graph(strategy, llm, memory=memory, checkpointer=saver, **options)
        self._strategy, self._llm, self._options = strategy, llm, options
        self._closing: list[Callable[[], None]] = []

    @classmethod
    def open(
        cls,
        path: str | Path,
        strategy: Strategy,
        llm: BaseChatModel,
        *,
        embedder: Embedder | None = None,
        **options: Unpack[AssistantOptions],
    ) -> Self:
        """Threads and memory in one SQLite file, readable by its owner alone; made where it is missing.

        `embedder` recalls facts in other words than the question's. `StoreError` where the file cannot be used.
        """
        threads = Threads.open(path)
        opened: list[Callable[[], None]] = [threads.close]
        try:
            memory = LongTermMemory.open(path, embedder=embedder)
            opened.append(memory.close)
            made = cls(strategy, llm, threads=threads, memory=memory, **options)
        except BaseException:
            for close in opened:
                close()
            raise
        made._closing = opened
        return made

    def answering_with(self, strategy: Strategy) -> Assistant:
        """The same threads, memory and options, with another strategy; this one stays the one to close."""
        return Assistant(strategy, self._llm, threads=self.threads, memory=self.memory, **self._options)

    def chat(self, scope: AccessScope, thread: str) -> Chat:
        """A thread of a user, new or old. The scope is the strategy's context; its groups are those of the user now,
        and no thread keeps them.
        """
        return Chat(self.graph, self._name, scope, thread)

    def list(self, scope: AccessScope) -> tuple[ThreadInfo, ...]:
        """The user's threads, the one used last first. `UsageError` where a checkpointer cannot tell."""
        return self._listing().list(scope)

    async def alist(self, scope: AccessScope) -> tuple[ThreadInfo, ...]:
        """As `list`."""
        return await self._listing().alist(scope)

    # -- forgetting ---------------------------------------------------------------------------------------------------

    def forget(self, scope: AccessScope, thread: str | None = None) -> Forgotten:
        """Forgets a thread of the user with the facts told in it, or with None everything of the user.

        With `Threads`, no byte is left in the file, its log or its index. `StoreError` where another process reads the
        file just now: then forget again. An open knowledge base, traces and backups are not touched.

        End the user's runs first: one that is in flight, in this process or another, writes its thread back with its
        next step, and then it has to be forgotten again.
        """
        if thread is None:
            listing = self._listing()
            return Forgotten(facts=self.memory.forget(scope) if self.memory else 0, threads=listing.forget(scope))
        key = scope.thread_key(thread)
        facts = self.memory.forget(scope, thread=thread) if self.memory else 0
        if isinstance(self.threads, Threads):
            return Forgotten(threads=int(self.threads.delete(scope, thread)), facts=facts)
        known = self.threads.get_tuple({"configurable": {"thread_id": key}}) is not None
        self.threads.delete_thread(key)
        return Forgotten(threads=int(known), facts=facts)

    async def aforget(self, scope: AccessScope, thread: str | None = None) -> Forgotten:
        """As `forget`."""
        if thread is None or isinstance(self.threads, Threads):
            return await asyncio.to_thread(self.forget, scope, thread)
        key = scope.thread_key(thread)
        facts = await self.memory.aforget(scope, thread=thread) if self.memory else 0
        known = await self.threads.aget_tuple({"configurable": {"thread_id": key}}) is not None
        await self.threads.adelete_thread(key)
        return Forgotten(threads=int(known), facts=facts)

    def retain(self, days: float) -> int:
        """Forgets every thread, of all users, that was not used for so many days; how many. Facts stay: they were kept
        because somebody asked for it.
        """
        return self._listing().retain(days)

    async def aretain(self, days: float) -> int:
        """As `retain`."""
        return await self._listing().aretain(days)

    # -- closing ------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Closes what `open` opened."""
        for close in self._closing:
            close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _name(self, scope: AccessScope) -> str:
        """Of what answers; a function builds it for that."""
        return str(strategy_of(self._strategy, lambda: scope).get_name())

    def _listing(self) -> Threads:
        if isinstance(self.threads, Threads):
            return self.threads
        hint = "keep the names of the threads yourself, and forget them one by one"
        raise UsageError("this checkpointer cannot tell whose threads it holds", hint=hint)
