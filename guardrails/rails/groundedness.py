"""Groundedness: each sentence of an answer is supported by a passage, by a critic that is given."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from ...errors import UsageError
from ...guarding import Finding, Stage
from .sentences import sentence_starts

if TYPE_CHECKING:
    from langchain_core.documents import Document

__all__ = ("POLICIES", "GroundednessRail", "Policy", "SupportCritic", "unsupported")

Policy = Literal["drop", "flag", "block"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
_MARKER = re.compile(r"\s*(?:(?:[-*+•>]|#{1,6}|\d{1,3}[.)])\s+)*")


class _Support(Protocol):
    @property
    def score(self) -> float: ...


class SupportCritic(Protocol):
    """Judges support; every critic of `ragloom.graphs` is one."""

    @property
    def threshold(self) -> float:
        """The score from which a sentence is supported."""
        ...

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> Sequence[_Support]:
        """The best quote of each passage that supports the sentence at all, best first."""
        ...


class GroundednessRail:
    """Judges each sentence of an answer against `context["passages"]` and `context["question"]`.

    - `drop`: the answer without the sentences that nothing supports; empty where that are all.
    - `flag`: the answer passes, with their number as the reason and their places as spans.
    - `block`: an answer with one of them is not said: the application abstains.

    A sentence that stands in a passage as it is needs no critic. What has no letter and no digit is no claim. An
    answer without passages has no support, and one whose caller tells none is treated so. The score is the share of
    the sentences that nothing supports. To ask the model again first, see `regenerating`.

    Args:
        critic: a `SupportCritic`, such as `OverlapCritic()` or a trained one.
        policy: what comes of sentences that nothing supports.
        allowed: sentences that need no support, such as your application's refusals.

    Example:
        >>> rail = GroundednessRail(OverlapCritic(), policy="drop")  # doctest: +SKIP
        >>> told = {"question": "How much leave?", "passages": ["Staff get 25 days of leave."]}  # doctest: +SKIP
        >>> rail.check("output", ["Staff get 25 days. Lunch is free."], told)[0].text  # doctest: +SKIP
        'Staff get 25 days.'
    """

    name = "groundedness"
    stages: tuple[Stage, ...] = ("output",)

    def __init__(self, critic: SupportCritic, *, policy: Policy = "drop", allowed: Collection[str] = ()) -> None:
        if policy not in POLICIES:
            raise UsageError(f"unknown policy {policy!r} on unsupported sentences", hint=f"use {', '.join(POLICIES)}")
        if isinstance(allowed, str):
            raise UsageError("the allowed sentences are no list", hint="give a list of texts")
        self.policy: Policy = policy
        self._critic, self._allowed = critic, frozenset(each.strip() for each in allowed)

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """Each text on its own. `passages` are LangChain documents, or their texts."""
        question = context.get("question")
        passages = _documents(context.get("passages"))
        # A stream has its sentences checked alone and among their neighbours: the critic is asked once for each.
        is_supported = cache(
            partial(_is_supported, self._critic, question if isinstance(question, str) else "", passages)
        )
        return [self._judged(text, is_supported, passages) for text in texts]

    def _judged(self, text: str, is_supported: Callable[[str], bool], passages: Sequence[Document]) -> Finding:
        spans, count = _without_support(text, is_supported, self._allowed)
        score = len(spans) / count if count else 0.0
        if not spans:
            return Finding("pass", text, score=score)
        reason = f"{len(spans)} of {count} sentences without support" if passages else "no passages to judge it by"
        if self.policy == "flag":
            return Finding("pass", text, reason=reason, score=score, spans=tuple(spans))
        if self.policy == "block":
            return Finding("block", text, reason=reason, score=score, spans=tuple(spans))
        return Finding("change", without(text, spans), reason=reason, score=score, spans=tuple(spans))


def unsupported(
    text: str, critic: SupportCritic, question: str, passages: Sequence[Document]
) -> tuple[list[tuple[int, int]], int]:
    """(start, end) of the sentences that nothing supports, each with the white space after it; how many make claims."""
    return _without_support(text, partial(_is_supported, critic, question, passages), ())


def _without_support(
    text: str, is_supported: Callable[[str], bool], allowed: Collection[str]
) -> tuple[list[tuple[int, int]], int]:
    found, count = [], 0
    for start, end in pairwise([*sentence_starts(text), len(text)]):
        sentence = text[start:end].strip()
        claim = sentence[_marker_end(sentence) :]
        if any(each.isalnum() for each in claim) and claim not in allowed:
            count += 1
            if not is_supported(claim):
                found.append((start, end))
    return found, count


def _is_supported(critic: SupportCritic, question: str, passages: Sequence[Document], claim: str) -> bool:
    if any(claim in passage.page_content for passage in passages):
        return True
    found = critic.support(claim, question, passages) if passages else ()
    return any(each.score >= critic.threshold for each in found)  # NaN supports nothing


def without(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text without these sentences, and without white space at an end that is new."""
    parts, at = [], 0
    for start, end in spans:
        parts.append(text[at:start])
        at = end
    left = "".join([*parts, text[at:]])
    return left.rstrip() if at == len(text) else left


def _marker_end(sentence: str) -> int:
    marker = _MARKER.match(sentence)
    return marker.end() if marker else 0


def _documents(passages: Any) -> list[Document]:
    from langchain_core.documents import Document

    given = passages if isinstance(passages, list | tuple) else ()
    return [
        each if isinstance(each, Document) else Document(each) for each in given if isinstance(each, str | Document)
    ]
