"""What every reader returns: a document as Markdown, page by page.

All formats become one: Markdown text (headings as `#`, tables as pipe tables, lists as `-`). Chunkers and prompts then
have one language to understand, and a reader is a function from a path to a `ParsedDocument`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ("PAGE_BREAK", "Page", "ParsedDocument", "Reader")

PAGE_BREAK = "\n\n"
"""What stands between two pages in `ParsedDocument.text`."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page, slide, sheet, chapter, or the whole of a file whose format has no pages."""

    number: int
    """1-based page, slide or sheet number; 1 where the format has none."""
    text: str
    """The page as Markdown."""
    label: str = ""
    """A name shown to people where there is one: the sheet's or chapter's name, the page label."""


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """A file as Markdown, with its pages.

    Character offsets everywhere in ragloom count in `text`, the pages joined by `PAGE_BREAK`.
    """

    pages: tuple[Page, ...]
    format: str
    """The reader's name: `pdf`, `html`, `csv`, ..."""
    title: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    """Further facts of the file worth filtering by (author, date, ...). Strings only."""
    warnings: tuple[str, ...] = ()
    """What could not be read though the rest could ('page 7 holds no text'), one line each."""
    hidden: dict[str, int] = field(default_factory=dict)
    """How often text is hidden from who looks at the document, by how.

    `invisible` (switched off), `color` (that of its background), `tiny`, `off-page`, `comment`: left out, counted as
    words of a PDF, else as elements. `tag`, `zero-width`, `bidi`, `variation-selector`, `soft-hyphen`: characters, left
    out (`ragloom.invisible`). `collapsed`: kept, since a click shows it (a folded section, a hidden slide or sheet).
    """

    @property
    def text(self) -> str:
        """All pages, joined by `PAGE_BREAK`."""
        return PAGE_BREAK.join(page.text for page in self.pages)

    def page_spans(self) -> Iterator[tuple[int, int, Page]]:
        """Yields (start, end, page): the character offsets of each page in `text`."""
        at = 0
        for page in self.pages:
            yield at, at + len(page.text), page
            at += len(page.text) + len(PAGE_BREAK)


Reader = Callable[[Path], ParsedDocument]
"""A reader: reads one file, raises `ragloom.errors.ReaderError` with a one-line reason where it cannot."""
