"""`AuditLog`: who was refused what, and by which rail, as JSON lines that hold no text."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import math
import os
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..access import AccessScope
from ..errors import StoreError, UsageError
from ..guarding import Finding

__all__ = ("AuditLog",)

WAIT_SECONDS = 10.0
MOST_REASON = 300
"""Characters of a reason: what is longer is no reason, but maybe a text."""


class AuditLog:
    """An append-only file with one decision a line. Several processes and threads may write to one.

    A line has `time` (UTC, ISO 8601), `stage`, `verdict`, `rail`, `reason`, `score`, `scope` (tenant, user, groups;
    null where nobody said who asks) and `text`, an id of what was checked: HMAC-SHA-256, 64 hexadecimal digits. What
    was said is never written. The file is readable by its owner alone.

    Args:
        path: the file; made where it is missing, with its folder.
        key: of the ids, so that nobody can guess a short text from one. None: a new one for this object, and then the
            same text has the same id only within it. Keep a key of your own, apart from the log, to compare runs.
        max_bytes: the file is renamed to `NAME.1`, and that one to `NAME.2`, before it grows beyond; None: never.
        backups: how many renamed files are kept; older ones are deleted.

    Raises `StoreError` where the file cannot be written: a decision that is not on record is the caller's to refuse.

    Example:
        >>> log = AuditLog("audit.jsonl", key=os.environ["AUDIT_KEY"])  # doctest: +SKIP
        >>> guard = RailsGuard(rails, audit=log)  # doctest: +SKIP
    """

    def __init__(
        self, path: str | Path, *, key: str | bytes | None = None, max_bytes: int | None = None, backups: int = 5
    ) -> None:
        if max_bytes is not None and (max_bytes < 1 or backups < 1):
            raise UsageError(f"max_bytes is {max_bytes} and backups {backups}", hint="use 1 or more")
        if key is not None and not key:
            raise UsageError("the key of the audit log is empty", hint="give a secret, or None for a new one")
        from filelock import FileLock

        self.path = Path(path).expanduser()
        self.max_bytes, self.backups = max_bytes, backups
        self._key = secrets.token_bytes(32) if key is None else key.encode() if isinstance(key, str) else key
        self._lock = FileLock(f"{self.path}.lock", timeout=WAIT_SECONDS, mode=0o600)

    def record(self, stage: str, finding: Finding, text: str, context: Mapping[str, Any] | None = None) -> None:
        """Adds a decision about a text at a stage (of `Stage`, or "scope"). `context` may hold the `scope`, an
        `AccessScope`; nothing else of it is written. Blocking: a fraction of a millisecond, or a wait of 10 s at most.
        """
        scope = (context or {}).get("scope")
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "stage": stage,
            "verdict": finding.verdict,
            "rail": finding.rail,
            "reason": finding.reason[:MOST_REASON],
            "score": finding.score if finding.score is not None and math.isfinite(finding.score) else None,
            "scope": _whose(scope) if isinstance(scope, AccessScope) else None,
            "text": self.id_of(text),
        }
        self._append(json.dumps(line).encode() + b"\n")

    async def arecord(self, stage: str, finding: Finding, text: str, context: Mapping[str, Any] | None = None) -> None:
        """As `record`, without blocking the event loop."""
        await asyncio.to_thread(self.record, stage, finding, text, context)

    def id_of(self, text: str) -> str:
        """The id under which the log knows a text."""
        return hmac.new(self._key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()

    def _append(self, line: bytes) -> None:
        from filelock import Timeout

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._lock:  # rotation and a line that does not fit on the disk concern all who write
                self._rotate(len(line))
                opened = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                try:
                    _write_whole(opened, line)
                finally:
                    os.close(opened)
        except Timeout:
            raise StoreError(
                f"the audit log {self.path.name!r} is locked by another process", hint="try again"
            ) from None
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise StoreError(
                f"cannot write the audit log {self.path.name!r}: {why}",
                hint="give a path that can be written, on a disk with room",
            ) from error

    def _rotate(self, more: int) -> None:
        if self.max_bytes is None or not self.path.exists():
            return
        size = self.path.stat().st_size
        if not size or size + more <= self.max_bytes:
            return
        names = [self.path, *(self.path.with_name(f"{self.path.name}.{n}") for n in range(1, self.backups + 1))]
        for older, newer in zip(names[:0:-1], names[-2::-1], strict=True):
            if newer.exists():
                newer.replace(older)


def _whose(scope: AccessScope) -> dict[str, Any]:
    return {"tenant": scope.tenant, "user": scope.user, "groups": list(scope.groups)}


def _write_whole(opened: int, line: bytes) -> None:
    """Writes a line, or leaves the file as it was: half a line would damage the one after it."""
    size = os.fstat(opened).st_size
    try:
        left = memoryview(line)
        while left:
            left = left[os.write(opened, left) :]
    except OSError:
        os.ftruncate(opened, size)
        raise
