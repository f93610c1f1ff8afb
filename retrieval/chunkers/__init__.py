"""Chunkers: a parsed document as chunks that the embedder reads whole.

>>> chunk_document(document, embedder)  # doctest: +SKIP
[Chunk(text='# Leave\\n\\nEvery employee has ...', start=0, end=812, page=1, ...), ...]
"""

from __future__ import annotations

from .chunker import chunk_document
from .settings import STRATEGIES, ChunkSettings, ChunkStrategy

__all__ = ("STRATEGIES", "ChunkSettings", "ChunkStrategy", "chunk_document")
