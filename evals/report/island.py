"""The data that the page's scripts work on, as a JSON island. A passage is stored once, however often it was read."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from ..records import METRICS, Record
from .changes import Changes
from .curves import gold_curve, gold_keys
from .loaded_run import Run
from .outcomes import OUTCOMES, count_outcomes, is_right, outcome_of
from .tables import undefined_metrics

__all__ = ("page_data", "to_island")

_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def to_island(data: Any) -> Markup:
    """JSON that stands inside a script element: no text in it can close the element or open a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup("".join(_ESCAPES.get(char, char) for char in text))


def page_data(run: Run, changes: Changes | None, *, seed: int = 0) -> dict[str, Any]:
    """Everything that charts and drill-down show; assets/*.js read it."""
    passages = _Passages()
    return {
        "strategies": run.strategies,
        "metrics": METRICS,
        "outcomes": OUTCOMES,
        "sets": [_set_data(run, name, seed) for name in run.sets],
        "questions": _questions(run, changes, passages),
        "passages": passages.rows,
        "compared": changes is not None,
    }


def _set_data(run: Run, name: str, seed: int) -> dict[str, Any]:
    absent = undefined_metrics(run, name)
    groups = {strategy: run.grouped.get((name, strategy), []) for strategy in run.strategies}
    curves = {strategy: gold_curve(records, seed=seed) for strategy, records in groups.items()}
    return {
        "name": name,
        "baseline": run.baseline(name),
        "metrics": [metric for metric in METRICS if metric not in absent],
        "rows": [row for row in run.summaries if row["set"] == name],
        "outcomes": {strategy: count_outcomes(records) for strategy, records in groups.items() if records},
        "curves": {strategy: points for strategy, points in curves.items() if points},
        "gold": max(
            (sum(record["answerable"] and bool(record["gold"]) for record in records) for records in groups.values()),
            default=0,
        ),
    }


def _questions(run: Run, changes: Changes | None, passages: _Passages) -> list[dict[str, Any]]:
    turned = {item.key: item for item in changes.turned} if changes else {}
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for key, record in run.records.items():
        question = found.setdefault((record["set"], record["id"]), _question(record))
        entry = _answer(run, record, passages)
        if key in turned:
            item = turned[key]
            entry["before"] = {"outcome": item.before, "answer": item.answer_before, "better": item.better}
        question["runs"][run.strategies.index(record["strategy"])] = entry
    return list(found.values())


def _question(record: Record) -> dict[str, Any]:
    return {
        "set": record["set"],
        "id": record["id"],
        "question": record["question"],
        "answers": record["answers"],
        "gold": record["gold"],
        "answerable": record["answerable"],
        "runs": {},
    }


def _answer(run: Run, record: Record, passages: _Passages) -> dict[str, Any]:
    timing = run.timings.get((record["set"], record["strategy"], record["id"]))
    return {
        "answer": record["answer"],
        "failed": record["failed"],
        "outcome": outcome_of(record),
        "versus": _versus(run, record),
        "citations": [
            {name: item.get(name) for name in ("sentence", "id", "quote", "score")} for item in record["citations"]
        ],
        "documents": [
            [passages.add(item), item.get("score"), bool(gold_keys(item, record["gold"]))]
            for item in record["documents"]
        ],
        "missed": sorted(set(record["gold"]).difference(*(gold_keys(d, record["gold"]) for d in record["documents"]))),
        "steps": record["steps"],
        "calls": record["calls"],
        "tokens": [record["tokens_in"], record["tokens_out"]],
        "metrics": [_rounded(record["metrics"].get(name)) for name in METRICS],
        "seconds": timing and timing["seconds"],
        "first": timing and timing.get("first_token_s"),
        "cached": bool(timing and timing.get("cached")),
        "ms": timing["step_ms"] if timing else [],
    }


def _versus(run: Run, record: Record) -> str:
    """ "won" or "lost" where exactly one of this strategy and the baseline was right."""
    baseline = run.records.get((record["set"], run.baseline(record["set"]) or "", record["id"]))
    if baseline is None or baseline is record:
        return ""
    mine, theirs = is_right(record), is_right(baseline)
    return "" if mine is None or theirs is None or mine == theirs else "won" if mine else "lost"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


class _Passages:
    """Numbers passages by their content."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, ...], int] = {}

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The passages by number."""
        names = ("id", "source", "page", "title", "text")
        return [dict(zip(names, content, strict=True)) for content in self._numbers]

    def add(self, document: Any) -> int:
        """The number of a passage."""
        content = tuple(document.get(name) for name in ("id", "source", "page", "title", "text"))
        return self._numbers.setdefault(content, len(self._numbers))
