"""What the middleware add to the state of a LangChain agent."""

from __future__ import annotations

import operator
from typing import Annotated, Any, NotRequired

from langchain.agents.middleware.types import AgentState

from ....types import Step, Usage, add_usage
from ..state import Settled

__all__ = ("RunState",)


def longest(before: float, after: float) -> float:
    """Of what ran beside each other, the one that ended last."""
    return max(before, after)


class RunState(AgentState[Any]):
    """LangChain's state, what the turn has cost, and what became of its answer."""

    steps: NotRequired[Annotated[list[Step], operator.add]]
    usage: NotRequired[Annotated[Usage, add_usage]]
    hops: NotRequired[Annotated[int, operator.add]]
    """Tool calls so far."""
    elapsed: NotRequired[Annotated[float, longest]]
    """Seconds in the model and in tools so far. Who takes time writes the whole: what stood here, and its own."""
    error: NotRequired[str]
    """Why the model could not be asked, or read to its end."""
    draft: NotRequired[list[dict[str, Any]]]
    """The sentences of the answer with their citations: {text, citations}."""
    declined: NotRequired[bool]
    settled: NotRequired[Settled]
    revised: NotRequired[bool]
