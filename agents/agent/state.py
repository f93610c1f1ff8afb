"""State of the agent."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

from ...graphs.common.state import StrategyState
from .found import Searched

__all__ = ("RagAgentState", "Settled", "Wanted")

Settled = Literal["", "answered", "declined", "unsupported", "refused"]


class Wanted(TypedDict):
    """The search that is made next."""

    source: str
    query: str


class RagAgentState(StrategyState, total=False):
    """The common state, and what the agent has done so far. `documents` holds what all searches found, mixed."""

    owner: list[str]
    """Tenant and user whose thread this is."""
    heard: str
    """Id of the last message when the owner asked last."""
    prompted: str
    """The question as models see it: `asked`, or what the guard made of it."""
    searches: list[Searched]
    wanted: Wanted | None
    """Set by a decision to search."""
    said: str
    """The model's answer before it is checked; empty where there is none."""
    critique: str
    """What the model is told to answer once more."""
    revised: bool
    settled: Settled
    """How the loop ended: with an answer that is supported at least in part, the model's own word that it knows none,
    an answer that the policy withholds, a question (in middleware also an answer) that the guard blocked; empty where
    none of them.
    """
