"""Hidden text: characters that nobody sees, and passages of documents that hide text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from ...errors import UsageError
from ...guarding import STAGES, Finding, Stage
from ...invisible import Invisible, find_invisible, without_invisible
from ..rail import checked_stages

__all__ = ("ACTIONS", "HIDDEN_TEXT", "Action", "HiddenTextRail")

Action = Literal["change", "block", "flag"]
ACTIONS: tuple[Action, ...] = get_args(Action)
HIDDEN_TEXT = "hidden_text"
"""The metadata key under which `ragloom.retrieval.readers` tells that a document hides text."""


class HiddenTextRail:
    """Finds zero-width characters, Unicode tags, bidirectional controls and selectors that nobody sees or needs.

    Such characters carry orders to a model past the person who pasted them, and split words so that no other rail knows
    them: put this one first. Joiners, marks of direction and soft hyphens that writing needs are left alone
    (`ragloom.invisible`). A passage whose metadata has `hidden_text` is reported as well: its document holds text that
    its readers do not see. What ingestion could tell to be hidden is not in the passage any more.

    Findings count the characters and never tell what they spell.

    Args:
        action: `change` takes the characters out, `flag` passes the text, `block` lets nothing of it be used. A
            passage of a document that hides text is blocked by `block` alone; the others pass it with a reason.
        stages: where it looks.

    Raises `UsageError` for an unknown action or stage.

    >>> HiddenTextRail().check("input", ["Hello\\u200b\\u200b there"], {})[0].text
    'Hello there'
    """

    name = "hidden"

    def __init__(self, action: Action = "change", *, stages: Collection[Stage] = STAGES) -> None:
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r} on hidden text", hint=f"use one of {', '.join(ACTIONS)}")
        self.action: Action = action
        self.stages = checked_stages(stages, "hidden text")

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """One finding a text, with the characters' places as spans.

        `context["metadata"]` is one mapping a text; where it is not, nothing is known of their documents.
        """
        return [self._judged(text, found) for text, found in zip(texts, _metadata(texts, context), strict=True)]

    def _judged(self, text: str, metadata: Any) -> Finding:
        runs = find_invisible(text)
        hides = isinstance(metadata, Mapping) and bool(metadata.get(HIDDEN_TEXT))
        if not runs and not hides:
            return Finding("pass", text)
        reasons = [f"invisible characters ({_counted(runs)})"] if runs else []
        reasons += ["its document hides text"] if hides else []
        told, spans = " and ".join(reasons), tuple((run.start, run.end) for run in runs)
        if self.action == "change" and runs:
            return Finding("change", without_invisible(text)[0], reason=told, spans=spans)
        return Finding("block" if self.action == "block" else "pass", text, reason=told, spans=spans)


def _metadata(texts: Sequence[str], context: Mapping[str, Any]) -> Sequence[Any]:
    given = context.get("metadata")
    return given if isinstance(given, list | tuple) and len(given) == len(texts) else [None] * len(texts)


def _counted(runs: Sequence[Invisible]) -> str:
    """As `tag 40, zero-width 2`, by kind."""
    counts = Counter[str]()
    for run in runs:
        counts[run.kind] += run.end - run.start
    return ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
