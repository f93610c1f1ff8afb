"""What finds personal data: texts in, typed spans out. A trained model takes Presidio's place by this protocol."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ("Detector", "Span", "resolved")


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a text, in characters; the value itself is not in it, so that it may be logged."""

    type: str
    """Presidio's name where it has one: PERSON, EMAIL_ADDRESS, LOCATION ..."""
    start: int
    end: int
    score: float = 1.0
    """0 to 1. Comparable within one detector, not between two."""


class Detector(Protocol):
    """Finds personal data. May raise: the guard that runs the rail turns that into a verdict."""

    @property
    def name(self) -> str:
        """What is at work, as reports show it."""
        ...

    @property
    def types(self) -> Collection[str]:
        """What it can find."""
        ...

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in the order of the texts; they may overlap."""
        ...


def resolved(spans: Iterable[Span]) -> list[Span]:
    """Spans in their order, none overlapping: those that overlap become one that covers them all, of the type with the
    best score, then of the longest. Nothing that was found is left uncovered.

    >>> resolved([Span("LOCATION", 12, 18, 0.6), Span("STREET_ADDRESS", 0, 14, 0.7)])
    [Span(type='STREET_ADDRESS', start=0, end=18, score=0.7)]
    """
    groups: list[list[Span]] = []
    end = -1
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if span.start < end:
            groups[-1].append(span)
        else:
            groups.append([span])
        end = max(end, span.end)
    return [_one(group) for group in groups]


def _one(group: list[Span]) -> Span:
    best = max(group, key=lambda each: (each.score, each.end - each.start))
    return Span(best.type, min(each.start for each in group), max(each.end for each in group), best.score)
