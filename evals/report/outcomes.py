"""What became of a question: the five outcomes, and when a record counts as right.

right        answered, and one of the right answers stands in the answer (`contains` is 1)
wrong        answered, and none does; or answered although the question cannot be
abstained    not answered on purpose
failed       no answer because of an error
unjudged     answered, but no right answer is known
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from ..records import Record

__all__ = ("OUTCOMES", "Outcome", "count_outcomes", "is_right", "outcome_of")

Outcome = Literal["right", "wrong", "abstained", "failed", "unjudged"]
OUTCOMES: tuple[Outcome, ...] = ("right", "wrong", "unjudged", "abstained", "failed")


def outcome_of(record: Record) -> Outcome:
    """The outcome of a record."""
    if record["failed"]:
        return "failed"
    if record["abstained"]:
        return "abstained"
    if not record["answerable"]:
        return "wrong"
    contains = record["metrics"].get("contains")
    if contains is None:
        return "unjudged"
    return "right" if contains == 1 else "wrong"


def is_right(record: Record) -> bool | None:
    """Whether the strategy did the right thing: answered rightly, or abstained where it should. None: not judged."""
    outcome = outcome_of(record)
    if outcome == "unjudged":
        return None
    return outcome == ("right" if record["answerable"] else "abstained")


def count_outcomes(records: Iterable[Record]) -> dict[str, dict[str, int]]:
    """{"answerable": {outcome: questions}, "unanswerable": {...}}."""
    groups: dict[str, Counter[str]] = {"answerable": Counter(), "unanswerable": Counter()}
    for record in records:
        groups["answerable" if record["answerable"] else "unanswerable"][outcome_of(record)] += 1
    return {name: dict(counts) for name, counts in groups.items()}
