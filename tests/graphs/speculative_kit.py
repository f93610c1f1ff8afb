"""Scorers and embedders for the tests of Speculative RAG."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from strategy_kit import moody_number

from ragloom.graphs.common.support import Support
from ragloom.models.scoring import Scored, TokenScore
from ragloom.testing import HashEmbedding


class FakeScorer:
    """Log-probabilities by a function of (prompt, start of the token, token); a token is a word with its space."""

    name = "fake:scorer"
    token = re.compile(r"\s*\S+")

    def __init__(self, each: Callable[[str, int, str], Any]) -> None:
        self.each = each
        self.pairs: list[tuple[str, str]] = []
        self.batches = 0
        self.messages: list[tuple[Any, str]] = []

    def _scored(self, prompt: str, continuation: str) -> Scored:
        return Scored(
            tuple(
                TokenScore(0, found.start(), found.end(), self.each(prompt, found.start(), found[0]))
                for found in self.token.finditer(continuation)
            )
        )

    def score(self, prompt: str, continuation: str) -> Scored:
        return self._scored(prompt, continuation)

    def score_many(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        self.batches += 1
        self.pairs += pairs
        return [self._scored(*pair) for pair in pairs]

    def score_messages(self, messages: Sequence[Any], continuation: str) -> Scored:
        self.messages.append((messages, continuation))
        return self._scored("\n".join(str(message.text) for message in messages), continuation)

    async def ascore(self, prompt: str, continuation: str) -> Scored:
        raise NotImplementedError

    async def ascore_many(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        raise NotImplementedError

    async def ascore_messages(self, messages: Sequence[Any], continuation: str) -> Scored:
        raise NotImplementedError


class ByText(FakeScorer):
    """Yes is as probable as `favourites` say of the answer in the prompt, else hardly; all other words nearly certain,
    or certain where `flat`.
    """

    def __init__(self, favourites: Mapping[str, float], *, flat: bool = False, each: Any = None) -> None:
        def value(prompt: str, start: int, token: str) -> float:
            word = token.strip()
            if word.lower() == "no":
                return -3.0
            if word.lower() == "yes":
                favoured = [value for text, value in favourites.items() if f"Answer: {text}\n" in prompt]
                return favoured[0] if favoured and word == "Yes" else -9.0
            return 0.0 if flat else -0.01

        super().__init__(each or value)


class Stands:
    """A critic: what stands in a passage word by word is supported."""

    threshold = 0.5

    def support(self, sentence: str, question: str, passages: Sequence[Any]) -> list[Support]:
        words = sentence.strip(" .").casefold()
        places = [(at, each.page_content.casefold().find(words)) for at, each in enumerate(passages)]
        return [Support(at, start, start + len(words), 1.0) for at, start in places if start >= 0]


class MoodyScorer(FakeScorer):
    """Probabilities by dice, or nonsense, or an exception."""

    def __init__(self, seed: int) -> None:
        say = moody_number(seed)

        def value(*_: Any) -> Any:
            given = say()
            return math.log(given) if given is not None and 0 < given < 1 else given

        super().__init__(value)


class MoodyEmbedding(HashEmbedding):
    """Vectors, none, or an exception."""

    def embed(self, texts: Sequence[str]) -> Any:
        mood = self.seed % 4
        if mood == 1:
            raise ConnectionError("the embedder hung up")
        vectors = super().embed(texts)
        return vectors * float("nan") if mood == 2 else vectors[:1] if mood == 3 else vectors


class Unlike:
    """An embedder that remembers its texts; no two vectors are alike."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str]) -> Any:
        import numpy as np

        self.texts += texts
        return np.eye(len(texts))
