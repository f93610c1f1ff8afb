"""A support critic by embeddings: is anything in the passage near what the sentence says?

The strategies check their own answers with a critic, so support by that same critic is high by construction. This is a
second opinion that shares nothing with `OverlapCritic`: it sees paraphrases, and is blind to wrong numbers and names.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from langchain_core.documents import Document

from ..graphs.common.support import Support
from ..sentences import sentence_spans

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models import Embedder

__all__ = ("EmbeddingCritic",)

_WIDEST = 3
"""Sentences of a window at most: what one sentence says may be spread over neighbours."""


class EmbeddingCritic:
    """Supported means: the cosine of the sentence, alone or after its question, and of some one to three neighbouring
    sentences of the passage is at least `threshold`. Satisfies `SupportCritic`.

    The question lends a short answer ("25 days.") its topic, without which it is near to nothing.

        >>> from ragloom.testing import HashEmbedding
        >>> critic = EmbeddingCritic(HashEmbedding(), threshold=0.6)
        >>> passage = Document("Staff get 25 days of leave. Unused days expire in March.")
        >>> critic.support("Staff get 25 days of leave.", "", [passage])
        [Support(passage=0, start=0, end=27, score=1.0)]
        >>> critic.support("The office is in Leeds.", "", [passage])
        []
    """

    def __init__(self, embedder: Embedder, *, threshold: float = 0.6) -> None:
        self.threshold = threshold
        self._embedder = embedder
        # A passage is read by many sentences, of one answer and of every strategy that found it.
        self._windows = lru_cache(maxsize=2048)(self._embed_windows)

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Support]:
        """The nearest window of each passage that reaches the threshold, best first."""
        if not sentence.strip() or not passages:
            return []
        said = self._embedder.embed([sentence, f"{question} {sentence}"] if question else [sentence])
        found = []
        for index, passage in enumerate(passages):
            spans, vectors = self._windows(passage.page_content)
            if not spans:
                continue
            cosines = (vectors @ said.T).max(axis=1)
            best = int(cosines.argmax())  # the first of equals, and those are ordered from narrow to wide
            score = round(min(1.0, max(0.0, float(cosines[best]))), 4)
            if score >= self.threshold:
                found.append(Support(index, *spans[best], score))
        return sorted(found, key=lambda item: (-item.score, item.passage))

    def _embed_windows(self, text: str) -> tuple[list[tuple[int, int]], NDArray[np.float32]]:
        sentences = sentence_spans(text)
        spans = [
            (sentences[first][0], sentences[first + width - 1][1])
            for width in range(1, _WIDEST + 1)
            for first in range(len(sentences) - width + 1)
        ]
        return spans, self._embedder.embed([text[start:end] for start, end in spans])
