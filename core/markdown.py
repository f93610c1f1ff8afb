"""Small Markdown pieces: cells, tables, headings, blocks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ("cell", "first_heading", "heading", "join_blocks", "on_one_line", "pipe_table", "table_row")

_RUNS = re.compile(r"\s{2,}|[^\S ]")
_RULE = re.compile(r"\|(?:\s?:?---+:?\s?\|)+")
_BAR = re.compile(r"(?<!\\)\|")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def on_one_line(text: str) -> str:
    """`text` with every run of white space as one space.

    Only the runs that need it are replaced: splitting a string of two hundred megabytes into words takes gigabytes.
    """
    return _RUNS.sub(" ", text.strip())


def cell(value: object) -> str:
    """A value as the text of one table cell: on one line, with pipes escaped; those that are escaped already stay.

    >>> cell("a | b") == cell(cell("a | b")) == r"a \\| b"
    True
    """
    if value is None:
        return ""
    return _BAR.sub(r"\\|", on_one_line(str(value)))


def pipe_table(rows: Iterable[Sequence[object]]) -> str:
    """Rows as a Markdown pipe table with the first as its header; columns that are empty throughout are left out."""
    grid = [[cell(value) for value in row] for row in rows]
    grid = [row for row in grid if any(row)]
    if not grid:
        return ""
    width = max(map(len, grid))
    used = [at for at in range(width) if any(at < len(row) and row[at] for row in grid)]
    lines = ["| " + " | ".join(row[at] if at < len(row) else "" for at in used) + " |" for row in grid]
    lines.insert(1, "| " + " | ".join("---" for _ in used) + " |")
    return "\n".join(lines)


def table_row(text: str, at: int) -> tuple[int, int] | None:
    """(start, end) of the table row that an offset lies in, below the table's header; None where it lies in none.

    Rows are told by the number of columns, so the table may also stand on one line, as in a prompt.

    >>> text = "Rooms: | Room | Seats | | --- | --- | | Barometer | | | Nortada | 8 | Book early."
    >>> start, end = table_row(text, text.index("8"))
    >>> text[start:end]
    '| Nortada | 8 |'
    """
    rule = next((each for each in reversed(list(_RULE.finditer(text, 0, at)))), None)
    if rule is None:
        return None
    bars = [each.start() for each in _BAR.finditer(text, rule.end())]
    width = len(_BAR.findall(rule[0]))
    for first in range(0, len(bars) - width + 1, width):
        start, end = bars[first], bars[first + width - 1] + 1
        if start <= at < end:
            return start, end
    return None


def heading(text: str, level: int) -> str:
    """A heading line; levels beyond six are written as six."""
    return f"{'#' * min(max(level, 1), 6)} {on_one_line(text)}"


def join_blocks(blocks: Iterable[str]) -> str:
    """Blocks with one empty line between them, empty blocks left out."""
    return "\n\n".join(block for block in (block.strip("\n") for block in blocks) if block.strip())


def first_heading(text: str) -> str:
    """The text of the first heading in Markdown, or an empty string."""
    found = _HEADING.search(text)
    return found[1].strip() if found else ""
