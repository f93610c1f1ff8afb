"""What was measured of each strategy, question by question, in docs/results/strategies_rows.jsonl.

A line is one trial (a part of the benchmark, a model, a strategy) on one set, its columns in the order of its ids. The
file is in the repository: a benchmark of many hours goes on where it was on any machine, and anyone can compare two
strategies question by question.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from common import RESULTS

ROWS = RESULTS / "strategies_rows.jsonl"
METRICS = ("f1", "em", "contains", "citation_precision", "citation_recall", "support", "abstain_accuracy")
COLUMNS = (
    *("answerable", "abstained", "failed", "retrieved", "gold_retrieved", "repeated_false", *METRICS),
    *("calls", "tokens_in", "tokens_out", "seconds"),
)

Line = dict[str, Any]


def load() -> list[Line]:
    """All lines; none where nothing was measured yet."""
    return [json.loads(line) for line in ROWS.read_text(encoding="utf-8").splitlines()] if ROWS.exists() else []


def replace(lines: Sequence[Line], made: Sequence[Line]) -> list[Line]:
    """`lines` with those of the trials of `made` put in their place, and written."""
    trials = {_trial(line) for line in made}
    kept = [line for line in lines if _trial(line) not in trials] + list(made)
    kept.sort(key=lambda line: (*_trial(line), line["set"]))
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in kept)
    ROWS.write_text(text, encoding="utf-8")
    return kept


def of(lines: Iterable[Line], part: str, llm: str) -> dict[str, list[Line]]:
    """System to its lines."""
    found: dict[str, list[Line]] = {}
    for line in lines:
        if (line["part"], line["llm"]) == (part, llm):
            found.setdefault(line["system"], []).append(line)
    return found


def columns(records: Sequence[Any], timings: Sequence[Any]) -> dict[str, list[Any]]:
    """Records of one strategy on one set as columns."""
    return {
        "ids": [record["id"] for record in records],
        **{
            name: [_value(name, record, timing) for record, timing in zip(records, timings, strict=True)]
            for name in COLUMNS
        },
    }


def _trial(line: Line) -> tuple[str, str, str]:
    return line["part"], line["llm"], line["system"]


def _value(name: str, record: Any, timing: Any) -> Any:
    if name == "seconds":
        return round(timing["seconds"], 2)
    if name in ("answerable", "abstained"):
        return int(record[name])
    if name == "failed":
        return int(record["failed"] is not None)
    if name == "retrieved":  # whether it searched at all
        return int(any(step["node"] == "retrieve" for step in record["steps"]))
    if name == "repeated_false":
        return _repeated(record)
    if name in ("calls", "tokens_in", "tokens_out"):
        return record[name]
    value = record["metrics"][name]
    return None if value is None else round(value, 3)


def _repeated(record: Any) -> int | None:
    """Whether it says what a false passage claims; None where none does."""
    from ragloom.evals.text_metrics import contains

    false = record.get("false_answer")
    return int(not record["abstained"] and bool(contains(record["answer"], [false]))) if false else None
