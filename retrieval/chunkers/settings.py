"""How documents are cut: a value, part of the fingerprint that decides what must be indexed anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from ...errors import UsageError

__all__ = ("STRATEGIES", "ChunkSettings", "ChunkStrategy")

ChunkStrategy = Literal["structure", "paragraph", "sentence", "tokens"]
STRATEGIES: tuple[ChunkStrategy, ...] = get_args(ChunkStrategy)

_CHUNKER_VERSION = "1"
"""Raised whenever equal settings would cut differently than before."""


@dataclass(frozen=True, slots=True)
class ChunkSettings:
    """Strategy and size of chunks, in tokens of the embedder.

    - `structure` (default): paragraphs packed within one section, tables whole, headings kept as context.
    - `paragraph`: paragraphs packed up to the size, across sections.
    - `sentence`: sentences packed up to the size, with `overlap` tokens of whole sentences repeated.
    - `tokens`: windows of exactly `size` tokens, `overlap` tokens repeated.

    No strategy crosses a page, slide or sheet, and none exceeds the embedder's limit.
    """

    strategy: ChunkStrategy = "structure"
    size: int = 0
    """Most tokens a chunk may have, context and special tokens included; 0 means all that the embedder reads."""
    overlap: int = 0
    """Tokens repeated from the chunk before (`sentence` and `tokens` only)."""
    context: bool = True
    """Whether title and headings are embedded and indexed in front of each chunk."""

    def __post_init__(self) -> None:
        """Refuses what cannot work."""
        if self.strategy not in STRATEGIES:
            raise UsageError(f"unknown chunking strategy {self.strategy!r}", hint=f"use one of {', '.join(STRATEGIES)}")
        if self.size and self.size < 16:
            raise UsageError(f"a chunk size of {self.size} tokens is too small", hint="use 16 or more, or 0")
        if self.overlap < 0 or (self.size and self.overlap > self.size // 2):
            raise UsageError(f"an overlap of {self.overlap} tokens does not fit chunks of {self.size}")
        if self.overlap and self.strategy not in ("sentence", "tokens"):
            raise UsageError(f"the strategy {self.strategy!r} takes no overlap", hint="use sentence or tokens")

    @property
    def fingerprint(self) -> str:
        """Equal for settings that cut equally."""
        return f"{_CHUNKER_VERSION}:{self.strategy}:{self.size}:{self.overlap}:{int(self.context)}"
