"""Measured questions, of which policies are fitted and curves are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...types import Budget
from .choosing import stands
from .outcome import Outcome, outcome_of
from .signals import CheapRun, Signal
from .strategy import CHEAP
from .weakness import Weakness

__all__ = ("Figures", "Row", "Unit", "row_of")

Unit = Literal["calls", "tokens", "seconds"]
"""What cost is counted in."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one strategy, run alone, gave and took for one question."""

    quality: float
    """F1, exact match, a judge's verdict: higher is better, the same measure for all."""
    calls: float
    """Of a language model."""
    tokens: float
    """Of prompts and answers together."""
    seconds: float
    stands: bool = True
    """Of an expensive one: whether its answer takes the place of the cheap one (`choosing.stands`)."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question."""

    signals: Mapping[str, float | None]
    """Of the cheap path; None where a score is unknown."""
    cheap: Figures
    expensive: Mapping[str, Figures]


def row_of(
    question: str,
    cheap: Mapping[str, Any],
    expensive: Mapping[str, Mapping[str, Any]],
    *,
    quality: Callable[[Mapping[str, Any]], float],
    signals: Sequence[Signal],
    budget: Budget | None = None,
    support_margin: float = 0.0,
) -> Row:
    """The row of a question that every strategy was asked alone.

    Args:
        question: as it was asked.
        cheap: the result of the cheap strategy.
        expensive: results of the expensive ones, by name.
        quality: of a result.
        signals: that are measured.
        budget: of a run, for signals that ask what is left of it. Rounds of retrieval and the time beside the model are
            in no result: they do not count.
        support_margin: of `auto_rag`.

    Example:
        >>> row_of(question, naive, {"multi-hop": several}, quality=f1, signals=[Abstained()])  # doctest: +SKIP
    """
    first, budget = outcome_of(CHEAP, cheap), budget or Budget()
    spent = first["usage"]
    left = Budget(
        llm_calls=budget.llm_calls - spent["calls"],
        tokens=budget.tokens - spent["tokens_in"] - spent["tokens_out"],
        seconds=budget.seconds - spent["seconds"],
        hops=budget.hops,
    )
    measured = Weakness(signals, []).measure(CheapRun(question, first, budget, left))
    others = {name: outcome_of(name, result) for name, result in expensive.items()}
    return Row(
        signals={signal.name: measured.scores.get(signal.name) for signal in signals},
        cheap=_figures(cheap, first, quality),
        expensive={
            name: _figures(expensive[name], other, quality, stands=stands(first, other, margin=support_margin)[0])
            for name, other in others.items()
        },
    )


def _figures(
    result: Mapping[str, Any], outcome: Outcome, quality: Callable[[Mapping[str, Any]], float], *, stands: bool = True
) -> Figures:
    usage = outcome["usage"]
    tokens = usage["tokens_in"] + usage["tokens_out"]
    return Figures(float(quality(result)), usage["calls"], tokens, usage["seconds"], stands)
