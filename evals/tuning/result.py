"""What a tuning found, as a value: for the report, for `--json`, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..records import Difference
from ..statistics import mean_interval, paired_difference
from .choose import FEWEST
from .space import Candidate, chunking_name

__all__ = ("Comparison", "Outcome", "Row", "Tuned")


@dataclass(frozen=True, slots=True)
class Row:
    """One configuration on one half of the questions."""

    name: str
    values: Mapping[str, float] = field(repr=False)
    """Question to value."""
    seed: int = 0

    @property
    def mean(self) -> float:
        """Over the questions."""
        return sum(self.values.values()) / max(len(self.values), 1)

    def to_dict(self) -> dict[str, Any]:
        """Name, n, mean and its 95 % interval."""
        low, high = mean_interval(list(self.values.values()), seed=self.seed)
        return {
            "name": self.name,
            "n": len(self.values),
            "mean": round(self.mean, 4),
            "ci95": [round(low, 4), round(high, 4)],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A configuration beside the baseline on the half that nothing was chosen by."""

    baseline: Row
    chosen: Row
    seed: int = 0

    @property
    def difference(self) -> Difference:
        """Chosen minus baseline, with its 95 % interval."""
        return paired_difference(self.chosen.values, self.baseline.values, seed=self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Both rows and the difference."""
        told: dict[str, Any] = dict(self.difference)
        rounded = {name: round(value, 4) if isinstance(value, float) else value for name, value in told.items()}
        return {"baseline": self.baseline.to_dict(), "chosen": self.chosen.to_dict(), "difference": rounded}


@dataclass(slots=True)
class Outcome:
    """One stage: what was chosen on the dev half, and what that is worth on the test half."""

    metric: str
    chosen: Any
    best: Any
    """Best on the dev half, chosen or not."""
    p: float
    passed: int
    dev: dict[Any, Row]
    """Every configuration that was tried, on the dev half; the first one is the baseline."""
    test: Comparison | None
    """None where the test half is empty, or the time was over."""
    best_on_test: Comparison | None = None
    """For the reader only: what the best on the dev half would have given, where it was not chosen."""
    skipped: dict[str, str] = field(default_factory=dict)
    importance: dict[str, float] = field(default_factory=dict)

    @property
    def baseline(self) -> Any:
        """What the others are compared with."""
        return next(iter(self.dev))

    @property
    def adopted(self) -> Any:
        """What the settings should say: the chosen one, unless it is clearly worse on unseen questions."""
        worse = self.test is not None and self.test.difference["high"] < 0
        return self.baseline if worse else self.chosen

    def best_by_family(self) -> dict[str, list[Row]]:
        """The best row of every chunking and of every kind of ranking."""
        families: dict[str, dict[str, Row]] = {"chunking": {}, "ranking": {}}
        for candidate, row in self.dev.items():
            if not isinstance(candidate, Candidate):
                return {}
            kind = candidate.mode if candidate.mode != "hybrid" else f"hybrid {candidate.fusion}"
            for family, name in (("chunking", chunking_name(candidate.chunking)), ("ranking", kind)):
                known = families[family].get(name)
                if known is None or row.mean > known.mean:
                    families[family][name] = row
        return {name: sorted(rows.values(), key=lambda row: -row.mean) for name, rows in families.items()}

    def verdict(self) -> str:
        """The outcome in words, for people who read nothing else."""
        base = "the configuration in use" if self.baseline.settings() else "the default"
        if self.chosen == self.baseline:
            asked = len(self.dev[self.best].values)
            if asked < FEWEST:
                return f"Only {asked} questions of the dev half were measured, too few to choose by: {base} is kept."
            if self.best == self.baseline:
                return f"Nothing that was tried is better than {base} on the dev half: it is kept."
            return (
                f"No configuration is told apart from {base} (chance alone would bring the lead of the best of "
                f"{len(self.dev)} with p = {self.p:.2f}): it is kept."
            )
        told = f"{self.chosen.name()} is chosen: better than {base} on the dev half (p = {self.p:.3f}, "
        told += f"{len(self.dev)} tried). "
        if self.test is None:
            return told + "It was not measured on the test half: do not rely on it yet."
        found = self.test.difference
        shown = f"{found['mean']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}], n {found['n']}"
        if found["low"] > 0:
            return told + f"On unseen questions it is better too: {shown}."
        if found["high"] < 0:
            return told + f"On unseen questions it is worse: {shown}. It is not used."
        side = "above" if found["mean"] > 0 else "below" if found["mean"] < 0 else "at"
        return told + f"On unseen questions it is {side} {base}, but not told apart from it: {shown}."

    def to_dict(self) -> dict[str, Any]:
        """As `ragloom tune --json` prints it."""
        best = self.best_on_test
        return {
            "metric": self.metric,
            "baseline": self.baseline.name(),
            "chosen": self.chosen.name(),
            "changed": self.chosen != self.baseline,
            "best_on_dev": self.best.name(),
            "p": round(self.p, 4),
            "passed": self.passed,
            "verdict": self.verdict(),
            "tried": [row.to_dict() for row in self.dev.values()],
            "skipped": self.skipped,
            "importance": self.importance,
            "test": self.test.to_dict() if self.test else None,
            "best_on_dev_on_test": best.to_dict() if best else None,
        }


@dataclass(slots=True)
class Tuned:
    """A whole tuning."""

    sets: dict[str, dict[str, int]]
    """Set to its sizes: documents, dev and test queries."""
    minutes: float
    """Allowed."""
    seconds: float
    """Used."""
    seed: int
    retrieval: Outcome | None
    answers: Outcome | None = None
    llm: str = ""
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False

    def settings(self) -> dict[str, Any]:
        """What `ragloom.toml` has to say to make it so."""
        wanted: dict[str, Any] = self.retrieval.adopted.settings() if self.retrieval else {}
        return wanted | (self.answers.adopted.settings() if self.answers else {})

    @property
    def changed(self) -> bool:
        """Whether anything but the baseline was adopted."""
        return any(each and each.adopted != each.baseline for each in (self.retrieval, self.answers))

    def to_dict(self) -> dict[str, Any]:
        """As `ragloom tune --json` prints it."""
        return {
            "sets": self.sets,
            "minutes": self.minutes,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "llm": self.llm or None,
            "changed": self.changed,
            "settings": self.settings(),
            "interrupted": self.interrupted,
            "notes": self.notes,
            "retrieval": self.retrieval.to_dict() if self.retrieval else None,
            "answers": self.answers.to_dict() if self.answers else None,
        }
