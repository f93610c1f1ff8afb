"""A table in a prompt: whole where it fits, else the rows that hold most of the question's words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from langchain_core.messages import BaseMessage

from .choosing import rows_by_words
from .operations import Frame

__all__ = ("Fitted", "fit")


@dataclass(frozen=True, slots=True)
class Fitted:
    """A prompt, and the rows that it shows."""

    messages: list[BaseMessage]
    shown: Frame
    tokens: int


def fit(
    frame: Frame,
    question: str,
    render: Callable[[Frame], list[BaseMessage]],
    count: Callable[[Sequence[BaseMessage]], int],
    limit: int,
) -> Fitted | None:
    """The prompt with as many rows as stay within `limit` tokens, in the table's order; None where not one row fits.

    An empty table fits where its header does.
    """

    def made(shown: Frame) -> Fitted | None:
        messages = render(shown)
        tokens = count(messages)
        return Fitted(messages, shown, tokens) if tokens <= limit else None

    if (whole := made(frame)) is not None:
        return whole
    ranked = rows_by_words(question, frame)
    best, low, high = None, 1, len(ranked) - 1
    while low <= high:  # more rows are never shorter
        middle = (low + high) // 2
        if (found := made(replace(frame, rows=tuple(frame.rows[at] for at in sorted(ranked[:middle]))))) is not None:
            best, low = found, middle + 1
        else:
            high = middle - 1
    return best
