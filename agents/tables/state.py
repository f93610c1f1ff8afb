"""State of questions over tables."""

from __future__ import annotations

from typing import TypedDict

from ...graphs.common.state import StrategyState
from .operations import Operation
from .voting import Ballot

__all__ = ("Attempt", "TableState")


class Attempt(TypedDict):
    """A statement that the model wrote, and why it gave no rows."""

    sql: str
    """As the model wrote it; empty where it wrote none."""
    failed: str


class TableState(StrategyState, total=False):
    """The common state, and what was tried."""

    tables: list[str]
    """SQL names of the tables, the likeliest first."""
    ballots: list[Ballot]
    attempts: list[Attempt]
    """Statements that failed, and are written anew once."""
    operations: list[Operation]
    """The chain so far."""
    ended: bool
    """The chain has come to its end."""
