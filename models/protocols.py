"""What the rest of ragloom asks of an embedder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("Embedder",)


@runtime_checkable
class Embedder(Protocol):
    """Texts to unit vectors, with the tokenizer's view of a text for chunkers that must not exceed a limit.

    Both `SentenceTransformerEmbedding` and `ragloom.testing.HashEmbedding` satisfy it, and both are LlamaIndex
    `BaseEmbedding`s too. Laws that chunkers and the ingestion ledger rely on:

    - a text with `count_tokens([text])[0] <= max_tokens` is read whole, a longer one is cut (and a warning logged);
    - `count_tokens([text])[0] == len(token_offsets(text)) + special_tokens`;
    - two embedders with the same `fingerprint` give the same vectors, up to rounding.
    """

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    @property
    def max_tokens(self) -> int:
        """Tokens read of one text, special tokens included."""

    @property
    def special_tokens(self) -> int:
        """Tokens that every text costs beside its own: markers of the model and its document prompt."""

    @property
    def fingerprint(self) -> str:
        """Names model and weights, not device, dtype or batch size: when it changes, stored vectors are stale."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents, shape `(len(texts), dimension)`, each of length 1, in the order of `texts`."""

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """The vector of a query, shape `(dimension,)`, of length 1."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the model would see it uncut, special tokens included."""

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character range `(start, end)` of every token of `text`, uncut, special tokens left out."""
