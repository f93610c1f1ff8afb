"""Knowledge refinement: passages are cut into strips, strips are graded, and the good ones put together again.

"Decompose, filter, recompose" of Yan et al., 2024, https://arxiv.org/abs/2401.15884, section 4.4. The official code
joins strips in the order of their scores; here, as in the paper, they keep the order of their passages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby

from langchain_core.documents import Document

from ...sentences import sentence_spans
from .state import Strip

__all__ = ("cut_strips", "keep_strips", "recompose")

_TABLE = re.compile(r"(?:^[ \t]*\|.*(?:\n|\Z))+", re.MULTILINE)
STRIP_SENTENCES = 3
"""Sentences of a strip. A passage of one or two is a strip of its own."""


def cut_strips(passages: Sequence[Document]) -> list[Strip]:
    """Every passage cut into runs of up to `STRIP_SENTENCES` sentences, of about equal length.

    >>> [(strip["start"], strip["end"]) for strip in cut_strips([Document("One. Two. Three. Four.", id="a")])]
    [(0, 9), (10, 22)]
    """
    strips: list[Strip] = []
    for passage in passages:
        spans = _pieces(passage.page_content)
        pieces = -(-len(spans) // STRIP_SENTENCES)
        for piece in range(pieces):
            # An even cut leaves no last strip of one sentence.
            first, last = piece * len(spans) // pieces, (piece + 1) * len(spans) // pieces - 1
            start, end = spans[first][0], spans[last][1]
            strips.append(Strip(id=passage.id or "", start=start, end=end, score=None, kept=False))
    return strips


def _pieces(text: str) -> list[tuple[int, int]]:
    """Sentences; a table is one piece, since a row says nothing without its header."""
    pieces: list[tuple[int, int]] = []
    at = 0
    for table in _TABLE.finditer(text):
        pieces += [(at + start, at + end) for start, end in sentence_spans(text[at : table.start()])]
        pieces.append((table.start(), table.start() + len(table[0].rstrip())))
        at = table.end()
    return pieces + [(at + start, at + end) for start, end in sentence_spans(text[at:])]


def keep_strips(strips: Sequence[Strip], scores: Sequence[float | None], *, most: int, threshold: float) -> list[Strip]:
    """The same strips with their scores; kept are the best `most` that reach `threshold`, and at least the best one.

    A strip whose score is unknown is kept as if it were at the threshold. Ties go to the earlier strip.
    """
    known = [threshold if score is None else score for score in scores]
    ranked = sorted(range(len(strips)), key=lambda at: (-known[at], at))[:most]
    kept = {at for at in ranked if known[at] >= threshold} or set(ranked[:1])
    return [
        Strip(id=strip["id"], start=strip["start"], end=strip["end"], score=score, kept=at in kept)
        for at, (strip, score) in enumerate(zip(strips, scores, strict=True))
    ]


def recompose(passages: Sequence[Document], strips: Sequence[Strip]) -> list[Document]:
    """What was kept, as documents in the order of the passages: one for each run of neighbouring strips.

    Each keeps the id and metadata of its passage, so that its citations resolve; its text stands in the passage word by
    word, from `strip_start` to `strip_end`.
    """
    by_id: dict[str, Document] = {passage.id or "": passage for passage in passages}
    documents = []
    for identity, own in groupby(strips, key=lambda strip: strip["id"]):
        passage = by_id[identity]
        for kept, run in groupby(own, key=lambda strip: strip["kept"]):
            if kept:
                parts = list(run)
                start, end = parts[0]["start"], parts[-1]["end"]
                place = {"strip_start": start, "strip_end": end}
                text = passage.page_content[start:end]
                documents.append(Document(text, id=identity, metadata={**passage.metadata, **place}))
    return documents
