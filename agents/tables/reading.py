"""Files as tables of texts: separated values, workbooks, JSON Lines. What cannot be read is told by file and line."""

from __future__ import annotations

import csv
import io
import json
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ...errors import ReaderError, UsageError
from ...retrieval.readers.containers import open_container
from ...retrieval.readers.csv import delimiter_of
from ...retrieval.readers.files import clean_text, decode, one_line, read_bytes
from .cells import cell_text

__all__ = ("MOST_CELLS", "SUFFIXES", "Problem", "RawTable", "files_of", "read_file")

MOST_CELLS = 2_000_000
"""Cells of all tables together: they are held in memory."""
MOST_PROBLEMS = 20
"""Problems of one table that are told one by one."""
_Row = tuple[int, list[str]]


@dataclass(frozen=True, slots=True)
class Problem:
    """What was left out, or mended. `line` counts from 1, and is 0 where the whole file is meant."""

    source: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.source}, line {self.line}: {self.reason}" if self.line else f"{self.source}: {self.reason}"


@dataclass(slots=True)
class RawTable:
    """A table as a file holds it: every cell a text, every row as long as the header."""

    title: str
    source: str
    header: list[str]
    rows: list[list[str]]
    problems: list[Problem] = field(default_factory=list)


def files_of(paths: Iterable[str | Path]) -> list[tuple[Path, str]]:
    """Each file and its source name: the path within a folder that was given, else the file's name.

    A folder stands for the tables in it and below it, in order of their names; what else lies there is passed over.
    `UsageError` for a path that is not there, or a file that is no table.
    """
    found: list[tuple[Path, str]] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
            found += [(each, each.relative_to(path).as_posix()) for each in inside]
        elif not path.exists():
            raise UsageError(f"there is no file {str(path)!r}", hint="give files, or a folder that holds them")
        elif path.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{path.name!r} is no table", hint=f"use {', '.join(sorted(SUFFIXES))}")
        else:
            found.append((path, path.name))
    if not found:
        raise UsageError("there is no table to read", hint=f"give files: {', '.join(sorted(SUFFIXES))}")
    return found


def read_file(path: Path, source: str) -> list[RawTable]:
    """The tables of one file: one, or one a sheet. `ReaderError` where there is none."""
    try:
        return list(SUFFIXES[path.suffix.lower()](path, source))
    except ReaderError as error:
        raise ReaderError(source, error.reason, hint=error.hint) from error  # by its source, not by where it lies
    except OSError as error:
        raise ReaderError(source, error.strerror or type(error).__name__) from error


def _separated(path: Path, source: str) -> Iterator[RawTable]:
    text, told = decode(read_bytes(path))
    text = clean_text(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text, path.suffix), strict=True)
    rows: list[_Row] = []
    problems = [Problem(source, 0, warning) for warning in told]
    line = 1
    try:
        for row in reader:
            rows.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:  # a quote that is never closed would swallow the rest of the file
        problems.append(Problem(source, line, f"{one_line(error)}; this line and what follows was not read"))
    yield _table(path.stem, source, rows, problems)


def _workbook(path: Path, source: str) -> Iterator[RawTable]:
    """Formulas count by the result that the program stored; a formula without one is an empty cell."""
    from openpyxl import load_workbook

    archive, data = open_container(path)
    archive.close()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # styles and extensions hold no cells
            book = load_workbook(io.BytesIO(data), read_only=True, data_only=True, keep_links=False)
            sheets = [(name, _sheet_rows(book[name])) for name in book.sheetnames if hasattr(book[name], "iter_rows")]
    except Exception as error:  # openpyxl raises whatever a broken part of a file makes it stumble over
        raise ReaderError(source, f"is a broken workbook: {one_line(error)}") from error
    filled = [(name, rows) for name, rows in sheets if any(any(row) for _, row in rows)]
    if not filled:
        raise ReaderError(source, "holds no table")
    for name, rows in filled:
        alone = len(filled) == 1
        yield _table(path.stem if alone else f"{path.stem} {name}", source if alone else f"{source}#{name}", rows, [])


def _sheet_rows(sheet: object) -> list[_Row]:
    sheet.reset_dimensions()  # type: ignore[attr-defined]  # the stored ones are often wrong
    values = sheet.iter_rows(values_only=True)  # type: ignore[attr-defined]
    rows: list[_Row] = []
    cells = 0
    for number, row in enumerate(values, start=1):
        texts = [clean_text(cell_text(value)) for value in row]
        if width := _width(texts):  # sheets are often formatted down to their last row, and to the right
            rows.append((number, texts[:width]))
            cells += width
        if cells > MOST_CELLS:
            raise ValueError(f"a sheet holds more than {MOST_CELLS:,} cells")
    return rows


def _json_lines(path: Path, source: str) -> Iterator[RawTable]:
    text, told = decode(read_bytes(path))
    problems = [Problem(source, 0, warning) for warning in told]
    records: list[tuple[int, dict[str, object]]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(Problem(source, number, f"is no JSON ({one_line(error)}); left out"))
            continue
        if isinstance(value, dict):
            records.append((number, value))
        else:
            problems.append(Problem(source, number, "is no JSON object; left out"))
    if not records:
        raise ReaderError(source, f"holds no JSON object ({problems[0]})" if problems else "holds no JSON object")
    header = list(dict.fromkeys(key for _, record in records for key in record))
    rows = [(number, [_json_cell(record.get(key)) for key in header]) for number, record in records]
    yield RawTable(path.stem, source, header, [row for _, row in rows], _few(source, problems))


def _json_cell(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list)) else cell_text(value)
    return clean_text(text)


SUFFIXES: dict[str, Callable[[Path, str], Iterator[RawTable]]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".xlsx": _workbook,
    ".jsonl": _json_lines,
}


def _table(title: str, source: str, rows: list[_Row], problems: list[Problem]) -> RawTable:
    """Rows as a table. The header is the first row with two filled cells; lines above it are titles."""
    filled = [(line, row) for line, row in rows if any(each.strip() for each in row)]
    if not filled:
        raise ReaderError(source, f"holds no table ({problems[0]})" if problems else "holds no table")
    wide = [at for at, (_, row) in enumerate(filled) if sum(bool(each.strip()) for each in row) > 1]
    start = wide[0] if wide else 0
    problems += [Problem(source, line, "stands above the header; left out") for line, _ in filled[:start]]
    header = filled[start][1]
    width = max(len(header), *(_width(row) for _, row in filled[start:]))
    for line, row in filled[start + 1 :]:
        if _width(row) > len(header):
            problems.append(Problem(source, line, f"has {_width(row)} cells, the header has {len(header)}"))
        elif len(row) < len(header):
            problems.append(Problem(source, line, f"has {len(row)} cells, the header has {len(header)}; filled up"))
    whole = [[*row, *[""] * (width - len(row))][:width] for _, row in filled[start:]]
    return RawTable(title, source, whole[0], whole[1:], _few(source, problems))


def _width(row: list[str]) -> int:
    """Cells up to the last one that says something."""
    return next((at for at in range(len(row), 0, -1) if row[at - 1].strip()), 0)


def _few(source: str, problems: list[Problem]) -> list[Problem]:
    if len(problems) <= MOST_PROBLEMS:
        return problems
    more = Problem(source, 0, f"{len(problems) - MOST_PROBLEMS} more problems")
    return [*problems[:MOST_PROBLEMS], more]
