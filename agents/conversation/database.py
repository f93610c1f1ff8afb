"""The SQLite file of conversations: opened by several processes, refused where it is not ours, and able to forget."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ...errors import StoreError

__all__ = ("Database",)

APPLICATION_ID = 0x7261676C  # "ragl", in the file's header
WAIT_SECONDS = 30.0


class Database:
    """One connection to a file that threads and memory may share.

    WAL: readers and the one writer do not block each other, also between processes. The file is readable by its owner
    alone. `StoreError` where it is damaged, another program's, or stays locked.
    """

    def __init__(self, path: str | Path, *, isolation_level: Literal["DEFERRED"] | None = "DEFERRED") -> None:
        """`isolation_level` as of `sqlite3.connect`: None for code that begins its transactions itself."""
        self.path = Path(path).expanduser()
        self.lock = threading.Lock()
        """Held by whoever uses the connection."""
        with self._alone():
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
            self.connection = sqlite3.connect(
                self.path, timeout=WAIT_SECONDS, check_same_thread=False, isolation_level=isolation_level
            )
            try:
                self._claim()
            except BaseException:
                self.connection.close()
                raise

    def set_up(self, make: Callable[[], None]) -> None:
        """Makes the tables. One process at a time: LangGraph's own migrations cannot meet each other."""
        with self._alone():
            make()

    @contextmanager
    def errors(self, doing: str, also: tuple[type[Exception], ...] = ()) -> Iterator[None]:
        """Turns what SQLite and the file system raise, and what is given, into a `StoreError`."""
        failures: tuple[type[Exception], ...] = (sqlite3.Error, OSError, *also)
        try:
            yield
        except failures as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            damaged = not isinstance(error, (OSError, sqlite3.OperationalError, sqlite3.ProgrammingError))
            hint = (
                "it is damaged, or no conversation file: restore a copy, or delete it to begin anew" if damaged else ""
            )
            raise StoreError(f"cannot {doing} the conversations in {self.path.name!r}: {why}", hint=hint) from error

    def erase(self) -> None:
        """Leaves no byte of what was deleted, in the file, its log or its index.

        The file is written anew, and the log is emptied. (`secure_delete` would not do it: pages that were split keep
        stale copies of rows.) Other connections may be open, but a transaction of theirs that stays open longer than
        the wait is a `StoreError`: what was deleted is gone from every query then, and still in the log.
        """
        with self.lock, self.errors("erase what was deleted from"):
            self.connection.execute("PRAGMA temp_store = MEMORY")  # no copy of what is kept in a temporary folder
            self.connection.execute("VACUUM")
            busy, _, _ = self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        if busy:
            raise StoreError(
                f"what was deleted from {self.path.name!r} is still in its log: another process reads it",
                hint="forget again when it is done",
            )

    def close(self) -> None:
        """Ends the connection."""
        with self.lock:
            self.connection.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other process opens the file."""
        from filelock import FileLock, Timeout

        with self.errors("open"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(f"{self.path}.lock", timeout=WAIT_SECONDS, mode=0o600):
                    yield
            except Timeout:
                raise StoreError(f"{self.path.name!r} is being set up by another process", hint="try again") from None

    def _claim(self) -> None:
        """Refuses what is not ours, before anything is written."""
        (owner,) = self.connection.execute("PRAGMA application_id").fetchone()
        (tables,) = self.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if owner != APPLICATION_ID and (owner or tables):
            raise StoreError(
                f"{self.path.name!r} is another program's database", hint="give the path of a file of its own"
            )
        if not owner:
            self.connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self.connection.execute("PRAGMA journal_mode = WAL")
