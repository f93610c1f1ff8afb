"""Tables and the questions about them, in two layouts:

    tables.jsonl {id, title, header, rows} + files of {question, answers, table_id}        as WikiTableQuestions
    contexts.jsonl {id, table, paragraphs} + files of {question, answer, context_id}       as TAT-QA

`table` has its header as the first row; `title` and `paragraphs` (texts, or {order, text}) may be missing. Where there
is a train.jsonl, the questions of other files, and the tables that only these ask about, are left for measuring.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ...evals.jsonl import Problem, Row, find_jsonl, scan_jsonl
from ...markdown import cell

__all__ = ("Table", "TableQuestion", "read_tables", "table_files")

_KEYS = ("table_id", "context_id")
_FIRST = 20
"""Records among which one must be a table."""


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as a chunk shows them: on one line each, no empty row, no empty column, all rows of equal width."""

    id: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    around: tuple[str, ...] = ()
    """Paragraphs of the page that it stands on."""


@dataclass(frozen=True, slots=True)
class TableQuestion:
    """A question about one table."""

    id: str
    question: str
    answers: tuple[str, ...]
    """All of them are asked for."""
    table: str
    """Its id."""


def table_files(folder: Path) -> list[Path]:
    """The files of tables and of questions about them; empty where the folder has not both."""
    file = find_jsonl(folder, "tables", "contexts")
    if file is None or all(_grid(row.fields) is None for row in islice(scan_jsonl(file, []), _FIRST)):
        return []
    questions = _question_files(folder, file)
    return [file, *questions] if questions else []


def read_tables(folder: Path, problems: list[Problem]) -> tuple[dict[str, Table], list[TableQuestion]]:
    """The tables by id, and the questions about them. What cannot be used goes to `problems`, with file and line."""
    file = find_jsonl(folder, "tables", "contexts")
    tables: dict[str, Table] = {}
    for row in scan_jsonl(file, problems) if file else ():
        table = _table(row)
        if table is None:
            problems.append(row.problem("no table with a header and a row below it: left out"))
        elif table.id in tables:
            problems.append(row.problem(f"a second table {table.id!r}: left out"))
        else:
            tables[table.id] = table
    files = _question_files(folder, file)
    train = [path for path in files if path.name.split(".")[0] == "train"]
    left = [path for path in files if train and path not in train]
    problems += [Problem(str(path), 0, "left for measuring, since there is a train.jsonl") for path in left]
    questions: dict[str, TableQuestion] = {}
    for path in train or files:
        for row in scan_jsonl(path, problems):
            found = _question(row, tables, problems)
            if found and found.id in questions:
                problems.append(row.problem(f"a second question {found.id!r}: left out"))
            elif found:
                questions[found.id] = found
    asked = {each.table for each in questions.values()}
    measured = {_table_of(row) for path in left for row in scan_jsonl(path, [])} - asked
    return {key: table for key, table in tables.items() if key not in measured}, list(questions.values())


def _question_files(folder: Path, tables: Path | None) -> list[Path]:
    files = [path for path in sorted([*folder.glob("*.jsonl"), *folder.glob("*.jsonl.gz")]) if path != tables]
    firsts = [(path, next(iter(scan_jsonl(path, [])), None)) for path in files]
    return [
        path for path, row in firsts if row and "question" in row.fields and any(key in row.fields for key in _KEYS)
    ]


def _question(row: Row, tables: Mapping[str, Table], problems: list[Problem]) -> TableQuestion | None:
    table = _table_of(row)
    if table not in tables:
        problems.append(row.problem(f"there is no table {table!r}: left out"))
        return None
    question = row.text("question").strip().strip('"').strip()
    try:
        answers = row.texts("answers", "answer")
    except ValueError as error:
        problems.append(row.problem(f"{error}: left out"))
        return None
    if not question or not answers:
        problems.append(row.problem("no question or no answer: left out"))
        return None
    return TableQuestion(row.key or f"{Path(row.file).name}:{row.line}", question, answers, table)


def _table_of(row: Row) -> str:
    """The id of the table that a question is about."""
    return next((row.text(key) for key in _KEYS if row.text(key)), "")


def _table(row: Row) -> Table | None:
    grid = _grid(row.fields)
    if grid is None:
        return None
    lines = [[cell(value) for value in line] for line in grid]
    lines = [line for line in lines if any(line)]
    if len(lines) < 2:
        return None
    width = max(map(len, lines))
    lines = [line + [""] * (width - len(line)) for line in lines]
    used = [at for at in range(width) if any(line[at] for line in lines)]
    header, *rows = [tuple(line[at] for at in used) for line in lines]
    return Table(row.key or str(row.line), row.text("title"), header, tuple(rows), _paragraphs(row.fields))


def _grid(fields: Mapping[str, Any]) -> list[list[Any]] | None:
    """The header and the rows, as they stand in the record; None where they do not."""
    table, header, rows = fields.get("table"), fields.get("header"), fields.get("rows")
    grid = [header, *rows] if isinstance(header, list) and isinstance(rows, list) else table
    if not isinstance(grid, list) or not all(isinstance(line, list) for line in grid):
        return None
    return grid


def _paragraphs(fields: Mapping[str, Any]) -> tuple[str, ...]:
    listed = fields.get("paragraphs")
    texts = (
        [each.get("text") if isinstance(each, dict) else each for each in listed] if isinstance(listed, list) else []
    )
    return tuple(" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip())
