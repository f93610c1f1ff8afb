"""State of adaptive RAG."""

from __future__ import annotations

from ..multi_hop.state import MultiHopState
from .routing import Way

__all__ = ("AdaptiveState",)


class AdaptiveState(MultiHopState, total=False):
    """The state of the multi-step branch, and the way that was chosen."""

    way: Way
    own_answer: str
    """What the model said without documents, where its certainty decides the way; else empty."""
