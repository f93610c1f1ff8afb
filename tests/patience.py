"""Time in tests, only to tell what ends from what would not: the best of several tries, and of this thread alone."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ("cpu_seconds", "grows_linearly")


def cpu_seconds(work: Callable[[], object], *, enough: float = 0.0, tries: int = 4) -> float:
    """The least CPU time of this thread that `work` took; it is tried again only until it took `enough` or less.

    A busy machine and what other tests left running in this process make a try slower; what is quadratic
    is slow in every one.
    """
    best = float("inf")
    for _ in range(tries):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
        if best <= enough:
            break
    return best


def grows_linearly(work: Callable[[int], object], size: int, *, factor: int = 8) -> bool:
    """Whether `factor` times the size takes at most three times `factor` as long; quadratic would be `factor`²."""
    work(10)
    small = max(cpu_seconds(lambda: work(size)), 0.01)
    limit = 3 * factor * small
    return cpu_seconds(lambda: work(factor * size), enough=limit) <= limit
