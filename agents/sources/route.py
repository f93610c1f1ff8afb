"""Where a question goes: names out of a closed set, `none`, or unknown."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ("NONE", "UNKNOWN", "SourceRoute", "choose", "valid_route")

NONE = "none"
"""Label of a question that needs no source."""
UNKNOWN = "unknown"
"""Label of a question that no source is known to answer."""
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class SourceRoute:
    """One decision of a router.

    >>> SourceRoute(("handbook",)).label, SourceRoute(()).label, SourceRoute(()).unknown
    ('handbook', 'unknown', True)
    """

    names: tuple[str, ...]
    """The chosen sources, best first; `("none",)` where the question needs none; empty where nothing is known."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """By label: probabilities, or cosines. Those of different routers must not be compared."""
    by: str = ""
    """The router that decided."""
    reason: str = ""
    failed: str = ""
    """Why the router could not decide at all: it raised, or a model's reply names no source there is. Empty where it
    decided, also where it decided for unknown.
    """

    @property
    def unknown(self) -> bool:
        """Whether no source is known to answer the question."""
        return not self.names

    @property
    def label(self) -> str:
        """The best name, `none` or `unknown`."""
        return self.names[0] if self.names else UNKNOWN

    @property
    def confidence(self) -> float | None:
        """Score of the label; None where the router gives none."""
        return self.scores.get(self.label)


def valid_route(given: Any, labels: Collection[str]) -> SourceRoute:
    """The same route; a failed one where it is no route, or names anything outside `labels`.

    Nothing is put in the place of a wrong name: an index that is off by one would choose a source nobody meant. Names
    that are there twice count once, `none` beside a source does not count, `unknown` alone is unknown.

    >>> valid_route(SourceRoute(("wiki",)), ["handbook"]).failed
    "the router chose 'wiki', which is no source"
    >>> valid_route(SourceRoute(("none", "handbook")), ["handbook", "none"]).names
    ('handbook',)
    """
    if not isinstance(given, SourceRoute) or not isinstance(given.names, tuple):
        return SourceRoute((), failed=f"the router gave a {type(given).__name__}, which is no route")
    by = str(given.by)
    for name in given.names:
        if not isinstance(name, str) or name not in (*labels, NONE, UNKNOWN):
            shown = repr(name)[:80]
            return SourceRoute((), by=by, failed=f"the router chose {shown}, which is no source")
    sources = tuple(dict.fromkeys(name for name in given.names if name not in (NONE, UNKNOWN)))
    names = sources or ((NONE,) if NONE in given.names else ())
    scores = given.scores if isinstance(given.scores, Mapping) else {}
    known = {name: float(score) for name, score in scores.items() if isinstance(name, str) and _is_number(score)}
    return SourceRoute(names, known, by, str(given.reason), str(given.failed))


def choose(
    scores: Mapping[str, float],
    *,
    threshold: float,
    margin: float,
    costs: Mapping[str, float] | None = None,
    by: str,
) -> SourceRoute:
    """The route by scores: unknown where the best is below `threshold`, else it and all sources that are within
    `margin` of it. Of equal scores the cheaper comes first, then the earlier.

    >>> choose({"a": 0.5, "b": 0.48, "c": 0.1}, threshold=0.3, margin=0.05, by="test").names
    ('a', 'b')
    """
    if not scores or not all(math.isfinite(score) for score in scores.values()):
        return SourceRoute((), by=by, failed=f"{by} gave no scores that are numbers")
    ranked = sorted(scores, key=lambda name: (-scores[name], (costs or {}).get(name, 0.0)))
    best = ranked[0]
    told = f"{best} has {scores[best]:.2f}"
    if scores[best] < threshold or best == UNKNOWN:
        reason = f"{told}, known from {threshold:.2f} on" if best != UNKNOWN else told
        return SourceRoute((), scores, by, reason)
    near = [
        name for name in ranked[1:] if scores[best] - scores[name] <= margin + ROUNDING and scores[name] >= threshold
    ]
    sources = [] if best == NONE or margin <= 0 else [name for name in near if name not in (NONE, UNKNOWN)]
    reason = f"{told}; {len(sources)} more within {margin:g} of it" if sources else told
    return SourceRoute((best, *sources), scores, by, reason)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
