"""Time in tests, only to tell what ends from what would not: the best of several tries, and of this thread alone."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable

__all__ = ("cpu_seconds", "grows_linearly")


def cpu_seconds(work: Callable[[], object], *, enough: float = 0.0, tries: int = 4) -> float:
    """The least CPU time of this thread that `work` took; it is tried again only until it took `enough` or less.

    A busy machine and what other tests left running in this process make a try slower; what is quadratic
    is slow in every one. As in `timeit`, no garbage is collected meanwhile: a collection takes the longer the more
    other tests have left in this process, and runs for the large input of `grows_linearly` only.
    """
    best = float("inf")
    collects = gc.isenabled()
    gc.disable()
    try:
        for _ in range(tries):
            began = time.thread_time()
            work()
            best = min(best, time.thread_time() - began)
            if best <= enough:
                break
    finally:
        if collects:
            gc.enable()
    return best


def grows_linearly(work: Callable[[int], object], size: int) -> bool:
    """Whether work of 64 times the size takes at most 512 times as long: linear would be 64, quadratic 4096."""
    work(10)
    small = max(cpu_seconds(lambda: work(size)), 0.001)
    limit = 512 * small
    return cpu_seconds(lambda: work(64 * size), enough=limit) <= limit
