"""State of Self-RAG."""

from __future__ import annotations

from ..common.segment_beam import Path
from ..common.state import StrategyState

__all__ = ("SelfRagState",)


class SelfRagState(StrategyState, total=False):
    """The common state, what the critics said, and the answers that are being written."""

    need: float | None
    """How probably the question needs retrieval; None where nobody was asked, or the critic failed."""
    retrieves: bool
    """Whether this run retrieves."""
    relevance: dict[str, float | None]
    """Passage to its grade; None where the evaluator failed."""
    paths: list[Path]
    """Answers so far, the best first."""
    tried: int
    """Passages that were read so far, from the first on."""
    attempts: int
    """How many times the answer was begun."""
    prompts_asked: list[str]
    """Digests of the prompts that were asked: none is asked twice."""
