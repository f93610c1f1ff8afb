"""The queries in what a model says: one a line, whatever stands before and around them."""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ("queries_of",)

MOST_WORDS = 40
"""A longer line is no query."""
_BULLET = re.compile(r"^[-*+•‣▪·–—]\s+")
_NUMBER = re.compile(r"^[(\[]?(\d{1,2})(?:[.:]?[)\]]\s*|[.:](?:\s+|(?=[A-Z\"“'])))(?=\S)")
"""`1.`, `2)`, `(3)`, `4:`, also `1.What`; `3.11` is no mark of a list."""
_LABEL = re.compile(
    r"^(?:(?:re)?written |rephrased |search |general |simple |step-?back |sub-?)?"
    r"(?:quer(?:y|ies)|questions?)\s*\d{0,2}\s*:\s+(?=\S)",
    re.I,
)
_BOLD = re.compile(r"(?<!\w)\*\*(?=\S)(.+?)(?<=\S)\*\*(?!\w)")
_PREAMBLE = re.compile(
    r"^(?:(?:sure|certainly|of course|okay|ok)[,!.]|here(?:['’]s| is| are)\b|(?:below|following) (?:is|are)\b"
    r"|the following\b|i hope\b|let me know\b|these (?:queries|questions)\b|note:)|:$",
    re.I,
)
_LETTER = re.compile(r"[^\W\d_]")
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "„": "“", "`": "`"}


def queries_of(text: str, question: str, most: int, *, prompt: str = "") -> list[str]:
    """At most so many queries, each once and none the question itself, in the model's order.

    A line that stands in the `prompt` is none either: small models repeat its examples.

    Where two lines or more are marked as items of a list, what is not marked is talk. A number is the mark of an item
    only where it continues the count, so a query may begin with one.

    >>> queries_of("Sure, here they are:\\n\\n1. Python 3.11 features\\n2) 'annual leave'\\n", "", most=4)
    ['Python 3.11 features', 'annual leave']
    """
    seen = {_key(question), *(_key(_LABEL.sub("", line.strip())) for line in prompt.splitlines())}
    queries = []
    for line in _items(text.splitlines()):
        key = _key(line)
        if key not in seen and _LETTER.search(line) and len(line.split()) <= MOST_WORDS:
            seen.add(key)
            queries.append(line)
    return queries[:most]


def _items(lines: Sequence[str]) -> list[str]:
    """The lines that are queries, without the marks before them."""
    read: list[tuple[str, bool]] = []
    count = 0
    for raw in lines:
        line = " ".join(_BOLD.sub(r"\1", raw.strip()).split())
        bare = _BULLET.sub("", line)
        if (number := _NUMBER.match(bare)) and int(number[1]) in (count, count + 1):
            count, bare = int(number[1]), bare[number.end() :]
        bare = _LABEL.sub("", bare)
        read.append((_unquoted(bare), bare != line))
    if sum(marked for _, marked in read) > 1:
        return [line for line, marked in read if marked]
    return [line for line, marked in read if marked or not _PREAMBLE.search(line)]


def _unquoted(line: str) -> str:
    """Without quotes around the whole of it; those within it mean something to a search."""
    whole = line.rstrip(",;")
    close = _QUOTES.get(whole[:1])
    if close and len(whole) > 1 and whole.endswith(close) and not {whole[0], close} & set(whole[1:-1]):
        return whole[1:-1].strip()
    return line


def _key(line: str) -> str:
    return " ".join(re.findall(r"\w+", line.casefold()))
