"""Texts under a guard: what is blocked is nowhere used, what is changed is used as changed.

A guard that raises, or that does not give one finding a text, has blocked them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document

from ...graphs.common.effects import Doing
from ...guarding import Finding, Guard, Stage
from ...types import Step

__all__ = ("findings", "screened_passages", "tell_blocked")

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
        if wrong := [each.verdict for each in given if each.verdict not in ("pass", "change", "block")]:
            raise ValueError(f"the verdict {wrong[0]!r}")
    except Exception as error:
        reason = f"the guard failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        return [Finding("block", text, rail="guard", reason=reason) for text in texts]
    return [each if each.verdict != "pass" else Finding("pass", text) for each, text in zip(given, texts, strict=True)]


def screened_passages(
    guard: Guard | None, documents: Sequence[Document], context: Mapping[str, Any], step: Step
) -> Doing[list[Document]]:
    """The passages that may be used, each with the text that may be used. The step says which are in quarantine.

    A heading is text of the document as well: it is checked beside the passage, and left off where it is blocked.
    """
    texts = [text for document in documents for text in _texts(document)]
    told = {**context, "metadata": [document.metadata for document in documents for _ in _texts(document)]}
    found = iter((yield from findings(guard, "tool", texts, told)))
    kept, blocked, changed = [], [], 0
    for document in documents:
        own = [next(found) for _ in _texts(document)]
        if own[0].verdict == "block":
            blocked.append((document, own[0]))
            continue
        after = _rewritten(document, own)
        changed += after is not document
        kept.append(after)
    tell_blocked(step, [(str(document.id), finding) for document, finding in blocked], "passages", changed)
    return kept


def tell_blocked(step: Step, blocked: Sequence[tuple[str, Finding]], what: str, changed: int = 0) -> None:
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
        if finding.verdict == "block":
            del metadata[key]
        else:
            metadata[key] = finding.text
    return Document(own[0].text, id=document.id, metadata=metadata)
