"""What the top of the page says: what was run, and what to keep in mind while reading it."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..statistics import small_sample_note
from .loaded_run import Run

__all__ = ("facts_of", "settings_of", "warnings_of")

_LABELS = {"llm": "model", "n": "questions", "limit": "questions per set at most", "started": "date", "created": "date"}
_HEAD = (
    *("llm", "retrieval", "kb", "critic", "stress", "n", "limit", "part", "seed"),
    *("date", "started", "created", "versions", "command"),
)
"""Keys of run.json that are shown at the top, in this order; all of them may be missing."""


def facts_of(run: Run) -> list[tuple[str, str]]:
    """Name and value of what was run."""
    facts = [("sets", ", ".join(run.sets)), ("strategies", ", ".join(run.strategies))]
    if not run.info.get("llm"):
        models = dict.fromkeys(str(row["llm"]) for row in run.summaries if row.get("llm"))
        facts += [("model", ", ".join(models))] if models else []
    facts += [(_LABELS.get(key, key), _as_text(key, run.info[key])) for key in _HEAD if run.info.get(key) is not None]
    return facts


def settings_of(run: Run) -> str:
    """run.json as indented text; empty where there is none."""
    return json.dumps(run.info, indent=2, ensure_ascii=False) if run.info else ""


def warnings_of(run: Run) -> list[str]:
    """What a reader must know before believing the numbers."""
    return [*_partial(run), *_few(run), *_failures(run), *_cached(run), *_problems(run)]


def _as_text(key: str, value: Any) -> str:
    if key == "command" and isinstance(value, list):
        return shlex.join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items() if item not in (None, ""))
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _partial(run: Run) -> Iterator[str]:
    """Fewer records than expected: by run.json, by the summary, or by what another strategy has of the same set."""
    if not run.info:
        yield "There is no run.json: how this run was made is not known."
    if not run.timings:
        yield "There are no timings of single questions."
    asked = {item["name"]: item.get("n") for item in _entries(run) if "name" in item}
    summed = {(row["set"], row["strategy"]): row["n"] for row in run.summaries}
    for names in dict.fromkeys([*summed, *run.grouped]):
        count = len(run.grouped.get(names, ()))
        most = max(len(records) for other, records in [*run.grouped.items(), (names, [])] if other[0] == names[0])
        expected = max(item for item in (summed.get(names), asked.get(names[0]), most) if isinstance(item, int))
        if count < expected:
            yield f"Partial: {names[0]} / {names[1]} has {count} of {expected} answers. This run did not finish."
        if names not in summed:
            yield f"{names[0]} / {names[1]} has answers, but no row in summary.json: it is missing from the tables."


def _few(run: Run) -> Iterator[str]:
    fewest: dict[str, int] = {}
    for row in run.summaries:
        fewest[row["set"]] = min(row["n"], fewest.get(row["set"], row["n"]))
    for name, count in fewest.items():
        note = small_sample_note(count)
        if note:
            yield f"{name}: {note}."


def _failures(run: Run) -> Iterator[str]:
    for set_name in run.sets:
        groups = {names[1]: records for names, records in run.grouped.items() if names[0] == set_name}
        reasons = Counter(record["failed"] for records in groups.values() for record in records if record["failed"])
        counts = {name: sum(bool(record["failed"]) for record in records) for name, records in groups.items()}
        shares = [f"{name} {count} of {len(groups[name])}" for name, count in counts.items() if count]
        if shares:
            often = reasons.most_common(1)[0][0]
            yield f"{set_name}: answers failed and count as 0: {', '.join(shares)}. Most frequent reason: {often}"


def _cached(run: Run) -> Iterator[str]:
    cached = sum(bool(timing.get("cached")) for timing in run.timings.values())
    if cached:
        share = f"{cached} of {len(run.timings)}"
        yield f"{share} answers came from the cache; their times are those of the first time, on the machine of then."


def _problems(run: Run) -> Iterator[str]:
    """Problems of the sets: `problems` of run.json (a list, or a list per set), or of an entry of its `sets`."""
    yield from _listed("", run.info.get("problems"))
    for item in _entries(run):
        yield from _listed(str(item.get("name", "")), item.get("problems"))


def _entries(run: Run) -> list[dict[str, Any]]:
    """The objects in `sets` of run.json, where it has such."""
    sets = run.info.get("sets")
    return [item for item in sets if isinstance(item, dict)] if isinstance(sets, list) else []


def _listed(name: str, problems: Any) -> Iterator[str]:
    if isinstance(problems, dict):
        for key, value in problems.items():
            yield from _listed(str(key), value)
    elif isinstance(problems, list) and problems:
        more = f" (and {len(problems) - 1} more, see all settings)" if len(problems) > 1 else ""
        yield f"{name or 'Sets'}: problem while reading: {problems[0]}{more}"
    elif isinstance(problems, (str, int)) and problems:
        yield f"{name or 'Sets'}: problems while reading: {problems}"
