"""State of Self-RAG with reflection tokens."""

from __future__ import annotations

from typing import Literal

from ..common.segment_beam import Path
from ..common.state import StrategyState

__all__ = ("Decision", "SelfRagTokensState")

Decision = Literal["retrieve", "continue", "plain", "end"]
"""How an answer goes on: with a passage, with its last passage again, without any, or not at all."""


class SelfRagTokensState(StrategyState, total=False):
    """The common state, and the answers that are being written."""

    paths: list[Path]
    """Answers so far, the best first; one without segments at the beginning."""
    decisions: list[Decision]
    """How each of them goes on."""
