"""Cutting a page into pieces that fit: blocks where they do, else table rows, sentences, and at last tokens."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...sentences import sentence_spans
from .blocks import Block

__all__ = ("Piece", "TokenRuler", "split_table", "split_text")

_SPACES = re.compile(r"\s*")
MAX_HEADER_SHARE = 0.5
"""A table header longer than this share of the chunk size is not repeated: there would be no room for rows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A span of the page that fits a chunk, with the span of a table header to repeat in front of it (or none)."""

    start: int
    end: int
    header: tuple[int, int] | None = None


class TokenRuler:
    """Counts tokens between two offsets of one text, exactly, after tokenising it once."""

    def __init__(self, text: str, token_offsets: Callable[[str], list[tuple[int, int]]]) -> None:
        offsets = token_offsets(text)
        self._starts = [start for start, _ in offsets]
        self._ends = [end for _, end in offsets]

    def count(self, start: int, end: int) -> int:
        """Tokens that begin in [start, end)."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def reach(self, start: int, limit: int, end: int) -> int:
        """The largest offset up to `end` such that at most `limit` tokens begin in [start, offset)."""
        after = bisect_left(self._starts, start) + limit
        return min(end, self._ends[after - 1] if 0 < after <= len(self._ends) else end)

    def back(self, end: int, tokens: int) -> int:
        """Where the last `tokens` tokens before `end` begin."""
        first = bisect_left(self._starts, end) - tokens
        return self._starts[max(first, 0)] if self._starts else end


def split_text(text: str, start: int, end: int, ruler: TokenRuler, limit: int) -> Iterator[Piece]:
    """A span as pieces of at most `limit` tokens: whole if it fits, else sentences, else runs of tokens."""
    if ruler.count(start, end) <= limit:
        yield Piece(start, end)
        return
    for left, right in sentence_spans(text[start:end]):
        left, right = start + left, start + right
        while ruler.count(left, right) > limit:
            cut = ruler.reach(left, limit, right)
            space = text.rfind(" ", left + 1, cut)
            # Between words where there are words; a line of 200 MB without a space is cut between tokens.
            if space > left and cut < right and not text[cut - 1 : cut + 1].count(" "):
                cut = space
            yield Piece(left, cut)
            left = _after_spaces(text, cut, right)
        if left < right:
            yield Piece(left, right)


def _after_spaces(text: str, start: int, end: int) -> int:
    """Where white space from `start` on ends. Copies nothing: the line may be hundreds of megabytes long."""
    found = _SPACES.match(text, start, end)
    return found.end() if found else start


def split_table(text: str, block: Block, ruler: TokenRuler, limit: int) -> Iterator[Piece]:
    """A table whole if it fits, else between rows, with its header rows to be repeated; a row too long as text."""
    if ruler.count(block.start, block.end) <= limit:
        yield Piece(block.start, block.end)
        return
    rows = list(_lines(text, block.start, block.end))
    header = (rows[0][0], rows[1][1]) if len(rows) > 2 else None
    cost = ruler.count(*header) if header else 0
    if header and cost > limit * MAX_HEADER_SHARE:
        header, cost = None, 0
    first = True
    start, end = rows[0]
    for left, right in rows[1:]:
        room = limit if first else limit - cost
        if ruler.count(start, right) <= room:
            end = right
            continue
        yield from _rows(text, start, end, ruler, limit, room, None if first else header)
        first = False
        start, end = left, right
    yield from _rows(text, start, end, ruler, limit, limit if first else limit - cost, None if first else header)


def _rows(
    text: str, start: int, end: int, ruler: TokenRuler, limit: int, room: int, header: tuple[int, int] | None
) -> Iterator[Piece]:
    if ruler.count(start, end) <= room:
        yield Piece(start, end, header)
    else:
        yield from split_text(text, start, end, ruler, limit)


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        stop = text.find("\n", start, end)
        stop = end if stop < 0 else stop
        if text[start:stop].strip():
            yield start, stop
        start = stop + 1
