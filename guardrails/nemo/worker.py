"""An event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextvars
import threading
import weakref
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

__all__ = ("LoopThread",)

MOST_HUNG = 4
"""Loops given up and still blocked; until one of them ends, nothing more is started."""
T = TypeVar("T")


class LoopThread:
    """An event loop in a thread, begun with the first task, so that callers may have a loop of their own or none.

    Tasks run in an empty context: what a rail asks a model belongs neither into the trace nor into the stream of the
    graph around it, and NeMo finds its own variables there, even where the caller is inside of NeMo.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._hung: list[threading.Thread] = []

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Starts a task; its result can be waited for, or awaited, from any thread. Raises `RuntimeError` where too
        many loops hang.
        """
        with self._lock:
            if self._thread is None or not self._thread.is_alive():  # not alive: after a fork
                self._hung = [thread for thread in self._hung if thread.is_alive()]
                if len(self._hung) >= MOST_HUNG:
                    coroutine.close()
                    raise RuntimeError(f"{MOST_HUNG} calls hang")
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_run, args=(self._loop,), name="ragloom-nemo", daemon=True)
                self._thread.start()
                weakref.finalize(self, _stop, self._loop)
            assert self._loop is not None
            return contextvars.Context().run(asyncio.run_coroutine_threadsafe, coroutine, self._loop)

    def abandon(self) -> None:
        """Gives the loop up, because something blocks it; it ends when that does. The next task gets a new one."""
        with self._lock:
            if self._loop is not None and self._thread is not None:
                _stop(self._loop)
                self._hung.append(self._thread)
            self._loop = self._thread = None


def _run(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    finally:
        loop.close()


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
