"""Which candidate to take: the baseline, unless one is told apart from it although many were tried.

The best of many on few questions is partly luck: its lead over the baseline is too good by about what the luckiest of
so many draws brings. Two rules keep that luck out of the user's settings:

1. A candidate must beat the baseline by more than the luckiest of all candidates would if none were better. The
   distribution of that luck is had by resampling questions (White 2000, "A Reality Check for Data Snooping",
   Econometrica 68(5); studentised as in Romano and Wolf 2005, Econometrica 73(4)). Candidates that rank alike are lucky
   together and so cost little: 200 of them count as a handful.
2. Of those that pass, the nearest to the baseline among all that are within one standard error of the best one is taken
   (Breiman et al. 1984, "Classification and Regression Trees", section 3.4.3).

docs/tune.md has what these rules gave on unseen halves of four sets, beside others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ("LEVEL", "Choice", "PerQuery", "choose")

LEVEL = 0.1
"""How often luck alone may change the settings where no candidate is better."""
RESAMPLES = 2000
FEWEST = 10
"""Questions below which nothing is chosen: a resample of fewer knows too little."""
_LEAST_SPREAD = 0.25
"""A standard error below this share of the median one is taken as that share: a candidate that differs from the
baseline on two questions, by luck, would otherwise seem sure."""

PerQuery = Mapping[str, float]
"""Question id to the metric's value."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Choice(Generic[Item]):
    """What was chosen, and why."""

    chosen: Item
    best: Item
    """Best mean on the tuning questions, chosen or not."""
    p: float
    """How often the luckiest of all candidates would lead by as much if none were better than the baseline."""
    passed: int
    """Candidates told apart from the baseline."""
    tried: int

    @property
    def changed(self) -> bool:
        """Whether a candidate passed."""
        return self.passed > 0


def choose(
    baseline: Item,
    candidates: Mapping[Item, PerQuery],
    *,
    distance: Callable[[Item, Item], Any],
    level: float = LEVEL,
    seed: int = 0,
) -> Choice[Item]:
    """The candidate to take; `candidates` holds the baseline too, all over the same questions.

    `distance(candidate, baseline)` orders them by how much they change.

        >>> scores = {"now": {f"q{n}": 0.0 for n in range(40)}, "new": {f"q{n}": n % 4 / 3 for n in range(40)}}
        >>> choose("now", scores, distance=lambda left, right: left != right).chosen
        'new'
    """
    names: Sequence[Item] = list(candidates)
    keys = sorted(candidates[baseline])
    values = np.array([[candidates[name][key] for key in keys] for name in names], dtype=float)
    values = values.reshape(len(names), len(keys))
    means = values.mean(axis=1) if keys else np.zeros(len(names))
    # Equal means: the nearest to the baseline counts as the best.
    best = min(range(len(names)), key=lambda at: (-round(float(means[at]), 12), distance(names[at], baseline)))
    if len(keys) < FEWEST or names[best] == baseline:
        return Choice(baseline, names[best], 1.0, 0, len(names))
    leads = values - values[names.index(baseline)]
    lead, spread = leads.mean(axis=1), _spread(leads)
    sure = lead / spread
    luck = _luck(leads, spread, seed)
    bar = float(np.quantile(luck, 1 - level))
    passed = [at for at in range(len(names)) if sure[at] > bar and lead[at] > 0]
    p = float((1 + np.count_nonzero(luck >= sure.max())) / (1 + len(luck)))
    if not passed:
        return Choice(baseline, names[best], p, 0, len(names))
    top = max(passed, key=lambda at: (means[at], at == best))
    behind = (values[top] - values[passed]).mean(axis=1)
    error = (values[top] - values[passed]).std(axis=1, ddof=1) / np.sqrt(len(keys))
    near = [at for at, gap, one in zip(passed, behind, error, strict=True) if gap <= one]
    nearest = min(near, key=lambda at: (distance(names[at], baseline), -means[at]))
    return Choice(names[nearest], names[best], p, len(passed), len(names))


def _spread(leads: NDArray[Any]) -> NDArray[Any]:
    """Standard errors of the leads, none of them far below the others."""
    spread = leads.std(axis=1, ddof=1) / np.sqrt(leads.shape[1])
    some = spread[spread > 0]
    return np.maximum(spread, _LEAST_SPREAD * float(np.median(some)) if some.size else 1.0)


def _luck(leads: NDArray[Any], spread: NDArray[Any], seed: int) -> NDArray[Any]:
    """The greatest studentised lead of each resample, every candidate's own lead taken off first."""
    count = leads.shape[1]
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=RESAMPLES) / count
    centred = (leads - leads.mean(axis=1, keepdims=True)) / spread[:, None]
    greatest: NDArray[Any] = (centred @ drawn.T).max(axis=0)
    return greatest
