"""Long texts as overlapping windows that a model with a short sight reads one by one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .pair_classifier import PairClassifier

__all__ = ("pack_windows", "room_beside", "word_spans")

Span = tuple[int, int]
_WORD = re.compile(r"\S{1,64}")
MARKERS = 4
"""Special tokens of a pair, at most: BERT has 3, RoBERTa 4."""


def pack_windows(units: Sequence[Span], sizes: Sequence[int], room: int) -> list[Span]:
    """Runs of neighbouring units (words, sentences) of at most `room` tokens, each beginning about half-way through the
    one before it, so that what belongs together stands together somewhere. A unit that is larger is a run of its own.

        >>> pack_windows([(0, 2), (3, 5), (6, 8), (9, 11)], [1, 1, 1, 1], 2)
        [(0, 5), (3, 8), (6, 11)]
    """
    runs: list[Span] = []
    first = 0
    while first < len(units):
        last, used = first, sizes[first]
        while last + 1 < len(units) and used + sizes[last + 1] <= room:
            last += 1
            used += sizes[last]
        runs.append((units[first][0], units[last][1]))
        if last + 1 >= len(units):
            break
        skipped, following = 0, first
        while following < last and skipped < used / 2:
            skipped += sizes[following]
            following += 1
        first = max(first + 1, following)
    return runs


def word_spans(text: str) -> list[Span]:
    """(start, end) of each run of characters that are no white space; one of more than 64 is several.

    Such are texts whose script has no spaces, and minified code: as one word they would be read to a window's end only.
    """
    return [found.span() for found in _WORD.finditer(text)]


def room_beside(classifier: PairClassifier, first: str) -> int:
    """Tokens of the second text that are surely read beside `first`; a pair leaves each text at least half."""
    room = classifier.max_tokens - MARKERS
    return max(1, room - min(classifier.count_tokens(first), room // 2))
