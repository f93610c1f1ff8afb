"""Calls in daemon threads: one that hangs is left behind, and keeps neither its place nor the interpreter."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import Any

__all__ = ("Daemons", "daemons")

MOST_THREADS = 32
"""That work at once; `ThreadPoolExecutor` has no more either."""


class _Job:
    """A call, its future and the context variables of who asked for it."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.future: Future[Any] = Future()
        self.left = self.over = False
        """Nobody waits for it any more, so its thread's place is given away; its thread is done with it."""
        self._function, self._context = function, contextvars.copy_context()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            result = self._context.run(self._function)
        except BaseException as error:  # a rail that calls sys.exit() has failed like any other
            self.future.set_exception(error if isinstance(error, Exception) else RuntimeError(type(error).__name__))
        else:
            self.future.set_result(result)


class Daemons:
    """A pool of daemon threads. `ThreadPoolExecutor` has none: the interpreter waits for each of its threads at exit,
    and a call that hangs keeps its thread from all others for good.
    """

    def __init__(self, most: int = MOST_THREADS) -> None:
        self._most = most
        self._clear()

    def _clear(self) -> None:
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._threads = 0

    def submit(self, function: Callable[[], Any]) -> _Job:
        """Calls it in a thread, at once or as soon as one is free; what comes of it is the job's `future`."""
        job = _Job(function)
        self._jobs.put(job)
        if not self._idle.acquire(blocking=False):
            self._add_thread()
        return job

    def leave(self, job: _Job) -> None:
        """Nobody waits for the job any more: it does not begin, or another thread takes the place of its own."""
        if job.future.cancel():
            return
        with self._lock:
            if job.over or job.left:
                return
            job.left = True
            self._threads -= 1
        if not self._jobs.empty():
            self._add_thread()

    def _add_thread(self) -> None:
        with self._lock:
            if self._threads >= self._most:
                return  # one of those at work takes the job up
            self._threads += 1
        threading.Thread(target=self._work, args=(self._jobs, self._idle), name="ragloom-rail", daemon=True).start()

    def _work(self, jobs: SimpleQueue[_Job], idle: threading.Semaphore) -> None:
        while True:
            try:
                job = jobs.get_nowait()
            except Empty:
                idle.release()
                job = jobs.get()
            job.run()
            with self._lock:
                job.over = True
                if job.left:
                    return


daemons = Daemons()
"""Those of this process."""
if hasattr(os, "register_at_fork"):  # threads do not live on in a fork
    os.register_at_fork(after_in_child=daemons._clear)
