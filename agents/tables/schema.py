"""What a prompt shows of tables: names, types, samples and sizes, within a bound."""

from __future__ import annotations

from collections.abc import Sequence

from ...markdown import on_one_line
from .table import ROW_ID, Column, Table

__all__ = ("schema_text",)

MOST_SAMPLE = 30
"""Characters of a sample, and of a header."""


def schema_text(tables: Sequence[Table], *, most_chars: int) -> str:
    """`CREATE TABLE` statements with comments. Where they do not fit: fewer samples, then columns left out."""
    for samples in (3, 1, 0):
        lines = [line for table in tables for line in _lines(table, samples)]
        if len(text := "\n".join(lines)) <= most_chars:
            return text
    kept: list[str] = []
    room = most_chars - 40
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join([*kept, f"-- {len(lines) - len(kept)} more lines do not fit"])


def _lines(table: Table, samples: int) -> list[str]:
    title = f'"{_clipped(table.title)}", ' if _folded(table.title) != table.name else ""
    lines = [
        f"CREATE TABLE {table.name} (  -- {title}{len(table.rows)} rows",
        f"  {ROW_ID} BIGINT,  -- place of the row, from 1 to {len(table.rows)}",
    ]
    for column in table.columns:
        note = _note(column, samples)
        comma = "" if column is table.columns[-1] else ","
        lines.append(f"  {column.name} {column.kind}{comma}" + (f"  -- {note}" if note else ""))
    lines.append(");")
    if any(column.kind != "VARCHAR" for column in table.columns):
        lines.append(f"-- {table.text_name}: the same columns as they were written, all VARCHAR")
    return lines


def _note(column: Column, samples: int) -> str:
    parts = []
    if column.header.strip() and _folded(column.header) != column.name:
        parts.append(f'"{_clipped(column.header)}"')
    if column.unit:
        parts.append(f"in {column.unit}")
    shown = [_clipped(each) for each in column.samples[:samples]]
    if column.kind == "VARCHAR":
        shown = ["'" + each.replace("'", "''") + "'" for each in shown]
    if shown:
        parts.append("such as " + ", ".join(shown))
    return ", ".join(parts)


def _folded(text: str) -> str:
    return "_".join(text.lower().split())


def _clipped(text: str) -> str:
    text = on_one_line(text)
    return text if len(text) <= MOST_SAMPLE else text[: MOST_SAMPLE - 1] + "…"
