"""JSON Lines that people wrote: what can be used is used, and what cannot is named with its file and line."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

__all__ = ("Problem", "Row", "find_jsonl", "scan_jsonl")


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that was left out or taken with reserve, and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file, and where it stands."""

    fields: dict[str, Any]
    file: str
    line: int

    def problem(self, reason: str) -> Problem:
        """A problem of this row."""
        return Problem(self.file, self.line, reason)

    @property
    def key(self) -> str | None:
        """Its `id` (BEIR: `_id`) as text; None where there is none."""
        value = self.fields.get("id", self.fields.get("_id"))
        return None if value is None or value == "" else str(value)

    def text(self, name: str) -> str:
        """A field as text, empty where it is missing or null."""
        value = self.fields.get(name)
        return "" if value is None else str(value)

    def texts(self, *names: str) -> tuple[str, ...]:
        """The first of these fields that holds any text, as a tuple of texts; one text counts as a list of one.

        Nulls are left out, numbers are texts, and of an object its "text" counts (SQuAD as Hugging Face has it). Raises
        `ValueError` where a field is anything else.
        """
        for name in names:
            value = self.fields.get(name)
            if isinstance(value, dict) and value.get("text") is not None:
                value = value["text"]
            items = [item for item in (value if isinstance(value, list) else [value]) if item is not None]
            if any(isinstance(item, bool) or not isinstance(item, (str, int, float)) for item in items):
                raise ValueError(f"{name!r} is no list of texts")
            if items:
                return tuple(str(item) for item in items)
        return ()


def find_jsonl(folder: Path, *stems: str) -> Path | None:
    """The first of STEM.jsonl and STEM.jsonl.gz that exists in the folder."""
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in (".jsonl", ".jsonl.gz"))
    return next((path for path in paths if path.is_file()), None)


def scan_jsonl(path: Path, problems: list[Problem]) -> Iterator[Row]:
    """The objects of a file, gzipped or not; what is no JSON object goes to `problems`.

    Lines end at line feeds only: texts may hold other separators. Raises `UsageError` where the file itself is damaged.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if not line.strip():
                    continue
                try:
                    fields = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
                except (ValueError, RecursionError) as error:
                    problems.append(Problem(str(path), number, f"not JSON: {error}"))
                    continue
                if isinstance(fields, dict):
                    yield Row(fields, str(path), number)
                else:
                    problems.append(Problem(str(path), number, "not a JSON object"))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise UsageError(f"{str(path)!r} is damaged: {error}") from error
