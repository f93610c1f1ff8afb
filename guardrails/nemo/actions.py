"""Our rails as one NeMo action, `ragloom_rail`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from ...guarding import STAGES, Finding, Stage
from ..guard import TIMEOUT, OnFailure, RailsGuard
from ..rail import Rail
from .check import CHECK, VARIABLES

__all__ = ("ACTION", "rail_action")

ACTION = "ragloom_rail"


def rail_action(
    rails: Sequence[Rail], *, timeout: float = TIMEOUT, on_failure: OnFailure = "block"
) -> Callable[..., Awaitable[Finding]]:
    """The action that the flows of our configuration execute. The arguments are those of `RailsGuard`.

    `NeMoGuard` registers it itself; an `LLMRails` or `RunnableRails` of yours is told:

        >>> runnable = RunnableRails(config, runnable=graph.pick("answer"), input_key="question")  # doctest: +SKIP
        >>> runnable.rails.register_action(rail_action([InjectionRail()]), "ragloom_rail")  # doctest: +SKIP

    In Colang it takes `stage` and, for one rail alone, `rail`, its name. It returns a `Finding`, and raises nothing:
    NeMo would log the exception together with the text.
    """
    together = RailsGuard(rails, timeout=timeout, on_failure=on_failure)
    alone = {rail.name: RailsGuard([rail], timeout=timeout, on_failure=on_failure) for rail in rails}

    async def ragloom_rail(stage: Stage, context: Mapping[str, Any], rail: str | None = None) -> Finding:
        guard = together if rail is None else alone.get(rail)
        if stage not in STAGES or guard is None:
            return Finding("block", "", reason=f"no rail {rail!r}, or no stage {stage!r}")
        check = CHECK.get()
        text = str(context.get(VARIABLES[stage]) or "")
        (found,) = await guard.acheck(stage, [text], check.context if check else {})
        if check is not None and (found.verdict != "pass" or found.rail):
            check.found.append(found)
        return found

    return ragloom_rail
