"""What a model says: its sentences as they stream in, without citation marks of its own, and that it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ...sentences import sentence_spans

__all__ = ("SentenceSplitter", "declines", "unmarked")

_MARK = re.compile(r"\s*\[(?:passage\s*)?\d+(?:\s*,\s*\d+)*\]", re.IGNORECASE)
_ABSTAINS = re.compile(
    r"\b((?:cannot|can['’]?t) answer (?:this|that|the|your|from)|"
    r"i (?:do not|don['’]t|cannot|can['’]t) (?:know|answer|find|determine)|(?:passages?|text|context|documents?) "
    r"(?:do(?:es)? not|don['’]t|doesn['’]t) (?:hold|contain|mention|provide|say|state|include|specify|give))\b",
    re.IGNORECASE,
)


class SentenceSplitter:
    """Cuts a stream of text into finished sentences.

    A sentence is finished when another one has begun after it, or at a line's end. At the close the rest comes out.
    """

    def __init__(self) -> None:
        self._text = ""

    def feed(self, text: str) -> Iterator[str]:
        """Takes the next piece; yields the sentences that it finished."""
        self._text += text
        while "\n" in self._text:
            line, self._text = self._text.split("\n", 1)
            yield from (line[start:end] for start, end in sentence_spans(line))
        spans = sentence_spans(self._text)
        if len(spans) > 1:
            yield from (self._text[start:end] for start, end in spans[:-1])
            self._text = self._text[spans[-1][0] :]

    def close(self) -> Iterator[str]:
        """Yields what is left."""
        rest, self._text = self._text, ""
        yield from (rest[start:end] for start, end in sentence_spans(rest))


def declines(text: str) -> bool:
    """Whether a model says that it does not know, or that the passages do not hold the answer.

    >>> declines("I don't know."), declines("Emma was written in 1815.")
    (True, False)
    """
    return _ABSTAINS.search(text) is not None


def unmarked(text: str) -> str:
    """Without citation marks of the model's own.

    >>> unmarked("Emma was written in 1815 [2]. ")
    'Emma was written in 1815.'
    """
    return _MARK.sub("", text).strip()
