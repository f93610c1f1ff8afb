"""LangGraph's SQLite checkpointer, for sync and async graphs alike, that knows no thread without an owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple
from langgraph.checkpoint.sqlite import SqliteSaver

from ...errors import UsageError
from .database import Database

__all__ = ("ScopedSaver",)

_UNREADABLE = (KeyError, TypeError, ValueError)
"""What a damaged checkpoint gives."""


class ScopedSaver(SqliteSaver):
    """`SqliteSaver` over a `Database`. A `thread_id` that `Threads.config` did not make is refused.

    The async methods run the sync ones in a thread, as aiosqlite does for `AsyncSqliteSaver`; so one saver serves
    `invoke` and `ainvoke`, and is bound to no event loop.
    """

    def __init__(self, database: Database) -> None:
        super().__init__(database.connection)
        self.database = database
        self.lock = database.lock
        database.set_up(self.setup)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint of a config."""
        _check_owned(config)
        with self.database.errors("read", _UNREADABLE):
            return super().get_tuple(config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints of one thread, newest first; never those of all threads."""
        _check_owned(config)
        with self.database.errors("read", _UNREADABLE):
            found = tuple(super().list(config, filter=filter, before=before, limit=limit))
        yield from found  # the lock is free again: who reads them may ask for more

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keeps a checkpoint."""
        _check_owned(config)
        with self.database.errors("write"):
            return super().put(config, checkpoint, metadata, new_versions)

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Keeps what a node wrote."""
        _check_owned(config)
        with self.database.errors("write"):
            super().put_writes(config, writes, task_id, task_path)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As `get_tuple`."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """As `list`."""

        def read() -> tuple[CheckpointTuple, ...]:
            return tuple(self.list(config, filter=filter, before=before, limit=limit))

        for each in await asyncio.to_thread(read):
            yield each

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """As `put`."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """As `put_writes`."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """As `delete_thread`."""
        await asyncio.to_thread(self.delete_thread, thread_id)


def _check_owned(config: RunnableConfig | None) -> None:
    thread = str((config or {}).get("configurable", {}).get("thread_id", ""))
    parts = thread.split("/")  # tenant, user, thread: the first may be empty
    if len(parts) != 3 or not all(parts[1:]):
        raise UsageError(f"the thread {thread!r} has no owner", hint="use threads.config(scope, thread)")
