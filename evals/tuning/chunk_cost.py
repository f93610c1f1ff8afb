"""What a chunking will cost, and whether it cuts at all differently, told from a sample of the documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...retrieval.chunkers import ChunkSettings, chunk_document
from ...retrieval.readers import Page, ParsedDocument
from ..answer_sets import share_of
from ..datasets import RetrievalSet

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("SAME", "ChunkSample", "sample_chunks")

SAMPLE = 200
"""Documents of each set that are cut on trial: a fraction of a second."""
SAME = 0.98
"""From this share of documents on that are cut alike, two chunkings cannot differ by more than noise."""


@dataclass(frozen=True, slots=True)
class ChunkSample:
    """A sample under one chunking."""

    spans: tuple[tuple[tuple[int, int], ...], ...]
    """Of each document, where its chunks stand."""
    tokens: int
    """To be embedded, in the sample."""

    def alike(self, other: ChunkSample) -> float:
        """Share of documents that both cut alike."""
        same = sum(left == right for left, right in zip(self.spans, other.spans, strict=True))
        return same / max(len(self.spans), 1)


def sample_chunks(sets: Sequence[RetrievalSet], chunking: ChunkSettings, embedder: Embedder) -> ChunkSample:
    """Cuts the same few documents of every set."""
    spans: list[tuple[tuple[int, int], ...]] = []
    texts: list[str] = []
    for each in sets:
        for key in sorted(each.documents, key=lambda key: share_of(key, salt="sample"))[:SAMPLE]:
            title, text = each.documents[key]
            body, head = (text, title) if text.strip() else (title, "")  # as `index_set` reads them
            chunks = chunk_document(ParsedDocument((Page(1, body),), "text", head), embedder, chunking)
            spans.append(tuple((chunk.start, chunk.end) for chunk in chunks))
            texts += [chunk.content for chunk in chunks]
    return ChunkSample(tuple(spans), sum(embedder.count_tokens(texts)) if texts else 0)
