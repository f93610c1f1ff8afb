"""Conversations that outlive the process: LangGraph threads in one SQLite file, each under its user's name."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base.id import UUID

from ...access import AccessScope
from ...errors import UsageError
from .database import Database
from .saver import ScopedSaver

__all__ = ("ThreadInfo", "Threads")

GREGORIAN = datetime(1582, 10, 15, tzinfo=UTC)
"""From when on the time in a UUID counts, in steps of 100 nanoseconds (RFC 9562)."""


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """A thread of a user."""

    thread: str
    """As the user's application named it."""
    updated: datetime
    """When its last step was kept, UTC."""


class Threads:
    """The threads of all users, for the checkpointer of a graph.

    Threads are named per user and tenant, fail-closed: a scope without a user is an error, and the saver refuses a
    `thread_id` that no scope made. Several processes may use one file. What a finished node did survives a kill where
    the graph runs with `durability="sync"`; `graph.invoke(None, config)` goes on from there. LangGraph's savers keep
    all threads for ever; `retain` and `delete` are ours, and leave no byte behind.

    For many servers use LangGraph's `PostgresSaver` with `AccessScope.thread_key` as the thread id: the rest of the
    graph stays as it is.

        >>> with Threads.open("chat.sqlite") as threads:  # doctest: +SKIP
        ...     graph = naive_rag(retriever, llm, checkpointer=threads.saver)
        ...     graph.invoke({"messages": [("user", "Hello")]}, threads.config(AccessScope(user="ana"), "1"))
    """

    def __init__(self, path: str | Path) -> None:
        self._database = Database(path)
        try:
            self.saver = ScopedSaver(self._database)
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Opens the file, or makes it. `StoreError` where it is damaged or another program's."""
        return cls(path)

    def config(self, scope: AccessScope, thread: str) -> RunnableConfig:
        """What a graph with this saver is called with, to go on with a user's thread."""
        return {"configurable": {"thread_id": scope.thread_key(thread)}}

    def list(self, scope: AccessScope) -> tuple[ThreadInfo, ...]:
        """The user's threads, the one used last first."""
        found = [ThreadInfo(scope.thread_of(key), _time(newest)) for key, newest in self._keys(scope.prefix)]
        return tuple(sorted(found, key=lambda info: info.updated, reverse=True))

    def delete(self, scope: AccessScope, thread: str) -> bool:
        """Forgets a thread of the user, without a trace; whether there was one."""
        return self._delete([scope.thread_key(thread)]) > 0

    def forget(self, scope: AccessScope) -> int:
        """Forgets all threads of the user, without a trace; how many."""
        return self._delete([key for key, _ in self._keys(scope.prefix)])

    def retain(self, days: float) -> int:
        """Forgets every thread, of all users, that was not used for so many days; how many."""
        if not days >= 0:
            raise UsageError(f"retain(days={days})", hint="give a number of days from 0 on")
        before = datetime.now(UTC) - timedelta(days=days)
        return self._delete([key for key, newest in self._keys("") if _time(newest) < before])

    async def alist(self, scope: AccessScope) -> tuple[ThreadInfo, ...]:
        """As `list`."""
        return await asyncio.to_thread(self.list, scope)

    async def adelete(self, scope: AccessScope, thread: str) -> bool:
        """As `delete`."""
        return await asyncio.to_thread(self.delete, scope, thread)

    async def aforget(self, scope: AccessScope) -> int:
        """As `forget`."""
        return await asyncio.to_thread(self.forget, scope)

    async def aretain(self, days: float) -> int:
        """As `retain`."""
        return await asyncio.to_thread(self.retain, days)

    def close(self) -> None:
        """Ends the connection."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _keys(self, prefix: str) -> Sequence[tuple[str, str]]:
        """Key and newest checkpoint of every thread under a prefix, which is ASCII and ends with a slash."""
        after = f"{prefix[:-1]}0" if prefix else "\U0010ffff"  # "0" follows "/"
        query = (
            "SELECT thread_id, max(checkpoint_id) FROM checkpoints WHERE thread_id >= ? AND thread_id < ? "
            "GROUP BY thread_id"
        )
        with self._database.lock, self._database.errors("read"):
            return self._database.connection.execute(query, (prefix, after)).fetchall()

    def _delete(self, keys: Sequence[str]) -> int:
        """Deletes and erases. Erases always: an earlier try may have ended before it could."""
        deleted = 0
        connection = self._database.connection
        with self._database.lock, self._database.errors("delete from"):
            connection.execute("BEGIN IMMEDIATE")
            try:
                for key in keys:
                    found = connection.execute("DELETE FROM checkpoints WHERE thread_id = ?", (key,)).rowcount
                    found += connection.execute("DELETE FROM writes WHERE thread_id = ?", (key,)).rowcount
                    deleted += found > 0
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        self._database.erase()
        return deleted


def _time(checkpoint_id: str) -> datetime:
    """When a checkpoint was made: its id is a UUID of version 6, which holds the time."""
    return GREGORIAN + timedelta(microseconds=UUID(checkpoint_id).time // 10)
