"""The operations of Chain-of-Table: each makes a smaller, sorted or counted table of a table.

`f_add_column`, the paper's fifth operation, is left out: there the model types the new column's values itself, which
nothing can check; the SQL way computes such columns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

from .cells import cell_text, typed_column
from .table import Table

__all__ = ("END", "Frame", "Operation", "applied", "next_operations", "parse_operation", "written")

END = "<END>"
OPERATIONS = ("select_row", "select_column", "group_by", "sort_by")
"""In the order in which the paper's code lets them follow one another: each at most once, none after a later one."""
_CALL = re.compile(
    r"f_(select_row|select_column|group_by|group_column|sort_by|sort_column)\s*"
    r"\(([^()]*(?:\([^()]*\)[^()]*)*)\)"  # a column may be called "Area (km2)"
)
_ALIASES = {"group_column": "group_by", "sort_column": "sort_by"}
_DIRECTION = re.compile(r"^(?:order\s*[:=]\s*)?(asc|desc|ascending|descending|small to large|large to small)\.?$", re.I)
COUNT = "count"


class Operation(TypedDict):
    """A step of the chain, as graph state keeps it."""

    name: str
    args: list[str]


@dataclass(frozen=True, slots=True)
class Frame:
    """A table on its way through the chain. A row keeps the number that it had in the table."""

    header: tuple[str, ...]
    names: tuple[str, ...]
    """The columns' SQL names, by which they may be called as well."""
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    @classmethod
    def of(cls, table: Table) -> Frame:
        """The whole table."""
        return cls(table.header, tuple(column.name for column in table.columns), tuple(enumerate(table.rows, start=1)))


def next_operations(done: Sequence[Operation]) -> list[str]:
    """What may come next.

    >>> next_operations([{"name": "select_column", "args": ["Name"]}])
    ['group_by', 'sort_by']
    """
    last = max((OPERATIONS.index(each["name"]) for each in done), default=-1)
    return list(OPERATIONS[last + 1 :])


def parse_operation(text: str) -> Operation | None:
    """The first operation that a text names; None where it names none, or the end comes first.

    >>> parse_operation("f_sort_by(Points, desc) -> <END>"), parse_operation("<END>")
    ({'name': 'sort_by', 'args': ['Points', 'desc']}, None)
    """
    found = _CALL.search(text)
    if found is None or END in text[: found.start()]:
        return None
    args = [each.strip().strip("\"'`") for each in found[2].split(",")]
    return Operation(name=_ALIASES.get(found[1], found[1]), args=[each for each in args if each])


def written(operation: Operation) -> str:
    """As the prompts write it.

    >>> written({"name": "group_by", "args": ["Country"]})
    'f_group_by(Country)'
    """
    return f"f_{operation['name']}({', '.join(operation['args'])})"


def applied(frame: Frame, operation: Operation) -> Frame:
    """The table after an operation. `ValueError` says why it cannot be done.

    >>> frame = Frame(("Name", "Points"), ("name", "points"), ((1, ("Ann", "9")), (2, ("Bob", "1,200"))))
    >>> applied(frame, {"name": "sort_by", "args": ["points", "desc"]}).rows[0]
    (2, ('Bob', '1,200'))
    """
    do = {
        "select_row": _select_row,
        "select_column": _select_column,
        "group_by": _group_by,
        "sort_by": _sort_by,
    }
    return do[operation["name"]](frame, operation["args"])


def _select_row(frame: Frame, args: Sequence[str]) -> Frame:
    if args == ["*"]:
        return frame
    wanted = {int(number) for each in args for number in re.findall(r"^(?:row\s*)?(\d+)$", each.lower())}
    rows = tuple(row for row in frame.rows if row[0] in wanted)
    if not rows:
        raise ValueError(f"no row is named by {', '.join(args) or 'nothing'}")
    return Frame(frame.header, frame.names, rows)


def _select_column(frame: Frame, args: Sequence[str]) -> Frame:
    if args == ["*"]:
        return frame
    places = sorted({_place(frame, each) for each in _joined(frame, args)})
    if not places:
        raise ValueError("no column is named")
    rows = tuple((number, tuple(row[at] for at in places)) for number, row in frame.rows)
    return Frame(tuple(frame.header[at] for at in places), tuple(frame.names[at] for at in places), rows)


def _group_by(frame: Frame, args: Sequence[str]) -> Frame:
    place = _place(frame, ", ".join(args))
    counts = Counter(row[place].strip() for _, row in frame.rows)
    rows = tuple((at, (value, str(count))) for at, (value, count) in enumerate(counts.most_common(), start=1))
    return Frame((frame.header[place], COUNT), (frame.names[place], COUNT), rows)


def _sort_by(frame: Frame, args: Sequence[str]) -> Frame:
    directions = [found[1].lower() for each in args if (found := _DIRECTION.match(each))]
    place = _place(frame, ", ".join(each for each in args if not _DIRECTION.match(each)))
    falling = bool(directions) and directions[0] in ("desc", "descending", "large to small")
    column = typed_column([row[place] for _, row in frame.rows])
    keys = column.values if column.kind != "VARCHAR" else [cell_text(value).casefold() for value in column.values]
    known = [at for at, key in enumerate(keys) if key is not None]
    known.sort(key=lambda at: keys[at], reverse=falling)  # type: ignore[arg-type, return-value]  # of one kind
    order = known + [at for at, key in enumerate(keys) if key is None]
    return Frame(frame.header, frame.names, tuple(frame.rows[at] for at in order))


def _joined(frame: Frame, args: Sequence[str]) -> list[str]:
    """Arguments, with the parts of a column's name that holds a comma put together again."""
    whole = ", ".join(args)
    return [whole] if _found(frame, whole) is not None else list(args)


def _place(frame: Frame, name: str) -> int:
    if (place := _found(frame, name)) is None:
        raise ValueError(f"there is no column {name!r}")
    return place


def _found(frame: Frame, name: str) -> int | None:
    wanted = " ".join(name.split()).casefold()
    for names in (frame.header, frame.names):
        for at, each in enumerate(names):
            if " ".join(each.split()).casefold() == wanted:
                return at
    return None
