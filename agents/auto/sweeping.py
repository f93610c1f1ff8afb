"""What policies would have given and taken over measured questions: one point for each choice of thresholds."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

import numpy as np

from ...errors import UsageError
from .rows import Figures, Row, Unit
from .weakness import Rule

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("Point", "Table", "point_of", "sweep")

MOST_POINTS = 10_000
"""Choices of thresholds that are tried; with several, each has fewer levels."""
NEVER = math.inf


@dataclass(frozen=True)
class Point:
    """Means over the questions."""

    cost: float
    """In the unit that was asked for."""
    quality: float
    share: float
    """Of the questions, those that an expensive strategy was run for."""
    rules: tuple[Rule, ...] = ()


class Table:
    """Rows as arrays of one value a question. `UsageError` for rows that do not belong together, or are none."""

    def __init__(self, rows: Sequence[Row], unit: Unit) -> None:
        if not rows:
            raise UsageError("there are no rows", hint="give one for each measured question")
        if unit not in get_args(Unit):
            raise UsageError(f"unknown unit {unit!r}", hint=f"use {', '.join(get_args(Unit))}")
        self.names, self.signals = tuple(rows[0].expensive), tuple(rows[0].signals)
        for at, row in enumerate(rows):
            if set(row.expensive) != set(self.names) or set(row.signals) != set(self.signals):
                hint = "measure every strategy and every signal for every question"
                raise UsageError(f"row {at} has other strategies or signals than the first one", hint=hint)

        def column(figures: Sequence[Figures], name: str) -> NDArray[np.float64]:
            values = np.array([getattr(each, name) for each in figures], dtype=np.float64)
            if not np.isfinite(values).all():
                raise UsageError(f"{name} of a row is no finite number", hint="leave out what was not measured")
            return values

        # Unknown is nan: it reaches no threshold.
        self.scores = {
            name: np.array([_score(row.signals[name]) for row in rows], dtype=np.float64) for name in self.signals
        }
        cheap = [row.cheap for row in rows]
        self.cheap_quality, self.cheap_cost = column(cheap, "quality"), column(cheap, unit)
        self.quality: dict[str, NDArray[np.float64]] = {}
        self.cost: dict[str, NDArray[np.float64]] = {}
        self.quality_after: dict[str, NDArray[np.float64]] = {}
        """Of the answer that stays where the strategy ran after the cheap one."""
        for name in self.names:
            figures = [row.expensive[name] for row in rows]
            self.quality[name], self.cost[name] = column(figures, "quality"), column(figures, unit)
            stands = np.array([each.stands for each in figures])
            self.quality_after[name] = np.where(stands, self.quality[name], self.cheap_quality)

    def check(self, rules: Sequence[Rule]) -> None:
        """Raises `UsageError` for a rule over what was not measured."""
        for rule in rules:
            if rule.to not in self.names:
                raise UsageError(f"{rule.to!r} was not measured", hint=f"rows have {', '.join(self.names)}")
            if missing := [name for name in rule.when if name not in self.signals]:
                raise UsageError(f"{missing[0]!r} was not measured", hint=f"rows have {', '.join(self.signals)}")

    def point(self, rules: Sequence[Rule]) -> Point:
        """Of a policy."""
        free = np.ones(len(self.cheap_cost), dtype=bool)
        quality, cost = self.cheap_quality.copy(), self.cheap_cost.copy()
        for rule in rules:
            goes = free.copy()
            for name, threshold in rule.when.items():
                goes &= self.scores[name] >= threshold
            quality[goes] = self.quality_after[rule.to][goes]
            cost[goes] += self.cost[rule.to][goes]
            free &= ~goes
        return Point(float(cost.mean()), float(quality.mean()), float(1.0 - free.mean()), tuple(rules))


def point_of(rows: Sequence[Row], rules: Sequence[Rule], *, unit: Unit = "calls") -> Point:
    """What a policy would have given and taken: fit on some questions, and ask this of others."""
    table = Table(rows, unit)
    table.check(rules)
    return table.point(rules)


def sweep(table: Table, rules: Sequence[Rule]) -> Iterator[Point]:
    """A point for each choice of thresholds; those that the rules have do not count. A rule that no question is to
    reach is left out of the point's.
    """
    table.check(rules)
    axes = [(at, name) for at, rule in enumerate(rules) for name in rule.when]
    levels = max(2, int(MOST_POINTS ** (1 / max(1, len(axes))) + 1e-9))
    ladders = [_thresholds(table.scores[name], levels) for _, name in axes]
    for chosen in itertools.product(*ladders):
        whens: list[dict[str, float]] = [{} for _ in rules]
        for (at, name), threshold in zip(axes, chosen, strict=True):
            whens[at][name] = threshold
        yield table.point(
            [Rule(rule.to, when) for rule, when in zip(rules, whens, strict=True) if NEVER not in when.values()]
        )


def _thresholds(scores: NDArray[np.float64], most: int) -> list[float]:
    """Never, then the scores that there are, from the highest down to the lowest, which is always; evenly chosen where
    they are more than `most`.
    """
    known = np.unique(scores[~np.isnan(scores)])[::-1]
    if len(known) > most - 1:
        known = known[np.linspace(len(known) - 1, 0, most - 1).round().astype(int)[::-1]]
    return [NEVER, *known.tolist()]


def _score(value: float | None) -> float:
    return math.nan if value is None or not math.isfinite(value) else value
