"""`Tables`: a set of named tables in a database of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ...errors import ReaderError, UsageError
from ...markdown import on_one_line
from .cells import cell_text, typed_column
from .identifiers import identifiers
from .reading import MOST_CELLS, Problem, RawTable, files_of, read_file
from .running import connect
from .schema import schema_text
from .table import ROW_ID, Column, Table

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from .cells import TypedColumn

__all__ = ("Tables",)

Given: TypeAlias = tuple[Sequence[str], Sequence[Sequence[object]]]
"""Header and rows."""
SAMPLES = 3
SAMPLED_ROWS = 100
_ARROW = {"BIGINT": "int64", "DOUBLE": "float64", "DATE": "date32", "TIMESTAMP": "timestamp[us]", "VARCHAR": "string"}


class Tables(Mapping[str, Table]):
    """Named tables in an in-process DuckDB: `tables["results"]`, `len(tables)`, `for name in tables`.

    Each object is a scope: it has a database of its own, and no statement sees the tables of another one. Every table
    gets SQL names that need no quotes, types by what its cells hold, a column `row_id` that counts its rows from 1, and
    a second table `NAME_text` of its cells as they were written. Made by `Tables.read` or `Tables.of`.

    >>> tables = Tables.of({"Results 2019": (["Name", "Points (total)"], [["Ann", "1,200"], ["Bob", "n/a"]])})
    >>> list(tables), [(each.name, each.kind) for each in tables["results_2019"].columns]
    (['results_2019'], [('name', 'VARCHAR'), ('points_total', 'BIGINT')])
    """

    def __init__(self, raw: Sequence[RawTable], problems: Sequence[Problem] = ()) -> None:
        """For `read` and `of`."""
        if not raw:
            raise UsageError("there are no tables", hint="give one at least")
        if (cells := sum(len(each.header) * len(each.rows) for each in raw)) > MOST_CELLS:
            raise UsageError(f"{cells:,} cells are too many", hint=f"{MOST_CELLS:,} at most are held in memory")
        self.problems = (*problems, *(problem for each in raw for problem in each.problems))
        """What could not be read, or was mended."""
        self.connection: DuckDBPyConnection = connect()
        names = identifiers([each.title for each in raw], empty="table")
        texts = identifiers([f"{name}_text" for name in names], taken=names)
        self._tables = {name: self._add(name, text, each) for name, text, each in zip(names, texts, raw, strict=True)}

    @classmethod
    def read(cls, paths: str | Path | Sequence[str | Path]) -> Tables:
        """Tables of files (`.csv`, `.tsv`, `.xlsx` with a table a sheet, `.jsonl`) and of folders that hold such.

        What is broken is left out and told in `problems`, with file and line. Raises `UsageError` for a path that is
        not there or no table, `ReaderError` where nothing at all could be read.

        >>> Tables.read("reports/").problems  # doctest: +SKIP
        (Problem(source='2019.csv', line=7, reason='has 3 cells, the header has 5; filled up'),)
        """
        given = [paths] if isinstance(paths, (str, Path)) else list(paths)
        raw: list[RawTable] = []
        failures: list[ReaderError] = []
        for path, source in files_of(given):
            try:
                raw += read_file(path, source)
            except ReaderError as error:
                failures.append(error)
        if not raw:
            raise failures[0]
        return cls(raw, [Problem(error.path, 0, error.reason) for error in failures])

    @classmethod
    def of(cls, given: Mapping[str, Given], *, source: str = "") -> Tables:
        """Tables of rows at hand: `{name: (header, rows)}`. Cells are texts, or values that are written as texts.

        `source`: what citations name; by default each table's own name. `UsageError` for rows of another length than
        the header.
        """
        raw = []
        for title, (header, rows) in given.items():
            for number, row in enumerate(rows, start=1):
                if len(row) != len(header):
                    raise UsageError(
                        f"row {number} of {title!r} has {len(row)} cells, the header has {len(header)}",
                        hint="every row is as long as the header",
                    )
            cells = [[cell_text(cell) for cell in row] for row in rows]
            raw.append(RawTable(title, source or title, [cell_text(each) for each in header], cells))
        return cls(raw)

    def schema(self, names: Sequence[str] | None = None, *, most_chars: int = 4000) -> str:
        """The tables as prompts show them: `CREATE TABLE` with samples, at most so many characters."""
        return schema_text([self[name] for name in (names or self)], most_chars=most_chars)

    def columns(self) -> dict[str, dict[str, str]]:
        """What statements may name: each table to its columns and their types."""
        known: dict[str, dict[str, str]] = {}
        for table in self.values():
            known[table.name] = {ROW_ID: "BIGINT", **{column.name: column.kind for column in table.columns}}
            known[table.text_name] = {ROW_ID: "BIGINT", **{column.name: "VARCHAR" for column in table.columns}}
        return known

    def __getitem__(self, name: str) -> Table:
        return self._tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tables)

    def __len__(self) -> int:
        return len(self._tables)

    def _add(self, name: str, text_name: str, raw: RawTable) -> Table:
        if not raw.header:
            raise UsageError(f"the table {raw.title!r} has no column", hint="give a header")
        names = identifiers([on_one_line(each) for each in raw.header], taken=[ROW_ID])
        written = [[row[at] for row in raw.rows] for at in range(len(names))]
        typed = [typed_column(cells) for cells in written]
        self._load(name, names, [each.values for each in typed], [each.kind for each in typed], len(raw.rows))
        self._load(text_name, names, written, ["VARCHAR"] * len(names), len(raw.rows))
        columns = [
            Column(column, header, each.kind, each.unit, _samples(each))
            for column, header, each in zip(names, raw.header, typed, strict=True)
        ]
        return Table(name, text_name, raw.title, raw.source, tuple(columns), tuple(tuple(row) for row in raw.rows))

    def _load(self, name: str, names: list[str], values: Sequence[Sequence[object]], kinds: list[str], n: int) -> None:
        import pyarrow as pa

        arrays = [pa.array(range(1, n + 1), "int64")]
        arrays += [pa.array(column, _ARROW[kind]) for column, kind in zip(values, kinds, strict=True)]
        self.connection.register("given", pa.Table.from_arrays(arrays, names=[ROW_ID, *names]))
        # The names are identifiers, made above: nothing else of what was given stands in the statement.
        self.connection.execute(f'CREATE TABLE "{name}" AS SELECT * FROM given')
        self.connection.unregister("given")


def _samples(column: TypedColumn) -> tuple[str, ...]:
    said = (on_one_line(cell_text(value)) for value in column.values if value is not None)
    first = islice(dict.fromkeys(islice(said, SAMPLED_ROWS)), SAMPLES)
    return tuple(first)
