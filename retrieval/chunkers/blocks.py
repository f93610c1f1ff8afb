"""The blocks of a Markdown page: headings, tables, code, everything else, each with its offsets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ("Block", "markdown_blocks")


@dataclass(frozen=True, slots=True)
class Block:
    """A block with its character offsets in the page."""

    kind: Literal["heading", "table", "code", "text"]
    start: int
    end: int
    level: int = 0
    """1-6 for a heading."""
    title: str = ""
    """A heading's own text."""


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # Blocks only: inline markup would cost most of the time and is not needed to find where blocks begin and end.
    # No indented code: text from PDFs and e-mails is indented without meaning it.
    return MarkdownIt("commonmark").enable("table").disable(["code", "inline", "text_join"])


def markdown_blocks(text: str) -> list[Block]:
    """Top-level blocks in order; together they hold every character that is not white space."""
    lines = text.split("\n")
    starts = [0, *accumulate(len(line) + 1 for line in lines)]
    blocks: list[Block] = []
    covered = 0

    def add(kind: Literal["heading", "table", "code", "text"], first: int, last: int, level: int = 0) -> None:
        start, end = starts[first], min(starts[last], len(text))
        piece = text[start:end]
        start, end = start + len(piece) - len(piece.lstrip("\n ")), start + len(piece.rstrip())
        if start < end:
            title = text[start:end].strip("#=- \n") if kind == "heading" else ""
            blocks.append(Block(kind, start, end, level, title))

    for token in _parser().parse(text.replace("\r", " ").replace("\0", " ")):
        if token.level or token.map is None or token.nesting < 0:
            continue
        first, last = token.map
        if first > covered:  # link definitions and the like leave no token, but are text all the same
            add("text", covered, first)
        if token.type == "heading_open":
            add("heading", first, last, int(token.tag[1]))
        else:
            kinds: dict[str, Literal["table", "code"]] = {"table_open": "table", "fence": "code"}
            add(kinds.get(token.type, "text"), first, last)
        covered = max(covered, last)
    if covered < len(lines):
        add("text", covered, len(lines))
    return blocks
