"""The policy: which signals, from which score on, lead to which expensive strategy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ...errors import UsageError
from .signals import CheapRun, Signal

__all__ = ("Measured", "Rule", "Weakness")


@dataclass(frozen=True)
class Rule:
    """Leads to a strategy where every one of its signals has reached its threshold. What is unknown reaches none.

    >>> Rule("multi-hop", {"abstained": 1, "budget_left": 0.5}).holds({"abstained": 1.0, "budget_left": 0.8})
    True
    """

    to: str
    """Name of an expensive strategy."""
    when: Mapping[str, float]
    """Signal to the score from which on it counts."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if not self.when:
            raise UsageError(f"the rule for {self.to!r} has no signal", hint='write {"abstained": 1}, say')
        for name, threshold in self.when.items():
            if not math.isfinite(threshold):
                raise UsageError(
                    f"the threshold of {name!r} is {threshold}", hint="use a number, or leave the rule out"
                )

    def holds(self, scores: Mapping[str, float]) -> bool:
        """Whether it does, with these scores; one that is missing is unknown."""
        return all(name in scores and scores[name] >= threshold for name, threshold in self.when.items())

    def told(self, scores: Mapping[str, float]) -> str:
        """The scores beside their thresholds, for a step."""
        parts = (
            f"{name} {f'{scores[name]:.2f}' if name in scores else 'unknown'} (from {threshold:.2f})"
            for name, threshold in self.when.items()
        )
        return " and ".join(parts)


@dataclass(frozen=True)
class Measured:
    """What the signals said of one answer."""

    scores: dict[str, float]
    unknown: dict[str, str]
    """Signal to why it has no score."""


@dataclass(frozen=True)
class Weakness:
    """Signals, and rules over them; the first rule that holds decides, and where none does the cheap answer stays.

    A signal that fails is unknown and decides nothing: an answer that is there is never lost to it.

    >>> from ragloom.agents.auto import Abstained
    >>> policy = Weakness([Abstained()], [Rule("multi-hop", {"abstained": 1})])
    >>> policy.decide({"abstained": 1.0}).to, policy.decide({"abstained": 0.0})
    ('multi-hop', None)
    """

    signals: Sequence[Signal]
    """All are measured, and told in the step, also those that no rule asks for."""
    rules: Sequence[Rule]

    def __post_init__(self) -> None:
        for signal in self.signals:
            if not isinstance(signal, Signal) or isinstance(signal, type) or not isinstance(signal.name, str):
                hint = "it is a callable with a name: Abstained(), WeakRetrieval(), ..."
                raise UsageError(f"{signal!r} is no signal", hint=hint)
        names = [signal.name for signal in self.signals]
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"two signals are called {twice[0]!r}", hint="give one of them another name")
        for rule in self.rules:
            if missing := [name for name in rule.when if name not in names]:
                raise UsageError(
                    f"the rule for {rule.to!r} asks for {missing[0]!r}", hint=f"signals: {', '.join(names)}"
                )

    def measure(self, run: CheapRun) -> Measured:
        """The scores of all signals."""
        measured = Measured({}, {})
        for signal in self.signals:
            try:
                score = signal(run)
                if score is None or not math.isfinite(score):
                    measured.unknown[signal.name] = "it cannot tell" if score is None else f"it gave {score}"
                else:
                    measured.scores[signal.name] = float(score)
            except Exception as error:
                measured.unknown[signal.name] = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return measured

    def decide(self, scores: Mapping[str, float]) -> Rule | None:
        """The first rule that holds."""
        return next((rule for rule in self.rules if rule.holds(scores)), None)
