"""What a column of cell texts holds: numbers, dates, or text. One cell that does not fit keeps the column text."""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

from .dates import read_date, read_time

__all__ = ("Kind", "TypedColumn", "cell_text", "read_number", "typed_column")

Kind = Literal["BIGINT", "DOUBLE", "DATE", "TIMESTAMP", "VARCHAR"]
"""DuckDB's name of a column's type."""
Cell: TypeAlias = int | float | dt.date | dt.datetime | str | None

BLANKS = frozenset({"", "-", "–", "—", "--", "n/a", "na", "nan", "null", "none", "..", "...", "…", "?"})
"""Cells that say nothing, in a column of numbers or dates."""
_LARGEST = 2**63 - 1
_NUMBER = re.compile(
    r"(?P<open>\()?\s*(?P<sign>[-+−–])?\s*(?P<before>[$€£¥₹])?\s*"
    r"(?P<whole>\d{1,3}(?:[,\u00a0\u2009\u202f]\d{3})+|\d+)?(?P<fraction>\.\d+)?(?P<exponent>[eE][-+]?\d{1,3})?"
    r"\s*(?P<after>[%$€£¥₹])?\s*(?(open)\))"
)


@dataclass(frozen=True, slots=True)
class TypedColumn:
    """A column's values: all of one kind, or None where the cell says nothing."""

    kind: Kind
    unit: str
    """`%` or a currency sign that the numbers carry; `12%` is the number 12."""
    values: list[Cell]


def typed_column(cells: Sequence[str]) -> TypedColumn:
    """The column as numbers, dates or moments where every cell that says something is one; else as text.

    >>> typed_column(["1,538", "n/a", "7"]).values, typed_column(["$1.50", "$2"]).unit, typed_column(["007"]).kind
    ([1538, None, 7], '$', 'VARCHAR')
    """
    said = [cell for cell in cells if not _blank(cell)]
    if said:
        for read in (_numbers, _dates, _times):
            if (column := read(cells)) is not None:
                return column
    return TypedColumn("VARCHAR", "", [cell if cell.strip() else None for cell in cells])


def read_number(text: str) -> tuple[int | float, str] | None:
    """The number that a whole text writes, and its unit: `%`, a currency sign or nothing. None for anything else.

    Thousands are parted by commas or narrow spaces; accountants' brackets are a minus. Digits after a leading zero are
    a code, no number; so are more of them than 64 bits hold.

    >>> read_number("$ 1,496.5"), read_number("(12)"), read_number("5%"), read_number("1,5"), read_number("0042")
    ((1496.5, '$'), (-12, ''), (5, '%'), None, None)
    """
    found = _NUMBER.fullmatch(text.strip())
    if found is None or not (found["whole"] or found["fraction"]) or (found["before"] and found["after"]):
        return None
    whole = re.sub(r"\D", "", found["whole"] or "0")
    if (len(whole) > 1 and whole[0] == "0") or (found["open"] and found["sign"]):
        return None
    negative = bool(found["open"]) or found["sign"] in ("-", "−", "–")
    unit = found["before"] or found["after"] or ""
    if not found["fraction"] and not found["exponent"]:
        return None if int(whole) > _LARGEST else ((-int(whole) if negative else int(whole)), unit)
    value = float(f"{whole}{found['fraction'] or ''}{found['exponent'] or ''}")
    return ((-value if negative else value), unit) if math.isfinite(value) else None


def cell_text(value: object) -> str:
    """A value as a cell's text: whole numbers without a fraction, others to 12 digits, dates in ISO 8601.

    >>> cell_text(3.0), cell_text(0.1 + 0.2), cell_text(None), cell_text(True)
    ('3', '0.3', '', 'true')
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.12g}"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, dt.datetime):
        return value.date().isoformat() if value.time() == dt.time() else value.isoformat(sep=" ")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    return str(value)


def _blank(cell: str) -> bool:
    return cell.strip().lower() in BLANKS


def _numbers(cells: Sequence[str]) -> TypedColumn | None:
    read = [None if _blank(cell) else read_number(cell) for cell in cells]
    if any(number is None and not _blank(cell) for number, cell in zip(read, cells, strict=True)):
        return None
    units = {number[1] for number in read if number}
    named = units - {""}
    # Statements write a currency sign on the first row alone; a share beside a plain number is another thing.
    if len(named) > 1 or ("%" in named and "" in units):
        return None
    values = [number[0] if number else None for number in read]
    whole = all(value is None or isinstance(value, int) for value in values)
    shown: list[Cell] = list(values) if whole else [None if value is None else float(value) for value in values]
    return TypedColumn("BIGINT" if whole else "DOUBLE", "".join(named), shown)


def _dates(cells: Sequence[str]) -> TypedColumn | None:
    return _all(cells, read_date, "DATE")


def _times(cells: Sequence[str]) -> TypedColumn | None:
    return _all(cells, read_time, "TIMESTAMP")


def _all(cells: Sequence[str], read: Callable[[str], Cell], kind: Kind) -> TypedColumn | None:
    values: list[Cell] = []
    for cell in cells:
        value = None if _blank(cell) else read(cell)
        if value is None and not _blank(cell):
            return None
        values.append(value)
    return TypedColumn(kind, "", values)
