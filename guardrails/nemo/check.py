"""`Check`: one text on its way through NeMo's rails, and what was learnt that NeMo's own result leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ...guarding import Finding, Stage

__all__ = ("CHECK", "VARIABLES", "Check")

VARIABLES: Mapping[Stage, str] = {
    "input": "user_message",
    "retrieval": "relevant_chunks",
    "tool": "tool_message",
    "output": "bot_message",
}
"""The Colang variable that holds the text of a stage."""


@dataclass(slots=True, eq=False)
class Check:
    """What is checked, and what came of it so far."""

    stage: Stage
    text: str
    context: Mapping[str, Any] = field(default_factory=dict)
    """As `Guard.check` has it, with the metadata of this text alone."""
    running: list[str] = field(default_factory=list)
    """Actions that have begun and not ended: what hangs is among them."""
    failed: str = ""
    """The first action that raised."""
    now: str = ""
    """What the rails have made of the text."""
    rewriter: str = ""
    """The flow that has changed it last."""
    stopper: str | None = None
    """The flow at which the rails have stopped; None where they have run to their end."""
    found: list[Finding] = field(default_factory=list)
    """What our rails said, one finding a call of `ragloom_rail`, of those that had something to say."""

    def __post_init__(self) -> None:
        self.now = self.text

    def passed(self) -> Finding:
        """Nothing objected. What our rails remarked is kept."""
        ours = self.found[-1] if self.found else Finding("pass", self.text)
        return Finding("pass", self.text, rail=ours.rail, reason=ours.reason, score=ours.score)

    def changed(self, text: str, rail: str) -> Finding:
        """`rail` wrote `text` instead; where nothing is left of it, that is a block."""
        if self.text.strip() and not text.strip():
            return self.blocked(rail, "nothing is left of it")
        ours = self.found[-1] if self.found else None
        if ours is None or ours.verdict != "change" or ours.text != text:
            return Finding("change", text, rail=rail, reason="rewritten by a flow of the NeMo configuration")
        spans = ours.spans if len(self.found) == 1 else ()  # offsets in what that call saw
        return Finding("change", text, rail=ours.rail, reason=ours.reason, score=ours.score, spans=spans)

    def blocked(self, rail: str, reason: str = "") -> Finding:
        """`rail` stopped it, or one of ours within it, which then has a reason."""
        ours = self.found[-1] if self.found else None
        if reason or ours is None or ours.verdict != "block":
            return Finding(
                "block", self.text, rail=rail, reason=reason or "blocked by a flow of the NeMo configuration"
            )
        spans = ours.spans if len(self.found) == 1 else ()
        return Finding("block", self.text, rail=ours.rail, reason=ours.reason, score=ours.score, spans=spans)


CHECK: ContextVar[Check | None] = ContextVar("ragloom_nemo_check", default=None)
"""The check that is under way in this context."""
