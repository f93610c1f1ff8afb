"""A text as runs of passages that are summed up one by one: along its sections, as many as can be paid for."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from langchain_core.documents import Document

__all__ = ("Run", "first", "sections", "spread", "windows_of")

T = TypeVar("T")
Run = list[Document]
"""Passages in the order of their text."""
SHRINK = 0.9
"""What is too much is tried again with this share of it."""


def sections(passages: Sequence[Document]) -> list[Run]:
    """The passages of one document by their outermost heading.

    >>> [len(run) for run in sections([Document("a", metadata={"headings": "Leave > Days"}), Document("b")])]
    [1, 1]
    """
    return [list(run) for _, run in groupby(passages, key=_outermost)]


def spread(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, at even distances, from the first one to the last.

    >>> spread([0, 1, 2, 3, 4, 5, 6], 3), spread([0, 1], 3), spread([0, 1], 1)
    ([0, 3, 6], [0, 1], [0])
    """
    if len(items) <= most or most == 1:
        return list(items[:most])
    return [items[at * (len(items) - 1) // (most - 1)] for at in range(most)]


def first(items: Sequence[T], most: int) -> list[T]:
    """At most so many of them, from the first one on."""
    return list(items[:most])


def windows_of(
    runs: Sequence[Run],
    size: Callable[[Document], int],
    *,
    most: int,
    room: int,
    keep: Callable[[Sequence[Run], int], list[Run]] = spread,
) -> list[Run]:
    """At most `most` windows of neighbouring passages, in order, none larger than `room` unless it is one passage.

    No window begins or ends within a run that fits a window. They are as even as that allows. Where the text is too
    large, every run keeps the same share of its passages, spread over it, its first one always; and where one passage
    of each is still too much, some runs are left out whole: those that `keep` does not keep. So a single window is of
    the whole text too. What is left out is in no window.

    Args:
        runs: sections of a document, or documents.
        size: tokens of a passage.
        most: windows, 1 or more.
        room: tokens of a window.
        keep: `spread`, or `first` where the runs stand best first.
    """
    tokens = sum(size(each) for run in runs for each in run)
    share = most * room / tokens if tokens else 1.0
    pieces: list[Run] = []
    sizes: list[int] = []
    for kept in _ever_fewer(runs, min(1.0, share), keep):
        pieces = [piece for run in kept for piece in _cut(run, size, room)]
        sizes = [sum(map(size, piece)) for piece in pieces]
        if len(_packed(sizes, room)) <= most:
            break
    # The smallest limit that needs no more than `most` windows: the larger the limit, the fewer there are.
    limit = bisect_left(range(room), True, key=lambda limit: len(_packed(sizes, limit)) <= most)
    return [[passage for at in group for passage in pieces[at]] for group in _packed(sizes, limit)]


def _ever_fewer(
    runs: Sequence[Run], share: float, keep: Callable[[Sequence[Run], int], list[Run]]
) -> Iterator[Sequence[Run]]:
    """Runs of this share of their passages, of less and less, then fewer and fewer runs of one passage; at last one."""
    longest = max(map(len, runs), default=0)
    while share * longest > 1:
        yield [spread(run, max(1, int(len(run) * share))) for run in runs]
        share *= SHRINK
    count = len(runs)
    while count > 0:
        yield [run[:1] for run in keep(runs, count)]
        count = min(count - 1, int(count * SHRINK))


def _cut(run: Run, size: Callable[[Document], int], room: int) -> list[Run]:
    """A run that does not fit a window, in pieces that do."""
    groups = _packed([size(each) for each in run], room)
    return [[run[at] for at in group] for group in groups]


def _packed(sizes: Sequence[int], limit: int) -> list[list[int]]:
    """Neighbours together, as long as their sum is within the limit."""
    groups: list[list[int]] = []
    full = 0
    for at, size in enumerate(sizes):
        if groups and full + size <= limit:
            groups[-1].append(at)
            full += size
        else:
            groups.append([at])
            full = size
    return groups


def _outermost(passage: Document) -> str:
    return str(passage.metadata.get("headings") or "").split(" > ", 1)[0]
