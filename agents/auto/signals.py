"""Signals of weakness: numbers that say how little the cheap path's answer is to be trusted.

A signal is a named function of a `CheapRun`. It is higher where an expensive strategy is called for more; those that
ship lie between 0 and 1. None, no finite number, or an exception: it is unknown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from ...types import Budget
from .outcome import Outcome, sentence_supports, support_of

__all__ = ("Abstained", "BudgetLeft", "CheapRun", "Signal", "Uncited", "Unsupported")


@dataclass(frozen=True, slots=True)
class CheapRun:
    """What signals see: the question, what the cheap path gave, and what is left to spend."""

    question: str
    outcome: Outcome
    budget: Budget
    """Of the whole run."""
    left: Budget


@runtime_checkable
class Signal(Protocol):
    """Any callable with a name. It may block: it is called off the event loop."""

    @property
    def name(self) -> str:
        """What rules and steps call it."""

    def __call__(self, run: CheapRun) -> float | None:
        """The score; None where it cannot tell."""


@dataclass(frozen=True, slots=True)
class Abstained:
    """1 where the cheap path abstained or failed, else 0."""

    name: str = "abstained"

    def __call__(self, run: CheapRun) -> float:
        """The score."""
        return float(run.outcome["abstained"])


@dataclass(frozen=True, slots=True)
class Uncited:
    """The share of the sentences that the reader said which have no citation: those that were dropped because nothing
    supports them, and those of an answer that nobody checked. 0 where nothing was said.
    """

    name: str = "uncited"

    def __call__(self, run: CheapRun) -> float:
        """The score."""
        supports = [*sentence_supports(run.outcome), *(0.0 for _ in _dropped(run.outcome))]
        return supports.count(0.0) / len(supports) if supports else 0.0


@dataclass(frozen=True, slots=True)
class Unsupported:
    """1 minus the mean score of the best citations of the answer's sentences; a sentence without one has 0. 1 for an
    abstention. Scores are those of the critic in use.
    """

    name: str = "unsupported"

    def __call__(self, run: CheapRun) -> float:
        """The score."""
        return 1.0 - support_of(run.outcome)


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """The share of the budget's calls and tokens that is left, of whichever is less: what every result tells, so that a
    threshold fitted on results holds in a run. It is no weakness: it stands beside one in a rule,
    `Rule("multi-hop", {"abstained": 1, "budget_left": 0.5})`.
    """

    name: str = "budget_left"

    def __call__(self, run: CheapRun) -> float:
        """The score."""
        parts = [(run.left.llm_calls, run.budget.llm_calls), (run.left.tokens, run.budget.tokens)]
        return min(max(0.0, left / whole) if whole > 0 else 0.0 for left, whole in parts)


def _dropped(outcome: Outcome) -> Iterable[str]:
    """Sentences that the strategy left out of its answer: its step `cite` tells them."""
    cited = [step for step in outcome["steps"] if step.get("node") == "cite"]
    dropped: list[str] = cited[-1].get("details", {}).get("dropped", []) if cited else []
    return dropped
