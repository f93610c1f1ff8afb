"""JSON and JSON Lines: each record as a readable Markdown list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from ...errors import ReaderError
from ...markdown import heading, join_blocks, on_one_line
from .base import Page, ParsedDocument
from .files import clean_text, decode, one_line, read_bytes

__all__ = ("read_json", "read_jsonl")

_NAMES = ("title", "name", "subject", "question", "id")
_MAX_WARNINGS = 20


def read_json(path: Path) -> ParsedDocument:
    """Reads a JSON file: a list of records, or one object. JSON Lines under the wrong name are read as such."""
    text, warnings = decode(read_bytes(path))
    text = clean_text(text)
    try:
        value = json.loads(text)
    except ValueError as error:
        if len(text.strip().splitlines()) > 1:
            records, problems = _lines(text)
            if len(records) > len(problems):
                return _document(records, "jsonl", (*warnings, *problems))
        raise ReaderError(str(path), f"is not valid JSON: {one_line(error)}") from error
    if isinstance(value, list) and any(isinstance(item, (dict, list)) for item in value):
        return _document(list(enumerate(value, start=1)), "json", warnings)
    page = join_blocks(["\n".join(_lines_of(value, 0))])
    title = str(value["title"]) if isinstance(value, dict) and isinstance(value.get("title"), str) else ""
    return ParsedDocument((Page(1, clean_text(page)),), format="json", title=title, warnings=warnings)


def read_jsonl(path: Path) -> ParsedDocument:
    """Reads JSON Lines: one record a line. A malformed line becomes a warning and the others are read."""
    text, warnings = decode(read_bytes(path))
    text = clean_text(text)
    records, problems = _lines(text)
    if not records:
        try:
            whole = json.loads(text)
        except ValueError:
            raise ReaderError(str(path), f"holds no valid JSON line ({problems[0] if problems else 'blank'})") from None
        records = list(enumerate(whole if isinstance(whole, list) else [whole], start=1))
        problems = ()
    return _document(records, "jsonl", (*warnings, *problems))


def _lines(text: str) -> tuple[list[tuple[int, object]], tuple[str, ...]]:
    records: list[tuple[int, object]] = []
    problems: list[str] = []
    bad = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append((number, json.loads(line)))
        except (ValueError, RecursionError) as error:
            bad += 1
            if bad <= _MAX_WARNINGS:
                problems.append(f"line {number}: {one_line(error)}")
    if bad > _MAX_WARNINGS:
        problems.append(f"{bad - _MAX_WARNINGS} more lines are malformed")
    return records, tuple(problems)


def _document(records: Iterable[tuple[int, object]], format: str, warnings: tuple[str, ...]) -> ParsedDocument:
    blocks = []
    for number, record in records:
        blocks += [heading(_name(record, number), 2), "\n".join(_lines_of(record, 0))]
    return ParsedDocument((Page(1, clean_text(join_blocks(blocks))),), format=format, warnings=warnings)


def _name(record: object, number: int) -> str:
    if isinstance(record, dict):
        for key in _NAMES:
            value = record.get(key)
            if isinstance(value, (str, int)) and 0 < len(str(value)) <= 120:
                return str(value)
    return f"Record {number}"


def _lines_of(value: object, depth: int) -> Iterator[str]:
    """A value as list lines: `- key: value`, deeper values indented below their key."""
    indent = "  " * depth
    if isinstance(value, dict):
        for key, item in value.items():
            if _flat(item):
                yield f"{indent}- {key}: {_scalar(item)}"
            else:
                yield f"{indent}- {key}:"
                yield from _lines_of(item, depth + 1)
    elif isinstance(value, list) and not _flat(value):
        for item in value:
            if _flat(item):
                yield f"{indent}- {_scalar(item)}"
            elif isinstance(item, dict):
                # The first line of the inner list carries the dash of the outer one.
                yield from _lines_of(item, depth)
                yield ""
            else:
                yield f"{indent}-"
                yield from _lines_of(item, depth + 1)
    else:
        yield f"{indent}{_scalar(value)}"


def _flat(value: object) -> bool:
    if isinstance(value, list):
        return all(not isinstance(item, (dict, list)) for item in value) and sum(len(str(item)) for item in value) < 400
    return not isinstance(value, dict) or not value


def _scalar(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(_scalar(item) for item in value)
    if isinstance(value, dict):
        return ""
    return on_one_line(str(value))
