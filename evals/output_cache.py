"""A file of model outputs, by a key that says all they depend on."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any

from ..errors import StoreError
from ..models import cache_folder

__all__ = ("OutputCache",)


class OutputCache:
    """A file of outputs; several processes may use it at once.

    A file that is no database is put aside and begun anew. `StoreError` where it cannot be opened (locked for a minute,
    no room, no permission). Later trouble never costs an answer: what cannot be read is asked again, what cannot be
    kept is counted in `lost`.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder("outputs") / "outputs.sqlite"
        self.lost = 0
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._database = self._open()
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                for end in ("", "-wal", "-shm"):
                    old = self.path.with_name(self.path.name + end)
                    if old.exists():
                        old.replace(self.path.with_name(f"{self.path.name}.{int(time.time())}.damaged{end}"))
                self._database = self._open()
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"cannot open the cache of outputs {str(self.path)!r}: {error}") from error

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("CREATE TABLE IF NOT EXISTS outputs (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        return database

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under the key."""
        with self._lock:
            try:
                found = self._database.execute("SELECT value FROM outputs WHERE key = ?", (key,)).fetchone()
                return json.loads(found[0]) if found else None
            except (sqlite3.Error, ValueError):
                return None

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keeps a value; it survives the process when this returns."""
        with self._lock:
            try:
                self._database.execute("INSERT OR REPLACE INTO outputs VALUES (?, ?)", (key, json.dumps(value)))
            except sqlite3.Error:
                self.lost += 1

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()
