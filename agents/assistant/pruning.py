"""A finished run's steps are dropped: each holds the whole thread, and would make its file grow with its square."""

from __future__ import annotations

from typing import Any

from ..conversation.saver import ScopedSaver

__all__ = ("keep_latest",)

_OLDER = """
    FROM {table} WHERE thread_id = :thread AND NOT (checkpoint_ns = '' AND checkpoint_id = (
        SELECT max(checkpoint_id) FROM checkpoints WHERE thread_id = :thread AND checkpoint_ns = ''))
"""


def keep_latest(saver: Any, thread_id: str) -> None:
    """Drops all checkpoints of a thread but the last, those of the strategy within too: for a thread that is finished.

    Of our own saver alone: others are left as they are. (`BaseCheckpointSaver.prune` is what this would be, and no
    saver has it yet. It is safe here because no channel of the assistant is a `DeltaChannel`.)
    """
    if not isinstance(saver, ScopedSaver):
        return
    with saver.database.errors("tidy"), saver.cursor() as cursor:
        for table in ("writes", "checkpoints"):
            cursor.execute("DELETE " + _OLDER.format(table=table), {"thread": thread_id})
