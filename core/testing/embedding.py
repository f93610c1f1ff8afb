"""A deterministic embedder without a model: the words of a text, hashed into a vector."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("HashEmbedding",)

# Long words fall into several tokens, as they do in a real tokenizer; chunkers must cope with that.
_TOKEN = re.compile(r"\w{1,12}|[^\w\s]")
_SPECIAL = 2


class HashEmbedding(BaseEmbedding):
    """Texts that share words get near vectors: enough for tests of ingestion, stores and graphs, in microseconds.

    The same on every machine and in every process (`hashlib`, never `hash`). Satisfies `ragloom.models.Embedder`;
    `embedded` and `queries` count what was asked of it, so that a test can tell what was embedded again.

        >>> embedder = HashEmbedding(size=64)
        >>> embedder.embed(["a red fox", "the red fox"]).shape, embedder.embedded
        ((2, 64), 2)
    """

    size: int = 256
    limit: int = 256
    seed: int = 0

    _embedded: int = PrivateAttr(default=0)
    _queries: int = PrivateAttr(default=0)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, *, size: int = 256, limit: int = 256, seed: int = 0) -> None:
        """`size` is the dimension, `limit` the tokens read of a text (2 special ones included); `seed` moves words."""
        super().__init__(model_name=f"hash-{size}", size=size, limit=limit, seed=seed)  # type: ignore[call-arg]

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's serialised form."""
        return "HashEmbedding"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self.size

    @property
    def max_tokens(self) -> int:
        """Tokens read of one text, special tokens included."""
        return self.limit

    @property
    def special_tokens(self) -> int:
        """Always 2, as with BERT."""
        return _SPECIAL

    @property
    def fingerprint(self) -> str:
        """Changes with the dimension, the limit and the seed."""
        return f"hash:{self.size}:{self.limit}:{self.seed}"

    @property
    def embedded(self) -> int:
        """Documents embedded so far."""
        return self._embedded

    @property
    def queries(self) -> int:
        """Queries embedded so far."""
        return self._queries

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents: shape `(len(texts), dimension)`, each of length 1, in the order of `texts`."""
        with self._lock:
            self._embedded += len(texts)
        if not texts:
            return np.zeros((0, self.size), dtype=np.float32)
        return np.stack([self._vector(text) for text in texts])

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """The vector of a query: shape `(dimension,)`, length 1; the same as of a document with that text."""
        with self._lock:
            self._queries += 1
        return self._vector(query)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text uncut, special tokens included."""
        return [len(_TOKEN.findall(text)) + _SPECIAL for text in texts]

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character range of every token of `text`, uncut and without special tokens."""
        return [match.span() for match in _TOKEN.finditer(text)]

    def _vector(self, text: str) -> NDArray[np.float32]:
        vector = np.zeros(self.size, dtype=np.float32)
        read = _TOKEN.findall(text.lower())[: self.limit - _SPECIAL]
        for token, count in Counter(read).items():
            place, sign = _place(token, self.seed)
            vector[place % self.size] += sign * (1.0 + np.log(count))
        length = float(np.linalg.norm(vector))
        if length == 0.0:  # no words, or words that cancel out: still a unit vector, as a real model gives
            vector[0] = length = 1.0
        return vector / np.float32(length)

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self.embed_query(query).tolist()
        return vector

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_query_embedding(query)

    def _get_text_embedding(self, text: str) -> list[float]:
        vector: list[float] = self.embed([text])[0].tolist()
        return vector

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.embed(texts).tolist()
        return vectors

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embedding(text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._get_text_embeddings(texts)


@lru_cache(maxsize=1 << 16)
def _place(token: str, seed: int) -> tuple[int, float]:
    """Where a word goes in the vector, and with which sign."""
    digest = hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8, key=str(seed).encode()).digest()
    number = int.from_bytes(digest, "big")
    return number >> 1, 1.0 if number & 1 else -1.0
