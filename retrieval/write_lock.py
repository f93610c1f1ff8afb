"""The lock of the one process that writes to a knowledge base."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import StoreError

__all__ = ("write_lock",)


@contextmanager
def write_lock(folder: Path, *, wait: float | None = None, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Makes the folder where it is missing, and holds its lock.

    The operating system frees it when a writer dies, so a kill never locks anyone out. `wait` bounds how long another
    writer is waited for (seconds; None: without end), `on_wait` is told when waiting begins. Raises `StoreError` where
    the folder cannot be made or locked, or the other writer takes longer.
    """
    from filelock import FileLock, Timeout

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from error
    lock = FileLock(folder / "write.lock")
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            if on_wait:
                on_wait()
            lock.acquire(timeout=-1 if wait is None else wait)
    except Timeout as error:
        hint = "wait for it to end, or give it more time"
        raise StoreError(f"another process is writing to {str(folder)!r}", hint=hint) from error
    except OSError as error:
        raise StoreError(f"cannot lock {str(folder)!r}: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
