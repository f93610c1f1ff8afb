"""Texts under a guard: what is blocked is nowhere used, what is changed is used as changed.

A guard that raises, or that does not give one finding a text, has blocked them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from langgraph.runtime import get_runtime

from ...guarding import Finding, Guard, Stage
from ...types import Step
from .effects import Doing

__all__ = (
    "WITHHELD",
    "Quarantined",
    "check_context",
    "findings",
    "is_blocked",
    "screened",
    "screened_passages",
    "tell_blocked",
)

WITHHELD = "This cannot be answered here."
"""What is said where the guard blocks the question, or all of the answer."""
Quarantined = tuple[str, Finding]
"""Id of a passage (empty for other texts), and why nothing of it may be used."""
_CONTEXTS = ("headings", "title")
"""What prompts show of a passage beside its text."""


@dataclass(frozen=True, slots=True)
class _Check:
    """The effect of asking the guard."""

    guard: Guard
    stage: Stage
    texts: Sequence[str]
    context: Mapping[str, Any]

    def run(self) -> list[Finding]:
        """Blocking."""
        return list(self.guard.check(self.stage, self.texts, self.context))

    async def arun(self) -> list[Finding]:
        """Awaited."""
        return list(await self.guard.acheck(self.stage, self.texts, self.context))


def findings(
    guard: Guard | None, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None
) -> Doing[list[Finding]]:
    """One finding a text, in their order: `found = yield from findings(...)`. Without a guard all pass."""
    if guard is None or not texts:
        return [Finding("pass", text) for text in texts]
    try:
        given: list[Finding] = yield _Check(guard, stage, list(texts), context or {})
        if len(given) != len(texts):
            raise ValueError(f"{len(given)} findings for {len(texts)} texts")
        if any(each.verdict not in ("pass", "change", "block") or not isinstance(each.text, str) for each in given):
            raise ValueError("a finding that is none")
    except Exception as error:
        # What it raised may hold the text: the name of the error is all that is told.
        reason = f"the guard failed: {type(error).__name__}"
        return [Finding("block", text, rail="guard", reason=reason) for text in texts]
    return [each if each.verdict != "pass" else Finding("pass", text) for each, text in zip(given, texts, strict=True)]


def is_blocked(finding: Finding) -> bool:
    """Whether nothing of the text may be used; a text of which nothing is left says nothing either."""
    return finding.verdict == "block" or (finding.verdict == "change" and not finding.text.strip())


def check_context(question: str, **more: Any) -> dict[str, Any]:
    """What a guard is told beside the texts: the `question`, `scope` where the run has one as its context, and more."""
    try:
        scope = get_runtime().context
    except Exception:  # outside of a graph's run
        scope = None
    return {"question": question, **({"scope": scope} if scope is not None else {}), **more}


def screened(
    guard: Guard | None, stage: Stage, documents: Sequence[Document], context: Mapping[str, Any]
) -> Doing[tuple[list[Document | None], list[Quarantined]]]:
    """For each passage what of it may be used, None where that is nothing; and what was blocked.

    A heading is text of the document as well: it is checked beside the passage, and left off where it is blocked.
    """
    texts = [text for document in documents for text in _texts(document)]
    told = {**context, "metadata": [document.metadata for document in documents for _ in _texts(document)]}
    found = iter((yield from findings(guard, stage, texts, told)))
    after: list[Document | None] = []
    blocked: list[Quarantined] = []
    for document in documents:
        own = [next(found) for _ in _texts(document)]
        if is_blocked(own[0]):
            blocked.append((str(document.id), own[0]))
        after.append(None if is_blocked(own[0]) else _rewritten(document, own))
    return after, blocked


def screened_passages(
    guard: Guard | None, documents: Sequence[Document], context: Mapping[str, Any], step: Step, *, stage: Stage = "tool"
) -> Doing[list[Document]]:
    """The passages that may be used, each with the text that may be used. The step says which are in quarantine."""
    after, blocked = yield from screened(guard, stage, documents, context)
    changed = sum(new is not None and new is not old for new, old in zip(after, documents, strict=True))
    tell_blocked(step, blocked, "passages", changed)
    return [document for document in after if document is not None]


def tell_blocked(step: Step, blocked: Sequence[Quarantined], what: str, changed: int = 0) -> None:
    """Adds to a step what was blocked: ids, rails and reasons, never the text."""
    if blocked:
        step["reason"] += f"; {len(blocked)} {what} in quarantine: {blocked[0][1].reason or blocked[0][1].rail}"
        shown = [{"id": identity, "rail": finding.rail, "reason": finding.reason} for identity, finding in blocked]
        step["details"] = {**step.get("details", {}), "quarantined": shown}
        step["scores"] = {key: value for key, value in step.get("scores", {}).items() if key not in dict(blocked)}
    if changed:
        step["reason"] += f"; {changed} {what} changed by the guard"


def _context_keys(document: Document) -> list[str]:
    return [key for key in _CONTEXTS if document.metadata.get(key)]


def _texts(document: Document) -> list[str]:
    return [document.page_content, *(str(document.metadata[key]) for key in _context_keys(document))]


def _rewritten(document: Document, own: Sequence[Finding]) -> Document:
    if all(each.verdict == "pass" for each in own):
        return document
    metadata = dict(document.metadata)
    for key, finding in zip(_context_keys(document), own[1:], strict=True):
        if is_blocked(finding):
            del metadata[key]
        else:
            metadata[key] = finding.text
    return Document(own[0].text, id=document.id, metadata=metadata)
