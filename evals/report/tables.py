"""The tables of the page as plain values, so that the template only lays them out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..records import METRICS, Difference
from .changes import Changed
from .loaded_run import Run

__all__ = ("Cell", "Row", "Table", "changes_table", "cost_table", "quality_table", "undefined_metrics")

_COSTS = {
    "n": "questions",
    "failed": "failed",
    "abstained": "abstained",
    "abstained_answerable": "abstained, answerable",
    "answered_unanswerable": "answered, unanswerable",
    "calls": "calls",
    "tokens_in": "tokens in",
    "tokens_out": "tokens out",
    # No-break spaces: a heading wraps between its words, not before its unit.
    "p50_s": "p50\u00a0s",
    "p95_s": "p95\u00a0s",
    "first_token_p50_s": "first\u00a0token p50\u00a0s",
}


@dataclass(frozen=True)
class Cell:
    """A number with its interval, and its difference to something else."""

    text: str
    value: float | None
    interval: str = ""
    difference: str = ""
    difference_interval: str = ""
    verdict: str = ""
    """"better" or "worse" where the interval of the difference excludes 0."""


@dataclass(frozen=True)
class Row:
    """A strategy, and its cells in the order of the columns."""

    name: str
    cells: list[Cell]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Columns and rows."""

    columns: list[str]
    rows: list[Row]


def undefined_metrics(run: Run, set_name: str) -> list[str]:
    """Metrics without a value for any strategy of the set: they get no column."""
    rows = _rows(run, set_name)
    return [name for name in METRICS if all(row.get(name) is None for row in rows)]


def quality_table(run: Run, set_name: str) -> Table:
    """Every metric with its interval and its difference to the baseline."""
    rows, absent = _rows(run, set_name), undefined_metrics(run, set_name)
    metrics = [name for name in METRICS if name not in absent]
    baseline = run.baseline(set_name)
    return Table(
        [_spoken(name) for name in metrics],
        [
            Row(
                str(row["strategy"]),
                [_quality(row, name) for name in metrics],
                "baseline" if row["strategy"] == baseline else "",
            )
            for row in rows
        ],
    )


def cost_table(run: Run, set_name: str) -> Table:
    """What the strategies cost, and how often they did not answer."""
    rows = _rows(run, set_name)
    names = [name for name in _COSTS if any(row.get(name) is not None for row in rows)]
    return Table(
        [_COSTS[name] for name in names],
        [Row(str(row["strategy"]), [_plain(name, row.get(name)) for name in names]) for row in rows],
    )


def changes_table(rows: Sequence[Changed]) -> Table:
    """Differences to a previous run."""
    metrics = [name for name in METRICS if any(name in row.differences for row in rows)]
    return Table(
        ["questions", *map(_spoken, metrics), "tokens", "p50\u00a0s"],
        [
            Row(
                row.strategy,
                [
                    Cell(str(row.questions), row.questions),
                    *(_change(row.differences.get(name)) for name in metrics),
                    Cell(f"{row.tokens[0]:,.0f} → {row.tokens[1]:,.0f}", row.tokens[1] - row.tokens[0]),
                    _seconds_change(*row.seconds),
                ],
                row.set,
            )
            for row in rows
        ],
    )


def _rows(run: Run, set_name: str) -> list[Mapping[str, Any]]:
    return [row for row in run.summaries if row["set"] == set_name]


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _quality(row: Mapping[str, Any], name: str) -> Cell:
    value, interval = row.get(name), (row.get("ci95") or {}).get(name)
    if value is None:
        return Cell("–", None)
    against = _change((row.get("versus_baseline") or {}).get(name))
    between = f"{interval[0]:.3f} to {interval[1]:.3f}" if interval else ""
    difference = against.text if against.interval else ""
    return Cell(f"{value:.3f}", value, between, difference, against.interval, against.verdict)


def _change(difference: Difference | None) -> Cell:
    if difference is None:
        return Cell("–", None)
    mean, low, high = difference["mean"], difference["low"], difference["high"]
    # An interval without width comes from one question, or from equal ones: a bootstrap knows nothing beyond them.
    wide = low < high
    verdict = "better" if low > 0 and wide else "worse" if high < 0 and wide else ""
    return Cell(_signed(mean), mean, f"{_signed(low)} to {_signed(high)}", verdict=verdict)


def _signed(value: float) -> str:
    # A minus sign: a hyphen is narrower than the digits, and columns would not line up. No "-0.000" either.
    return f"{round(value, 3) or 0.0:+.3f}".replace("-", "−")


def _plain(name: str, value: float | None) -> Cell:
    if value is None:
        return Cell("–", None)
    if name in ("abstained", "abstained_answerable", "answered_unanswerable"):
        return Cell(f"{value:.1%}", value)
    if name.endswith("_s") or name == "calls":
        return Cell(f"{value:.2f}", value)
    return Cell(f"{value:,.0f}", value)


def _seconds_change(before: float | None, after: float | None) -> Cell:
    if before is None or after is None:
        return Cell("–", None)
    return Cell(f"{before:.2f} → {after:.2f}", after - before)
