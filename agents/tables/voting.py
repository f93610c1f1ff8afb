"""Mix-Self-Consistency's vote: answers are the same where they denote the same; what failed has no vote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from langchain_core.documents import Document

from .denotation import denotation

__all__ = ("Ballot", "Candidate", "Path", "counted")

Path = Literal["direct", "sql"]
"""How an answer was found: by reading the table, or by a statement."""


class Ballot(TypedDict):
    """One sample's answer."""

    path: Path
    values: list[str]
    """Empty where there is no answer: it votes for nobody."""
    document: Document
    """What was read: rows of the table, or the rows that a statement gave."""
    trouble: str
    """Why there is no answer."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer, and the ballots that are for it, in the order in which they were cast."""

    ballots: tuple[Ballot, ...]

    @property
    def paths(self) -> frozenset[Path]:
        """The paths that lead to it."""
        return frozenset(ballot["path"] for ballot in self.ballots)


def counted(ballots: Sequence[Ballot]) -> list[Candidate]:
    """Candidates by votes; of those with as many, what both paths lead to comes first, then what was said first.

    Numbers are compared without their units, currency signs and thousands separators, dates as days, lists as sets.
    """
    by_key: dict[frozenset[str], list[Ballot]] = {}
    for ballot in ballots:
        if key := frozenset(value.key for value in denotation(ballot["values"], units=True)):
            by_key.setdefault(key, []).append(ballot)
    candidates = [Candidate(tuple(own)) for own in by_key.values()]
    return sorted(candidates, key=lambda each: (-len(each.ballots), -len(each.paths)))  # stable: else the first said
