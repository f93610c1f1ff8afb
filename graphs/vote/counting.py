"""Counting votes: which answers are the same, which passages, and who wins."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from langchain_core.documents import Document

from .state import Ballot

__all__ = ("Candidate", "counted", "distinct_passages", "plain")

_ARTICLES = frozenset({"a", "an", "the"})


def plain(text: str) -> str:
    """What makes two texts the same: words and numbers, without case, punctuation and articles.

    >>> plain("The  Eiffel Tower."), plain("1,200.5 m"), plain("U.S.")
    ('eiffel tower', '1200.5 m', 'us')
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    folded = re.sub(r"(?<=\d),(?=\d{3}\b)|(?<=\w)['’](?=\w)|(?<=\b[^\W\d_])\.(?=[^\W\d_]\b)", "", folded)
    words = re.findall(r"\d+(?:[.:]\d+)+|\w+", folded)
    return " ".join([word for word in words if word not in _ARTICLES] or words)


def distinct_passages(passages: Sequence[Document]) -> list[Document]:
    """Without passages that hold, or are held by, a better one: they would be one voice twice.

    >>> [each.id for each in distinct_passages([Document("Leave is 25 days.", id="a"), Document("25 days", id="b")])]
    ['a']
    """
    kept: list[tuple[str, Document]] = []
    for passage in passages:
        text = f" {plain(passage.page_content)} "
        if text.strip() and not any(text in other or other in text for other, _ in kept):
            kept.append((text, passage))
    return [passage for _, passage in kept]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer, and who is for it."""

    text: str
    """As its best passage says it."""
    passages: tuple[str, ...]
    """Ids, best first: one vote each."""


def counted(ballots: Sequence[Ballot]) -> list[Candidate]:
    """Candidates by votes; of those with as many, the one whose best passage was ranked higher comes first.

    Ballots without an answer are for nobody: "I don't know" never wins against an answer.
    """
    by_key: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        if ballot["key"]:
            by_key.setdefault(ballot["key"], []).append(ballot)
    candidates = [Candidate(own[0]["text"], tuple(each["id"] for each in own)) for own in by_key.values()]
    return sorted(candidates, key=lambda candidate: -len(candidate.passages))  # stable: ties keep the passages' order
