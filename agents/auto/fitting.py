"""Thresholds that fit measured questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ...errors import UsageError
from .curve import cost_curve
from .rows import Row, Unit
from .weakness import Rule

__all__ = ("Fitted", "fit_thresholds")

ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Fitted rules, and what they gave and took on the questions that they were fitted on."""

    rules: tuple[Rule, ...]
    """Without those that no threshold made worth their cost; empty: the cheap strategy alone."""
    questions: int
    unit: Unit
    cost: float
    quality: float
    share: float
    """Of the questions, those that an expensive strategy was run for."""
    format: Literal[1] = 1
    """Of the file."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}


def fit_thresholds(
    rows: Sequence[Row],
    rules: Sequence[Rule],
    *,
    max_cost: float | None = None,
    harm: float | None = None,
    unit: Unit = "calls",
) -> Fitted:
    """The thresholds that do best on these questions, of all that `cost_curve` tries.

    They flatter themselves on the questions that they were fitted on: report `point_of(other_rows, fitted.rules)`.

    Args:
        rows: measured questions; a few hundred.
        rules: which signals lead where, in order; their thresholds do not count.
        max_cost: mean cost of a question, in `unit`: the best quality within it, and of that the cheapest.
        harm: the cheapest whose mean quality is at most this much below that of the best fixed strategy. Give one of
            the two.
        unit: `calls`, `tokens` or `seconds`.

    Raises `UsageError` where no thresholds do as is asked.

    Example:
        >>> fitted = fit_thresholds(rows, [Rule("multi-hop", {"abstained": 1})], max_cost=2.0)  # doctest: +SKIP
        >>> save_policy(fitted, "policy.json")  # doctest: +SKIP
    """
    if (max_cost is None) == (harm is None):
        raise UsageError("give either max_cost or harm", hint="max_cost=2.0, or harm=0.01")
    curve = cost_curve(rows, rules, unit=unit)
    if max_cost is not None:
        fitting = [point for point in curve.points if point.cost <= max_cost + ROUNDING]
        if not fitting:
            hint = f"the cheap strategy alone costs {curve.cheap.cost:g} {unit} a question"
            raise UsageError(f"nothing costs {max_cost:g} {unit} or less", hint=hint)
        best = max(fitting, key=lambda point: (point.quality, -point.cost))
    else:
        assert harm is not None
        wanted = max(point.quality for point in (curve.cheap, *curve.always.values()))
        fitting = [point for point in curve.points if point.quality >= wanted - harm - ROUNDING]
        if not fitting:
            least = wanted - max(point.quality for point in curve.points)
            raise UsageError(f"no thresholds lose {harm:g} or less", hint=f"the best ones lose {least:.4f}")
        best = min(fitting, key=lambda point: (point.cost, -point.quality))
    return Fitted(
        rules=best.rules, questions=len(rows), unit=unit, cost=best.cost, quality=best.quality, share=best.share
    )
