"""A part that is loaded when it is first needed: a graph is drawn, or refused, without loading a model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ("Lazy",)

T = TypeVar("T")


class Lazy(Generic[T]):
    """Calls `load` once, with the first call, in whichever thread that is.

    >>> part = Lazy(lambda: print("loading") or 7)
    >>> part(), part()
    loading
    (7, 7)
    """

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._value: list[T] = []

    def __call__(self) -> T:
        """The part."""
        with self._lock:
            if not self._value:
                self._value.append(self._load())
            return self._value[0]

    @classmethod
    def of(cls, value: T) -> Lazy[T]:
        """A part that is there already."""
        return cls(lambda: value)
