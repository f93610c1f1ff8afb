"""Which parts of a Markdown text are code: shown as they are, never run or followed by what renders them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

__all__ = ("MOST_CHARS", "Region", "code_regions")

Region = tuple[int, int]
MOST_CHARS = 20_000
"""Of a longer text nothing counts as code: finding its blocks can take time that grows with the square."""
_LINE_END = re.compile(r"\r\n?|\n")
_MARKS = re.compile(r"`|~~~|    |\t")
_TOKEN = re.compile(r"\\.|(?P<ticks>`+)|<[A-Za-z][A-Za-z0-9+.-]{1,31}:[^\s<>]*>|(?P<html><(?=[A-Za-z/!?]))", re.DOTALL)


_TABLE = re.compile(r"^(?=[^\n]*\|)(?=[^\n]*-)[ \t>|:*+-]+\r?$", re.MULTILINE)
"""The row under the head of a table."""


def code_regions(text: str) -> list[Region]:
    """(start, end) of fenced and indented blocks and of inline code, in order (CommonMark 0.31).

    Blocks are told by markdown-it, for a fence in the midst of HTML is none and hides nothing. Inline code is told by a
    rule that rather finds too little: from tick to tick in one line, before any HTML in its paragraph (whose quotes may
    hold a tick), and without a bar where the text has a table (whose cells end even there).

    >>> code_regions("Use `ls` here.")
    [(4, 8)]
    """
    if len(text) > MOST_CHARS or not _MARKS.search(text):
        return []
    starts = [0, *(end.end() for end in _LINE_END.finditer(text)), len(text)]
    has_table = bool(_TABLE.search(text))
    regions: list[Region] = []
    for token in _parser().parse(text):
        if token.map is None:
            continue
        first, last = token.map[0], min(token.map[1], len(starts) - 1)
        if token.type in ("fence", "code_block"):
            regions.append((starts[first], starts[last]))
        elif token.type == "inline":
            regions += _inline(text, starts[first : last + 1], has_table)
    return sorted(regions)


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark")
    parser.core.ruler.disable(["inline", "text_join"])
    return parser


def _inline(text: str, starts: Sequence[int], has_table: bool) -> Iterator[Region]:
    """Code in a paragraph or heading whose lines start there; it ends where a tick without its like may open more."""
    for at, end in pairwise(starts):
        while token := _TOKEN.search(text, at, end):
            at = token.end()
            if token["html"]:
                return
            if token["ticks"]:
                closing = re.compile(f"(?<!`)`{{{len(token['ticks'])}}}(?!`)").search(text, at, end)
                if closing is None or (has_table and "|" in text[at : closing.start()]):
                    return
                yield token.start(), closing.end()
                at = closing.end()
