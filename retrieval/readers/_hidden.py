"""What becomes of hidden text in a document: left out where it can be told, counted, and flagged."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from ...invisible import without_invisible
from .base import ParsedDocument

__all__ = ("HIDDEN_TEXT", "flagged")

HIDDEN_TEXT = "hidden_text"
"""The metadata key; its value is as `color 3, zero-width 14`."""
_KEPT = "collapsed"


def flagged(document: ParsedDocument) -> ParsedDocument:
    """The document without invisible characters; what is hidden in it stands in its metadata and warnings.

    The metadata key is ours alone: a document that sets it itself, in front matter, says nothing.
    """
    counts = Counter(document.hidden)

    def clean(text: str) -> str:
        seen, found = without_invisible(text)
        counts.update(found)
        return seen

    pages = tuple(
        replace(page, text=clean(page.text), label=without_invisible(page.label)[0]) for page in document.pages
    )
    title = without_invisible(document.title)[0]
    metadata = {key: without_invisible(value)[0] for key, value in document.metadata.items() if key != HIDDEN_TEXT}
    warnings = document.warnings
    if counts:
        metadata[HIDDEN_TEXT] = ", ".join(f"{kind} {count}" for kind, count in sorted(counts.items()))
        left_out = {kind: count for kind, count in counts.items() if kind != _KEPT}
        what = "hidden text was left out" if left_out else "hidden text was read"
        warnings = (*warnings, f"{what} ({metadata[HIDDEN_TEXT]})")
    return replace(document, pages=pages, title=title, metadata=metadata, warnings=warnings, hidden=dict(counts))
