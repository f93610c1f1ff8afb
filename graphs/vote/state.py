"""State of the vote."""

from __future__ import annotations

from typing import TypedDict

from ..common.state import StrategyState

__all__ = ("Ballot", "VoteState")


class Ballot(TypedDict):
    """What one passage alone says."""

    id: str
    """Id of the passage."""
    text: str
    """The answer; empty where the passage holds none."""
    key: str
    """Ballots of one key are for the same answer."""
    trouble: str
    """Why nothing is known of this passage; empty where the model answered or declined."""


class VoteState(StrategyState, total=False):
    """The common state, and the ballots in the order of the passages."""

    ballots: list[Ballot]
