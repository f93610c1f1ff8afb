"""Is an answer grounded? Its sentences are checked as the strategies check theirs, and a policy says what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from langchain_core.documents import Document

from ...errors import UsageError
from ...graphs.common.citing import draft_of
from ...graphs.common.prompting import render_prompt
from ...graphs.common.reading import Reading, check_text
from ...graphs.common.support import AlsoAsked, SupportCritic

__all__ = ("Judgement", "Unsupported", "checked_policy", "judge", "read_text")

Unsupported: TypeAlias = Literal["drop", "regenerate", "abstain"]
"""What becomes of an answer with sentences that nothing supports: they are dropped; the model is told once which they
are, and then they are dropped; the whole answer is withheld.
"""


def checked_policy(policy: Unsupported) -> Unsupported:
    """The policy. `UsageError` where it is none."""
    if policy not in get_args(Unsupported):
        raise UsageError(f"unknown policy {policy!r}", hint=f"use one of {', '.join(get_args(Unsupported))}")
    return policy


@dataclass(frozen=True, slots=True)
class Judgement:
    """What follows from checking an answer."""

    draft: list[dict[str, Any]]
    """Its sentences with their citations, or those of the first answer where that was the better one."""
    declined: bool
    settled: str
    """`answered`, `declined` or `unsupported`; empty where the answer holds nothing that could be shown."""
    critique: str
    """What the model is told, to answer once more; empty where the judgement is final."""
    decision: str
    reason: str


def read_text(
    text: str, question: str, documents: Sequence[Document], critic: SupportCritic, queries: Sequence[str]
) -> Reading:
    """The sentences of a finished answer, checked. A sentence may answer the question or one of the queries."""
    reading = Reading()
    check_text(text, question, documents, AlsoAsked(critic, queries) if queries else critic, reading)
    return reading


def judge(reading: Reading, state: Mapping[str, Any], policy: Unsupported) -> Judgement:
    """Applies the policy. `state` says what came before: the `draft` of a first answer, and whether it is `revised`."""
    before: Sequence[Mapping[str, Any]] = state.get("draft") or []
    revised = bool(state.get("revised"))
    supported = len(reading.supported)
    unsupported = [sentence.text for sentence in reading.sentences if not sentence.citations]
    decision = f"{supported} of {len(reading.sentences)} sentences supported"
    reason = f"the critic failed: {reading.unjudged}" if reading.unjudged else "checked against what was found"
    if policy == "abstain" and unsupported:
        return Judgement([], False, "unsupported", "", "abstain", f"{decision}: the policy withholds the answer")
    draft = draft_of(reading)
    if len([each for each in before if each["citations"]]) > supported:
        draft, reason = [dict(each) for each in before], "the first answer was better supported"
    shown = any(each["citations"] for each in draft)
    declined = reading.declined and not shown
    if policy == "regenerate" and unsupported and not revised:
        critique = str(render_prompt(__package__ or "", "critique", sentences=unsupported)[0].text)
        return Judgement(draft, declined, "", critique, f"{decision}: once more", reason)
    settled = "answered" if shown else "declined" if declined else ""
    return Judgement(draft, declined, settled, "", decision, reason)
