"""Query transforms by name, for the command line and the evals."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from ...errors import UsageError
from ..common.transforming import QueryTransform
from .diverse import DiverseRewrites
from .hyde import HyDE
from .step_back import StepBack
from .sub_questions import SubQuestions

__all__ = ("TRANSFORMS", "load_transform")

TRANSFORMS: dict[str, Callable[[], QueryTransform]] = {
    "diverse": DiverseRewrites,
    "hyde": HyDE,
    "step-back": StepBack,
    "sub-questions": SubQuestions,
}
"""Every transform there is, as it is without options."""


def load_transform(name: str) -> QueryTransform:
    """The transform of this name; `UsageError` with the list of known ones for any other.

    >>> load_transform("step-back").name
    'step-back'
    """
    if name not in TRANSFORMS:
        known = f"known: {', '.join(TRANSFORMS)}"
        close = difflib.get_close_matches(name, TRANSFORMS, n=1)
        hint = f"did you mean {close[0]!r}? {known.capitalize()}" if close else known
        raise UsageError(f"unknown transform {name!r}", hint=hint)
    return TRANSFORMS[name]()
