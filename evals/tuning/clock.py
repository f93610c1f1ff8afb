"""The time that tuning may take, and who is told how much is left."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ("Clock", "OutOfTime", "Tell")

Tell = Callable[[str, int, int | None], None]
"""Gets what is being done, how far it is, and out of how much (None: not known)."""


class OutOfTime(Exception):  # no error: it ends a stage, and what was found so far counts
    """The minutes are over."""


class Clock:
    """Seconds from now on. `now` is replaced in tests.

    >>> clock = Clock(60, now=iter([0.0, 45.0]).__next__)
    >>> clock.left
    15.0
    """

    def __init__(self, seconds: float, *, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self.end = now() + seconds

    @property
    def left(self) -> float:
        """Seconds that are left; below 0 when the time is over."""
        return self.end - self.now()

    def part(self, share: float) -> Clock:
        """A clock over this share of what is left."""
        clock = Clock(0, now=self.now)
        clock.end += share * (self.end - clock.end)
        return clock

    def check(self) -> None:
        """Raises `OutOfTime` when the time is over."""
        if self.left <= 0:
            raise OutOfTime
