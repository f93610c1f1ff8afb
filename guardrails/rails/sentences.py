"""Sentences of an answer, as the groundedness rail judges them and streams release them."""

from __future__ import annotations

import re

__all__ = ("sentence_starts",)

_MARKER = re.compile(r"\s*(?:[-*+•]|\d{1,3}[.)])[ \t]+")
"""Of a list: no sentence, though its dot ends one to a segmenter."""


def sentence_starts(text: str) -> list[int]:
    """Where each sentence begins, by sentencex, the segmenter of Wikimedia; the first is at 0, an empty text has none.

    So a text is all of its sentences in a row, each with the white space that follows it. Line ends part them too.

    >>> sentence_starts("Dr. Wu left. He was late.")
    [0, 13]
    """
    from sentencex import get_sentence_boundaries

    starts: list[int] = []
    marker = False
    for found in get_sentence_boundaries("en", text):
        at = found["start_index"]
        for line in text[at : found["end_index"]].splitlines(keepends=True):
            if line.strip():
                if not marker:
                    starts.append(at + len(line) - len(line.lstrip()))
                marker = bool(_MARKER.fullmatch(line))
            at += len(line)
    return [0, *starts[1:]] if text else []
