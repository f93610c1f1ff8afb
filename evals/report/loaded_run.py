"""Reads a run folder (see `..records`) and refuses a damaged one with the file and the line.

Every field that the page relies on is checked here, once, so that no later part has to.
What only decorates the page may be missing: run.json and timings.jsonl. What it is about may not: records.jsonl and
summary.json.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ...errors import UsageError
from ..jsonl import Problem, scan_jsonl
from ..records import METRICS, Record, Summary, Timing

__all__ = ("Key", "Run", "load_run")

Key = tuple[str, str, str]
"""Set, strategy and question id: what a record is found by."""

_HINT = "give the folder that `ragloom eval answers` wrote; a damaged run has to be run again"
_NUMBER = (int, float)
_OPTIONAL = (int, float, type(None))
_KEY = {"set": str, "strategy": str, "id": str}
_RECORD: dict[str, Any] = {
    **_KEY,
    "question": str,
    "answers": list,
    "gold": list,
    "answerable": bool,
    "answer": str,
    "abstained": bool,
    "failed": (str, type(None)),
    "citations": list,
    "documents": list,
    "steps": list,
    "metrics": dict,
    "calls": _NUMBER,
    "tokens_in": _NUMBER,
    "tokens_out": _NUMBER,
}
_INNER: dict[str, dict[str, Any]] = {
    "citations": {"sentence": str, "id": str, "quote": str},
    "documents": {"id": str, "source": str, "title": str, "text": str},
    "steps": {"node": str},
}
_TIMING: dict[str, Any] = {**_KEY, "seconds": _NUMBER, "step_ms": list}
_SUMMARY: dict[str, Any] = {
    "set": str,
    "strategy": str,
    "n": int,
    "baseline": (str, type(None)),
    **dict.fromkeys((*METRICS, "abstained", "abstained_answerable", "answered_unanswerable"), _OPTIONAL),
    **dict.fromkeys(("calls", "tokens_in", "tokens_out", "failed"), _OPTIONAL),
    **dict.fromkeys(("p50_s", "p95_s", "first_token_p50_s"), _OPTIONAL),
    "ci95": (dict, type(None)),
    "versus_baseline": (dict, type(None)),
}


@dataclass(frozen=True)
class Run:
    """A run folder in memory."""

    folder: Path
    info: dict[str, Any]
    """run.json as it stands; empty where there is none."""
    records: dict[Key, Record]
    timings: dict[Key, Timing]
    summaries: list[Summary]

    @cached_property
    def sets(self) -> list[str]:
        """Names of the sets, in the order of the run."""
        return list(dict.fromkeys([*(row["set"] for row in self.summaries), *(key[0] for key in self.records)]))

    @cached_property
    def strategies(self) -> list[str]:
        """Names of the strategies of all sets, in the order of the run."""
        return list(dict.fromkeys([*(row["strategy"] for row in self.summaries), *(key[1] for key in self.records)]))

    @cached_property
    def grouped(self) -> dict[tuple[str, str], list[Record]]:
        """The records of each set and strategy."""
        groups: dict[tuple[str, str], list[Record]] = {}
        for (set_name, strategy, _), record in self.records.items():
            groups.setdefault((set_name, strategy), []).append(record)
        return groups

    def baseline(self, set_name: str) -> str | None:
        """The strategy that the others of a set are compared with; None where none was named."""
        named = (row.get("baseline") for row in self.summaries if row["set"] == set_name)
        return next((name for name in named if name), None)


def load_run(folder: Path) -> Run:
    """Reads a run folder. Raises `UsageError` for what is missing or damaged, with file and line."""
    if not folder.is_dir():
        raise UsageError(f"there is no run folder {str(folder)!r}", hint=_HINT)
    for name in ("records.jsonl", "summary.json"):
        if not (folder / name).is_file():
            begun = (folder / "partial.jsonl").exists()
            hint = "the run is not finished: the same command goes on where it stopped" if begun else _HINT
            raise UsageError(f"{str(folder)!r} has no {name}", hint=hint)
    return Run(
        folder,
        _info(folder / "run.json"),
        cast("dict[Key, Record]", _keyed(folder / "records.jsonl", _RECORD)),
        cast("dict[Key, Timing]", _keyed(folder / "timings.jsonl", _TIMING)),
        _summaries(folder / "summary.json"),
    )


def _info(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    info = _json(path)
    if not isinstance(info, dict):
        raise UsageError(f"{path}:1: not a JSON object", hint=_HINT)
    return info


def _summaries(path: Path) -> list[Summary]:
    rows = _json(path)
    if not isinstance(rows, list):
        raise UsageError(f"{path}:1: not a list of summaries", hint=_HINT)
    for number, row in enumerate(rows, start=1):
        wrong = _wrong(row, _SUMMARY) or _wrong_intervals(row)
        if wrong:
            raise UsageError(f"{path}: summary {number}: {wrong}", hint=_HINT)
    return cast("list[Summary]", rows)


def _keyed(path: Path, fields: Mapping[str, Any]) -> dict[Key, dict[str, Any]]:
    found: dict[Key, dict[str, Any]] = {}
    for line, row in _lines(path):
        wrong = _wrong(row, fields) or _wrong_inside(row)
        key = (row.get("set", ""), row.get("strategy", ""), row.get("id", ""))
        if not wrong and key in found:
            wrong = f"question {key[2]!r} of {key[1]!r} stands here for the second time"
        if wrong:
            raise UsageError(f"{path}:{line}: {wrong}", hint=_HINT)
        found[key] = row
    return found


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    problems: list[Problem] = []
    for row in scan_jsonl(path, problems) if path.is_file() else ():
        if problems:
            break
        yield row.line, _finite(row.fields)
    if problems:
        raise UsageError(str(problems[0]), hint=_HINT)


def _json(path: Path) -> Any:
    try:
        return _finite(json.loads(path.read_bytes()))
    except json.JSONDecodeError as error:
        raise UsageError(f"{path}:{error.lineno}: not JSON: {error.msg}", hint=_HINT) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}:1: not JSON: {error}", hint=_HINT) from error


def _wrong(row: Any, fields: Mapping[str, Any]) -> str:
    """What is wrong with an object, in words; empty where nothing is."""
    if not isinstance(row, dict):
        return "not a JSON object"
    for name, kind in fields.items():
        if name not in row and type(None) not in (kind if isinstance(kind, tuple) else (kind,)):
            return f"no {name!r}"
        if not isinstance(row.get(name), kind):
            return f"{name!r} is {row.get(name)!r:.60}"
    return ""


def _wrong_inside(row: dict[str, Any]) -> str:
    for name, fields in _INNER.items():
        for number, item in enumerate(row.get(name, ()), start=1):
            wrong = _wrong(item, fields)
            if wrong:
                return f"{name} {number}: {wrong}"
    for name, value in row.get("metrics", {}).items():
        if not isinstance(value, _OPTIONAL):
            return f"metric {name!r} is {value!r:.60}"
    return ""


def _wrong_intervals(row: dict[str, Any]) -> str:
    for name, ends in (row.get("ci95") or {}).items():
        if not (isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, _NUMBER) for end in ends)):
            return f"interval of {name!r} is {ends!r:.60}"
    for name, item in (row.get("versus_baseline") or {}).items():
        wrong = _wrong(item, dict.fromkeys(("mean", "low", "high"), _NUMBER))
        if wrong:
            return f"difference of {name!r}: {wrong}"
    return ""


def _finite(value: Any) -> Any:
    """NaN and infinities, which Python's reader takes and a browser's does not, become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
