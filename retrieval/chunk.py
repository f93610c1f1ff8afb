"""A chunk: the piece of a document that is embedded, searched, read and cited."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

__all__ = ("Chunk", "chunk_ids")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one document, on one page, with where it stands.

    `text == document.text[start:end]` for every chunk but one that continues a split table, whose text begins with the
    table's header rows, repeated (`repeated_header` is their length).
    """

    text: str
    start: int
    """Character offset of the first character in `ParsedDocument.text`."""
    end: int
    """Character offset after the last character."""
    page: int
    """1-based page, slide or sheet number."""
    page_label: str = ""
    headings: tuple[str, ...] = ()
    """The path of headings above the chunk, outermost first."""
    context: str = ""
    """Title and headings as one line, embedded and indexed in front of the text. Not part of the document's text."""
    repeated_header: int = 0
    """Length of the table header repeated in front of the text; 0 for all but continued tables."""

    @property
    def content(self) -> str:
        """What is embedded and indexed: the context line, then the text."""
        return f"{self.context}\n{self.text}" if self.context else self.text


def chunk_ids(doc_id: str, chunks: list[Chunk]) -> list[str]:
    """Stable ids: a chunk keeps its id while its content stays in its document, wherever it moves to.

    Equal chunks of a document are told apart by how many equal ones came before.
    """
    seen: dict[str, int] = {}
    ids = []
    for chunk in chunks:
        content = chunk.content
        nth = seen[content] = seen.get(content, -1) + 1
        ids.append(hashlib.sha256(f"{doc_id}\0{nth}\0{content}".encode()).hexdigest()[:32])
    return ids
