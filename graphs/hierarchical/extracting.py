"""Quotes in what a model says, and where they stand in their passage."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from langchain_core.documents import Document

from ...sentences import sentence_spans
from ..common.drafting import quoted_span
from ..common.saying import unmarked

__all__ = ("extracts_of", "quoted_spans")

_MARK = re.compile(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+")
_QUOTES = " \t\"'“”„«»‘’`"


def quoted_spans(text: str, passage: str) -> list[tuple[int, int]]:
    """(start, end) of every line, or sentence of a line, that stands in the passage; sorted, without overlaps.

    Marks of lists, quotation marks, white space and letters' case do not matter; what does not stand there is dropped.

    >>> quoted_spans('1. "It opened in 1889."\\n2. It is made of gold.', "The tower. It opened in 1889.")
    [(11, 29)]
    """
    found = [span for line in text.splitlines() for span in _spans_of(line, passage)]
    return list(_merged(sorted(found)))


def extracts_of(passage: Document, spans: Iterable[tuple[int, int]]) -> list[Document]:
    """The quotes as documents of the passage's id: their citations resolve to it."""
    return [
        Document(
            passage.page_content[start:end],
            id=passage.id,
            metadata={**passage.metadata, "extract_start": start, "extract_end": end},
        )
        for start, end in spans
    ]


def _spans_of(line: str, passage: str) -> Iterator[tuple[int, int]]:
    for whole in dict.fromkeys((line.strip(), _bare(line))):
        if span := quoted_span(whole, passage):
            yield span
            return
    bare = _bare(line)
    for start, end in sentence_spans(bare):  # sentences that are no neighbours in the passage, copied into one line
        if span := quoted_span(bare[start:end].strip(_QUOTES), passage):
            yield span


def _bare(line: str) -> str:
    return unmarked(_MARK.sub("", line)).strip(_QUOTES)


def _merged(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    last: tuple[int, int] | None = None
    for start, end in spans:
        if last and start <= last[1]:
            last = (last[0], max(last[1], end))
            continue
        if last:
            yield last
        last = (start, end)
    if last:
        yield last
