"""One table: its columns, its cells as they were written, and how it is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from langchain_core.documents import Document

from ...markdown import cell, on_one_line
from .cells import Kind

__all__ = ("ROW_ID", "Column", "Table", "pipe_lines")

ROW_ID = "row_id"
"""The column that every table has: the row's place, counted from 1."""
MOST_CELL = 200
"""Characters of a cell that are shown."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: how SQL names it, what it was called, and what it holds."""

    name: str
    header: str
    kind: Kind
    unit: str
    """`%` or a currency sign that its numbers carried."""
    samples: tuple[str, ...]
    """Some different values, as SQL compares them."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table. `name` is its SQL name; `text_name` names a second one with its cells as they were written, all text.

    Columns and rows are without `row_id`.
    """

    name: str
    text_name: str
    title: str
    """What the file or the caller calls it."""
    source: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]

    @property
    def header(self) -> tuple[str, ...]:
        """What the columns were called; the SQL name of a column that had no name."""
        return tuple(on_one_line(column.header) or column.name for column in self.columns)

    @property
    def id(self) -> str:
        """The same for the same source, header and cells."""
        digest = hashlib.blake2b(digest_size=8)
        for text in (self.source, self.title, *self.header, *(each for row in self.rows for each in row)):
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
        return f"table:{digest.hexdigest()}"

    def document(
        self, header: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]], *, made_by: str = ""
    ) -> Document:
        """Rows of this table as a passage that can be cited: a Markdown table. `made_by`: what was done to them."""
        lines = pipe_lines(header, rows)
        return Document(
            "\n".join(lines),
            id=f"{self.id} {made_by}".strip(),
            metadata={
                "source": self.source,
                "title": self.title,
                "page": 1,
                "table": self.name,
                "rows_shown": len(lines) - 2,
                "row_count": len(self.rows),
                "made_by": made_by,
                "score": 1.0,
                "score_kind": "table",
            },
        )


def pipe_lines(header: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]]) -> list[str]:
    """A Markdown table, line by line; each row begins with its number."""
    lines = [_line("row", header), _line("---", ["---"] * len(header))]
    return lines + [_line(str(number), row) for number, row in rows]


def _line(first: str, cells: Sequence[str]) -> str:
    return "| " + " | ".join([first, *(_shown(each) for each in cells)]) + " |"


def _shown(text: str) -> str:
    return cell(text if len(text) <= MOST_CELL else text[: MOST_CELL - 1] + "…")
