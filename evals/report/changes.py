"""What changed against a previous run: paired differences per metric, and the questions that turned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..records import METRICS, Difference, Record
from ..statistics import paired_difference
from .loaded_run import Key, Run
from .outcomes import Outcome, is_right, outcome_of

__all__ = ("Changed", "Changes", "Turned", "compare_runs")

_ALWAYS_DIFFERENT = {"date", "started", "created", "finished", "seconds", "command", "problems"}
"""Keys of run.json that say nothing about what was measured."""


@dataclass(frozen=True)
class Changed:
    """One strategy on one set: this run minus the previous one, over the questions that both have."""

    set: str
    strategy: str
    questions: int
    differences: dict[str, Difference]
    seconds: tuple[float | None, float | None]
    """p50 before and after; latency is compared in words only, because machines differ."""
    tokens: tuple[float, float]
    """Tokens per question, before and after."""


@dataclass(frozen=True)
class Turned:
    """A question that was right and is wrong now, or the other way round."""

    key: Key
    question: str
    before: Outcome
    after: Outcome
    answer_before: str
    better: bool


@dataclass(frozen=True)
class Changes:
    """Everything that the report says about two runs."""

    folder: str
    rows: list[Changed]
    turned: list[Turned]
    settings: list[tuple[str, str, str]]
    """Settings that differ: name, before, after."""
    notes: list[str]


def compare_runs(run: Run, previous: Run, *, seed: int = 0) -> Changes:
    """Compares by set, strategy and question id. A question whose text changed is another question: left out."""
    pairs: dict[tuple[str, str], list[tuple[Record, Record]]] = {}
    reworded = 0
    for key, record in run.records.items():
        before = previous.records.get(key)
        if before is None:
            continue
        if (before["question"], before["answers"]) == (record["question"], record["answers"]):
            pairs.setdefault(key[:2], []).append((before, record))
        else:
            reworded += 1
    rows = [_changed(run, previous, names, both, seed) for names, both in pairs.items()]
    turned = [item for both in pairs.values() for item in map(_turned, both) if item]
    return Changes(str(previous.folder), rows, turned, _settings(run, previous), _notes(run, previous, reworded))


def _changed(run: Run, previous: Run, names: tuple[str, str], pairs: list[tuple[Record, Record]], seed: int) -> Changed:
    differences: dict[str, Difference] = {}
    for metric in METRICS:
        then = {before["id"]: before["metrics"].get(metric) for before, _ in pairs}
        now = {after["id"]: after["metrics"].get(metric) for _, after in pairs}
        difference = paired_difference(now, then, seed=seed)
        if difference["n"]:
            differences[metric] = difference
    return Changed(
        *names,
        questions=len(pairs),
        differences=differences,
        seconds=(_median_seconds(previous, names), _median_seconds(run, names)),
        tokens=(_mean_tokens([before for before, _ in pairs]), _mean_tokens([after for _, after in pairs])),
    )


def _mean_tokens(records: list[Record]) -> float:
    return sum(record["tokens_in"] + record["tokens_out"] for record in records) / len(records)


def _median_seconds(run: Run, names: tuple[str, str]) -> float | None:
    rows = (row for row in run.summaries if (row["set"], row["strategy"]) == names)
    return next((row.get("p50_s") for row in rows), None)


def _turned(pair: tuple[Record, Record]) -> Turned | None:
    before, after = pair
    was, now = is_right(before), is_right(after)
    if was is None or now is None or was == now:
        return None
    key = (after["set"], after["strategy"], after["id"])
    said = before["failed"] or before["answer"]
    return Turned(key, after["question"], outcome_of(before), outcome_of(after), said, now)


def _settings(run: Run, previous: Run) -> list[tuple[str, str, str]]:
    after, before = _flat(run.info), _flat(previous.info)
    names = [name for name in {**after, **before} if name.split(".")[0] not in _ALWAYS_DIFFERENT]
    return [
        (name, before.get(name, "not set"), after.get(name, "not set"))
        for name in names
        if before.get(name) != after.get(name)
    ]


def _flat(value: Any, name: str = "") -> dict[str, str]:
    if isinstance(value, dict):
        parts = (_flat(item, f"{name}.{key}" if name else key) for key, item in value.items())
        return {key: text for part in parts for key, text in part.items()}
    if isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value):
        return _flat({item["name"]: {key: part for key, part in item.items() if key != "name"} for item in value}, name)
    return {name: ", ".join(map(str, value)) if isinstance(value, list) else str(value)}


def _notes(run: Run, previous: Run, reworded: int) -> list[str]:
    only_now = [" / ".join(names) for names in run.grouped if names not in previous.grouped]
    only_then = [" / ".join(names) for names in previous.grouped if names not in run.grouped]
    both = {names for names in run.grouped if names in previous.grouped}
    unmatched = sum((key not in previous.records) and key[:2] in both for key in run.records)
    gone = sum((key not in run.records) and key[:2] in both for key in previous.records)
    notes = [f"Only in this run: {', '.join(only_now)}."] if only_now else []
    notes += [f"Only in the previous run: {', '.join(only_then)}."] if only_then else []
    notes += [f"Answers without a counterpart in the previous run: {unmatched}."] if unmatched else []
    notes += [f"Answers of the previous run without a counterpart now: {gone}."] if gone else []
    notes += [f"Answers left out, same id but another question or other right answers: {reworded}."] if reworded else []
    return notes
