"""What was asked of models while one question was answered."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ("ModelCall", "RecordedCalls", "current_calls", "recorded_calls")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One question to a model. Times in seconds."""

    key: str
    """What was asked, of which model, with which settings: a hash."""
    began: float
    """`time.perf_counter()` when it was asked."""
    here: float
    """What it took in this run."""
    seconds: float
    """What it took when the model made the output; the same as `here` unless cached."""
    first_token: float
    """Until the first token, when the model made the output."""
    cached: bool
    tokens_in: int
    tokens_out: int
    """Tokens of the whole output, also where the reader had enough before; 0 where the model does not say."""


class RecordedCalls(list[ModelCall]):
    """The calls so far, and how often each prompt was asked."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def occurrence(self, key: str) -> int:
        """How often this was asked before."""
        with self._lock:
            self._asked[key] += 1
            return self._asked[key] - 1


_calls: ContextVar[RecordedCalls | None] = ContextVar("ragloom_model_calls", default=None)


@contextmanager
def recorded_calls() -> Iterator[RecordedCalls]:
    """Collects the calls of every `CachedChatModel` that happen inside, in threads and tasks started there too."""
    calls = RecordedCalls()
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


def current_calls() -> RecordedCalls | None:
    """Where calls are recorded now; None outside `recorded_calls`."""
    return _calls.get()
