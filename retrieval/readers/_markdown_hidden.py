"""Comments in Markdown: they are read by models and not shown to people."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from .files import without

__all__ = ("without_comments",)

_FENCE = re.compile(r"[ \t>]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}|~{3,})(.*)")
_INDENTED = re.compile(r"(?: {4}|\t)")
_LABELLED = re.compile(r" {0,3}\[(?://|comment|_metadata_|\^//)\]:[ \t]*(?:#|<>)[ \t]+[\"'(]", re.IGNORECASE)
"""A reference that nothing refers to: `[//]: # (a comment)`."""
_TICKS = re.compile("`+")


def without_comments(text: str) -> tuple[str, int]:
    """The text without its comments, and how many there were. In code, where they are shown, they stay."""
    if "<!--" not in text and "]:" not in text:
        return text, 0
    code = list(_code(text))
    starts = [start for start, _ in code]

    def shown(at: int) -> bool:
        near = bisect_right(starts, at) - 1
        return (near >= 0 and at < code[near][1]) or text[at - 1 : at] == "\\"

    comments: list[tuple[int, int]] = []
    at = text.find("<!--")
    while at >= 0:
        if shown(at):
            end = at + 4
        elif (end := text.find("-->", at + 4) + 3) > 2:
            comments.append((at, end))
        else:
            break
        at = text.find("<!--", end)
    taken = [start for start, _ in comments]
    for start, end in _labelled(text):
        near = bisect_right(taken, start) - 1
        if not shown(start) and (near < 0 or comments[near][1] <= start):
            comments.append((start, end))
    return (without(text, sorted(comments)), len(comments)) if comments else (text, 0)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in text.split("\n"):
        yield at, line
        at += len(line) + 1


def _labelled(text: str) -> Iterator[tuple[int, int]]:
    for at, line in _lines(text):
        if _LABELLED.match(line):
            yield at, at + len(line)


def _code(text: str) -> Iterator[tuple[int, int]]:
    """The spans of code, in order. A fence that is not closed runs to the end."""
    opened, fence = -1, ""
    for at, line in _lines(text):
        found = _FENCE.match(line)
        if opened >= 0:
            if found and found[1].startswith(fence) and not found[2].strip():
                yield opened, at + len(line)
                opened = -1
        elif found and not (found[1][0] == "`" and "`" in found[2]):
            opened, fence = at, found[1]
        elif _INDENTED.match(line):
            yield at, at + len(line)
        elif "`" in line:
            yield from ((at + start, at + end) for start, end in _code_in_line(line))
    if opened >= 0:
        yield opened, len(text)


def _code_in_line(line: str) -> Iterator[tuple[int, int]]:
    """The spans between back-ticks: a run of them is closed by the next run as long."""
    runs = [found.span() for found in _TICKS.finditer(line)]
    as_long: dict[int, list[int]] = {}
    for number, (start, end) in enumerate(runs):
        as_long.setdefault(end - start, []).append(number)
    number = 0
    while number < len(runs):
        start, end = runs[number]
        same = as_long[end - start]
        later = bisect_right(same, number)
        if later == len(same):
            number += 1
        else:
            yield start, runs[same[later]][1]
            number = same[later] + 1
