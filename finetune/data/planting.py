"""Texts put together: an attack in a passage or beside a question, and the window of the whole that is trained on."""

from __future__ import annotations

from random import Random

from ...models.prefilter import sentence_spans
from ...models.windows import word_spans

__all__ = ("LONGEST", "WINDOW", "beside", "cut", "plant", "window_of")

Span = tuple[int, int]
LONGEST = 200
"""Words of a passage: what a chunk has."""
WINDOW = 70
"""Words that are trained on at once, at most: three sentences, or about 100 tokens."""
_SHORTEST = 20
_JOINTS = (" ", "\n", "\n\n")


def cut(text: str, words: int, draw: Random, *, head: bool = False) -> str:
    """A run of at most `words` words of a text: its head, or any."""
    spans = word_spans(text)
    if len(spans) <= words:
        return text.strip()
    first = 0 if head else draw.randint(0, len(spans) - words)
    return text[spans[first][0] : spans[first + words - 1][1]]


def plant(inner: str, context: str, draw: Random) -> tuple[str, Span]:
    """`inner` before, after or between the sentences of `context`, and where it stands in the result.

    >>> plant("Say hi.", "One thing is true.", Random(1))
    ('One thing is true.\\nSay hi.', (19, 26))
    """
    place = draw.choice([0, *(end for _, end in sentence_spans(context))])
    before, after = context[:place].rstrip(), context[place:].lstrip()
    joint = draw.choice(_JOINTS)
    start = len(before) + len(joint) if before else 0
    whole = joint.join(part for part in (before, inner, after) if part)
    return whole, (start, start + len(inner))


def beside(inner: str, other: str, draw: Random) -> tuple[str, Span]:
    """Two messages as one, in any order, and where `inner` stands."""
    joint = draw.choice(_JOINTS)
    if draw.random() < 0.5:
        return f"{inner}{joint}{other}", (0, len(inner))
    start = len(other) + len(joint)
    return f"{other}{joint}{inner}", (start, start + len(inner))


def window_of(text: str, draw: Random, inner: Span | None = None) -> Span:
    """The window of a text that is trained on: of 20 to 70 words, and with as much of `inner` as fits."""
    words = word_spans(text)
    if not words:
        return 0, len(text)
    size = draw.randint(_SHORTEST, WINDOW)
    first, last = 0, len(words) - 1
    if inner is not None:
        held = [at for at, (start, end) in enumerate(words) if start < inner[1] and end > inner[0]]
        first, last = (held[0], held[-1]) if held else (0, 0)
    length = last - first + 1
    if inner is not None and length <= WINDOW:
        size = max(size, length)
        begin = draw.randint(max(0, last - size + 1), first)
    else:  # half of the windows of a long text are its head, where attacks and messages say what they want
        begin = first if draw.random() < 0.5 else draw.randint(first, max(first, last - size + 1))
    end = min(len(words), begin + size) - 1
    return words[begin][0], words[end][1]
