"""State of task routing."""

from __future__ import annotations

from ...graphs.common.state import StrategyState
from .task import Task

__all__ = ("TaskState",)


class TaskState(StrategyState, total=False):
    """The common state, and which task the question is."""

    task: Task
