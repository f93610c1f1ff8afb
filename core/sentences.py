"""Sentences of a text with their offsets (sentencex, the rule-based segmenter of Wikimedia)."""

from __future__ import annotations

__all__ = ("sentence_spans",)


def sentence_spans(text: str, *, language: str = "en") -> list[tuple[int, int]]:
    """(start, end) of each sentence, surrounding white space left out, empty ones dropped.

    >>> sentence_spans("Dr. Wu left. He was late.")
    [(0, 12), (13, 25)]
    """
    from sentencex import get_sentence_boundaries

    spans = []
    for found in get_sentence_boundaries(language, text):
        start, end = found["start_index"], found["end_index"]
        piece = text[start:end]
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        if start < end:
            spans.append((start, end))
    return spans
