"""Which way a question goes: no retrieval, one step, or several."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

from ...errors import UsageError
from ...models import parse_spec
from ...models.router import Route, load_router
from ..common.lazy import Lazy

__all__ = ("LABELS", "NO_ROUTER", "Chooser", "Decide", "Routes", "Way", "choose", "decider", "shares_of")

Way = Literal["none", "single", "multi"]
WAYS: tuple[Way, ...] = get_args(Way)
LABELS: dict[str, Way] = {"no_retrieval": "none", "single_hop": "single", "multi_hop": "multi"}
"""Labels of routers that are understood without being told."""
NO_ROUTER = "no router was given"
Decide: TypeAlias = Callable[[str], Mapping[str, float] | Route]
"""Of a question: a probability for each label."""
_CAN = (
    "give the spec of a router (router:PATH), a Router, a function from the question to probabilities, or one of: "
    "uncertainty, random, always-none, always-single, always-multi"
)


@runtime_checkable
class Routes(Protocol):
    """What `models.Router` offers."""

    @property
    def labels(self) -> Sequence[str]:
        """The classes."""

    def route(self, texts: Sequence[str]) -> list[Route]:
        """One route for each text."""


Chooser: TypeAlias = str | Routes | Decide | None
"""What can be given as a router."""


def decider(
    router: Chooser, labels: Mapping[str, Way], *, mix: tuple[float, float, float], seed: int
) -> tuple[str, Lazy[Decide]]:
    """A name for the steps, and the function, loaded when it is first needed. `UsageError` for what is none.

    `random` throws dice for the question, so the same question goes the same way in every run.
    """
    if router is None:
        return NO_ROUTER, Lazy.of(lambda question: {"single": 1.0})
    if isinstance(router, str):
        return _named(router, labels, mix, seed)
    if isinstance(router, Routes):
        return type(router).__name__, Lazy.of(_by(router, labels))
    if callable(router):
        return getattr(router, "__name__", type(router).__name__), Lazy.of(router)
    raise UsageError(f"{type(router).__name__} is no router", hint=_CAN)


def _named(
    name: str, labels: Mapping[str, Way], mix: tuple[float, float, float], seed: int
) -> tuple[str, Lazy[Decide]]:
    if name.startswith("always-") and (way := name.removeprefix("always-")) in WAYS:
        return name, Lazy.of(lambda question: {way: 1.0})
    if name == "random":
        if len(mix) != len(WAYS) or min(mix) < 0 or not 0 < sum(mix) < math.inf:
            raise UsageError(f"{mix} is no mix", hint="three weights, of: none, single, multi")

        def thrown(question: str) -> Mapping[str, float]:
            return {random.Random(f"{seed}:{question}").choices(WAYS, weights=mix)[0]: 1.0}

        return f"random, seed {seed}", Lazy.of(thrown)
    if ":" not in name:
        raise UsageError(f"{name!r} is no router", hint=_CAN)
    parse_spec(name, role="router")  # an unknown name is refused now, not with the first question
    return name, Lazy(lambda: _by(load_router(name), labels))


def _by(router: Routes, labels: Mapping[str, Way]) -> Decide:
    if not any(label in labels or label in WAYS for label in router.labels):
        known = ", ".join(router.labels)
        raise UsageError(f"the router's labels are {known}", hint='say what they mean: labels={"simple": "none", ...}')
    return lambda question: router.route([question])[0]


def shares_of(given: Mapping[str, float] | Route, labels: Mapping[str, Way]) -> tuple[dict[Way, float] | None, str]:
    """The probability of each way; None, and why, where the router abstains, talks nonsense, or finds most probable
    what is no way at all.

    >>> shares_of({"no_retrieval": 0.2, "multi_hop": 0.8}, LABELS)
    ({'none': 0.2, 'single': 0.0, 'multi': 0.8}, '')
    """
    if isinstance(given, Route) and given.abstained:
        return None, f"the router abstains (best: {given.label})"
    probabilities = given.probabilities if isinstance(given, Route) else given
    shares: dict[Way, float] = dict.fromkeys(WAYS, 0.0)
    others = {}
    for label, value in probabilities.items():
        if not (math.isfinite(value) and 0 <= value <= 1 + 1e-6):
            return None, f"the router gave {label} the probability {value}"
        way = labels.get(label) or next((way for way in WAYS if way == label), None)
        if way:
            shares[way] += value
        else:
            others[label] = value
    best = max(shares.values())
    if best <= 0 or max(others.values(), default=0.0) > best:
        return None, f"the router says {max(others, key=others.__getitem__)}" if others else "the router says nothing"
    return shares, ""


def choose(
    shares: Mapping[Way, float], *, retrieve_above: float | None = None, multi_above: float | None = None
) -> Way:
    """The most probable way; of ways that are equally probable one step, then several, then none.

    `retrieve_above`: retrieve where the probability that retrieval is needed is above it. `multi_above`: several steps
    where theirs is above it. Sweeping one of them from 0 to 1 gives a curve of quality over cost.

    >>> shares = {"none": 0.5, "single": 0.3, "multi": 0.2}
    >>> choose(shares), choose(shares, retrieve_above=0.4), choose(shares, retrieve_above=0.4, multi_above=0.1)
    ('none', 'single', 'multi')
    """
    single, multi = shares["single"], shares["multi"]
    needed = max(single, multi) >= shares["none"] if retrieve_above is None else single + multi > retrieve_above
    if not needed:
        return "none"
    several = multi > single if multi_above is None else multi > multi_above
    return "multi" if several else "single"
