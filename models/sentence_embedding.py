"""The embedder behind `bundled:minilm` and `st:`: a LlamaIndex `BaseEmbedding` with a fast path for ingestion."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.bridge.pydantic import PrivateAttr

from .batching import batches, pad

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .lora import LoraAdapter
    from .trunk import Trunk

__all__ = ("SentenceTransformerEmbedding",)

_logger = logging.getLogger(__name__)

_WINDOW = 4096  # texts tokenised at a time: sorted lengths even out, and token ids of a huge list never fill memory
_QUERIES = 256  # queries remembered: a graph asks for the same one in several retrievers


class SentenceTransformerEmbedding(BaseEmbedding):
    """A sentence-transformers model as a LlamaIndex embedder that also satisfies `ragloom.models.Embedder`.

    `embed` tokenises each text once, sorts by length and forms batches of about `batch_tokens` tokens, so that little
    is padded. Made by `load_embedder`; thread-safe; the weights are shared by all instances of the same model.

        >>> embedder = load_embedder("bundled:minilm")  # doctest: +SKIP
        >>> embedder.embed(["one text", "another"]).shape  # doctest: +SKIP
        (2, 384)
    """

    batch_tokens: int = 4096

    _trunk: Trunk = PrivateAttr()
    _adapter: LoraAdapter | None = PrivateAttr(default=None)
    _fingerprint: str = PrivateAttr()
    _prefix: int = PrivateAttr()
    _suffix: int = PrivateAttr()
    _prompt_tokens: int = PrivateAttr(default=0)
    _queries: OrderedDict[str, NDArray[np.float32]] = PrivateAttr(default_factory=OrderedDict)
    _queries_lock: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(
        self,
        trunk: Trunk,
        *,
        spec: str,
        fingerprint: str,
        batch_tokens: int | None = None,
        adapter: LoraAdapter | None = None,
    ) -> None:
        """Wrap a loaded trunk, and what was trained on top of it.

        `batch_tokens` is the number of tokens, padding included, of one forward pass.
        """
        default = 4096 if trunk.device == "cpu" else 65536
        super().__init__(model_name=spec, embed_batch_size=256)
        self.batch_tokens = batch_tokens or default
        self._trunk = trunk
        self._adapter = adapter
        self._fingerprint = fingerprint
        special = trunk.tokenizer.encode("a").special_tokens_mask
        self._prefix = next((i for i, flag in enumerate(special) if not flag), 0)
        self._suffix = next((i for i, flag in enumerate(reversed(special)) if not flag), 0)
        if trunk.document_prompt:
            self._prompt_tokens = len(trunk.tokenizer.encode(trunk.document_prompt, add_special_tokens=False).ids)

    @classmethod
    def class_name(cls) -> str:
        """Name in LlamaIndex's serialised form."""
        return "SentenceTransformerEmbedding"

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return self._trunk.dimension

    @property
    def max_tokens(self) -> int:
        """Tokens read of one text, special tokens included (256 for `bundled:minilm`)."""
        return self._trunk.max_tokens

    @property
    def special_tokens(self) -> int:
        """Tokens that every text costs beside its own: markers and the document prompt (2 for `bundled:minilm`)."""
        return self._prefix + self._suffix + self._prompt_tokens

    @property
    def fingerprint(self) -> str:
        """Model and weights; the same on every device and in every dtype."""
        return self._fingerprint

    @property
    def device(self) -> str:
        """Where the weights are: `cpu`, `cuda`, ..."""
        return self._trunk.device

    @property
    def dtype(self) -> str:
        """The number format of the arithmetic: `float32` or `bfloat16`. Vectors come out as float32 either way."""
        return str(self._trunk.dtype).removeprefix("torch.")

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of documents: shape `(len(texts), dimension)`, each of length 1, in the order of `texts`.

        A text longer than `max_tokens` is cut there, and a warning with the count is logged.
        """
        return self._embed(texts, self._trunk.document_prompt)

    def embed_query(self, query: str) -> NDArray[np.float32]:
        """The vector of a query: shape `(dimension,)`, length 1. The last 256 are remembered; do not write into it."""
        with self._queries_lock:
            if query in self._queries:
                self._queries.move_to_end(query)
                return self._queries[query]
        vector: NDArray[np.float32] = self._embed([query], self._trunk.query_prompt)[0]
        vector.flags.writeable = False
        with self._queries_lock:
            self._queries[query] = vector
            while len(self._queries) > _QUERIES:
                self._queries.popitem(last=False)
        return vector

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text uncut, special tokens included; at most `max_tokens` of them are read."""
        counts: list[int] = []
        for start in range(0, len(texts), _WINDOW):
            window = list(texts[start : start + _WINDOW])
            counts += [
                len(encoding) + self._prompt_tokens for encoding in self._trunk.tokenizer.encode_batch_fast(window)
            ]
        return counts

    def token_offsets(self, text: str) -> list[tuple[int, int]]:
        """Character range of every token of `text`, uncut and without special tokens."""
        return self._trunk.tokenizer.encode(text, add_special_tokens=False).offsets

    def _embed(self, texts: Sequence[str], prompt: str) -> NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        cut = 0
        for start in range(0, len(texts), _WINDOW):
            window = [prompt + text for text in texts[start : start + _WINDOW]]
            rows = [encoding.ids for encoding in self._trunk.tokenizer.encode_batch_fast(window)]
            for i, ids in enumerate(rows):
                if len(ids) > self.max_tokens:
                    rows[i] = ids[: self.max_tokens - self._suffix] + ids[len(ids) - self._suffix :]
                    cut += 1
            order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
            for batch in batches([len(rows[i]) for i in order], self.batch_tokens):
                chosen = [order[i] for i in batch]
                vectors[[start + i for i in chosen]] = self._forward([rows[i] for i in chosen])
        if cut:
            _logger.warning("%d of %d texts are longer than %d tokens and were cut", cut, len(texts), self.max_tokens)
        return vectors

    def _forward(self, rows: list[list[int]]) -> NDArray[np.float32]:
        """Vectors of rows of token ids, longest row first."""
        import torch

        ids, mask = pad(rows, self._trunk.pad_id, self._trunk.device)
        with torch.inference_mode(), self._trunk.adapted(self._adapter):
            vectors = torch.nn.functional.normalize(self._trunk.forward(ids, mask), dim=1)
            result: NDArray[np.float32] = vectors.cpu().numpy()
        return result

    def _get_query_embedding(self, query: str) -> list[float]:
        vector: list[float] = self.embed_query(query).tolist()
        return vector

    def _get_text_embedding(self, text: str) -> list[float]:
        vector: list[float] = self.embed([text])[0].tolist()
        return vector

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        vectors: list[list[float]] = self.embed(texts).tolist()
        return vectors

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
