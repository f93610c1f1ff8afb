"""What one rail is: a check with a name, for some stages. `RailsGuard` puts several of them in a row."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from ..errors import UsageError
from ..guarding import STAGES, Finding, Stage

__all__ = ("Rail", "checked_stages")


class Rail(Protocol):
    """One check. It is a `Guard` of its own stages, with a name; a rail of yours needs no more than these three.

    A rail may raise and may hang: the guard that runs it turns both into a verdict.
    """

    @property
    def name(self) -> str:
        """As findings, steps and logs show it."""
        ...

    @property
    def stages(self) -> Collection[Stage]:
        """Where it looks."""
        ...

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """One finding a text, in their order; `Finding.rail` is filled in by the guard. Blocking; called in a thread.

        `context`: see `ragloom.guarding.Guard.check`; empty where the caller knows nothing.
        """
        ...


def checked_stages(stages: Collection[Stage], what: str) -> tuple[Stage, ...]:
    """The stages that a rail was told to look at. `UsageError` where there are none, or one that does not exist.

    >>> checked_stages(["input"], "secrets")
    ('input',)
    """
    if isinstance(stages, str) or not stages or set(stages) - set(STAGES):
        raise UsageError(f"unknown stages of the {what} rail", hint=f"give some of {', '.join(STAGES)}")
    return tuple(stages)
