"""What a drafter writes, as it streams in: the rationale is kept, the answer is what counts."""

from __future__ import annotations

import re

from ...models.drafts import ABSTENTION, Draft, parse_draft

__all__ = ("DraftSplitter", "quoted_span")

_WHOLE = re.compile(rf"^\W*answer\W*:[^\n]*\w[^\n]*\n|^\s*{re.escape(ABSTENTION)}", re.IGNORECASE | re.MULTILINE)
SHORTEST_QUOTE = 12
"""Characters: a shorter rationale would be found anywhere."""


class DraftSplitter:
    """Collects a draft until its answer line, or its abstention, is whole."""

    def __init__(self) -> None:
        self._text = ""
        self.whole = False

    def feed(self, text: str) -> None:
        """Takes the next piece."""
        self._text += text
        if not self.whole and ("\n" in text or "." in text):
            self.whole = _WHOLE.search(self._text) is not None

    def draft(self) -> Draft:
        """What was written so far."""
        return parse_draft(self._text)


def quoted_span(quote: str, text: str) -> tuple[int, int] | None:
    """(start, end) of a quote in a text, however white space and letters' case differ; None where it does not stand.

    >>> quoted_span("It opened in 1889.", "The tower. It opened\\nin 1889.")
    (11, 29)
    """
    words = quote.split()
    if len(" ".join(words)) < SHORTEST_QUOTE:
        return None
    found = re.search(r"\s+".join(map(re.escape, words)), text, re.IGNORECASE)
    return found.span() if found else None
