"""The curve of quality over cost, and what stands beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...errors import UsageError
from .rows import Row, Unit
from .sweeping import Point, Table, sweep
from .weakness import Rule

__all__ = ("Curve", "cost_curve")


@dataclass(frozen=True)
class Curve:
    """Points of one set of questions."""

    unit: Unit
    points: tuple[Point, ...]
    """One for each choice of thresholds, by cost."""
    cheap: Point
    """The cheap strategy alone."""
    always: Mapping[str, Point]
    """Each expensive strategy alone, without the cheap one before it: what a fixed choice costs."""
    oracle: Point
    """For each question the cheapest of the strategies that do best: what a router that knows all would reach."""

    def best(self) -> tuple[Point, ...]:
        """The points that no other one beats: more quality with more cost."""
        kept: list[Point] = []
        for point in sorted(self.points, key=lambda each: (each.cost, -each.quality)):
            if not kept or point.quality > kept[-1].quality:
                kept.append(point)
        return tuple(kept)

    def random_mix(self, to: str, cost: float) -> float:
        """The quality of dice that choose between the cheap strategy and `to` so that they cost as much: on the line
        between the two. A cost beyond an end has that end's quality.
        """
        if to not in self.always:
            raise UsageError(f"{to!r} was not measured", hint=f"use {', '.join(self.always)}")
        low, high = self.cheap, self.always[to]
        if low.cost == high.cost:
            return max(low.quality, high.quality)
        share = min(1.0, max(0.0, (cost - low.cost) / (high.cost - low.cost)))
        return low.quality + share * (high.quality - low.quality)


def cost_curve(rows: Sequence[Row], rules: Sequence[Rule], *, unit: Unit = "calls") -> Curve:
    """Quality over cost for every choice of the rules' thresholds, beside the baselines.

    From never going on to always: where a score is unknown, a question goes on at no threshold. Cost is the cheap
    strategy's and the chosen one's together; quality is that of the answer that stays. With several thresholds up to
    10,000 combinations are tried, each threshold at as many levels as that allows. `UsageError` for rows that do not
    belong together, or a rule over what they do not have.

    Args:
        rows: at least one.
        rules: which signals lead where, in order; their thresholds do not count.
        unit: what cost is counted in: `calls`, `tokens` or `seconds`.

    Example:
        >>> from ragloom.agents.auto import Figures, Row
        >>> def row(score, cheap, dear):
        ...     return Row({"abstained": score}, Figures(cheap, 1, 0, 0), {"multi-hop": Figures(dear, 4, 0, 0)})
        >>> curve = cost_curve([row(1.0, 0.0, 1.0), row(0.0, 1.0, 0.0)], [Rule("multi-hop", {"abstained": 1})])
        >>> [(point.cost, point.quality) for point in curve.points]
        [(1.0, 0.5), (3.0, 1.0), (5.0, 0.5)]
        >>> curve.random_mix("multi-hop", 3.0), (curve.oracle.cost, curve.oracle.quality)
        (0.5, (2.5, 1.0))
    """
    table = Table(rows, unit)
    return Curve(
        unit=unit,
        points=tuple(sorted(sweep(table, rules), key=lambda point: (point.cost, point.quality))),
        cheap=table.point([]),
        always={
            name: Point(float(table.cost[name].mean()), float(table.quality[name].mean()), 1.0) for name in table.names
        },
        oracle=_oracle(table),
    )


def _oracle(table: Table) -> Point:
    quality = np.stack([table.cheap_quality, *(table.quality[name] for name in table.names)])
    cost = np.stack([table.cheap_cost, *(table.cost[name] for name in table.names)])
    cost = np.where(quality == quality.max(axis=0), cost, np.inf)
    chosen = cost.argmin(axis=0)  # of equally good and cheap ones the cheap strategy
    return Point(float(cost.min(axis=0).mean()), float(quality.max(axis=0).mean()), float((chosen > 0).mean()))
