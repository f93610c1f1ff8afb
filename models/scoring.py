"""Exact scoring: the log-probability that a model gives to a continuation, token by token.

    >>> scorer = load_scorer("bundled:smollm2")  # doctest: +SKIP
    >>> scorer.score("The capital of France is", " Paris").total  # doctest: +SKIP
    -0.26

Speculative RAG ranks drafts by it (Wang et al., 2024, https://arxiv.org/abs/2407.08223), Self-RAG segments (Asai et
al., 2023, https://arxiv.org/abs/2310.11511). All values are natural logarithms and stay so: the probability of a long
text is zero in floating point. Local models are scored in transformers. A back end that gives no log-probabilities of
a given text (llama.cpp's server, hosted chat models) is refused, and `supports_scoring` says so beforehand.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ..errors import RagloomError, UsageError
from .registry import bundled_model
from .specs import TRAINED_ROLES, ModelSpec, parse_spec
from .trunk import Dtype
from .weights import Progress

__all__ = ("Scored", "Scorer", "TokenScore", "load_scorer", "supports_scoring")

_LOCAL = ("bundled", "gguf", "hf", "drafter", "reflective")
_NOT_CAUSAL = tuple(role for role in TRAINED_ROLES if role not in _LOCAL)
_CAN = "local models can, in transformers: bundled:smollm2, gguf:PATH, hf:PATH, drafter:PATH, reflective:PATH"


@dataclass(frozen=True, slots=True)
class TokenScore:
    """One token of a continuation."""

    id: int
    start: int
    """Where its characters are in the continuation; negative for a token that begins in the prompt."""
    end: int
    logprob: float
    """Natural logarithm of its probability after everything before it."""


@dataclass(frozen=True, slots=True)
class Scored:
    """What a model gives to a continuation after a prompt."""

    tokens: tuple[TokenScore, ...]

    @property
    def total(self) -> float:
        """The log-probability of the whole continuation; 0 for an empty one."""
        return sum(token.logprob for token in self.tokens)

    @property
    def mean(self) -> float:
        """Per token; 0 for an empty continuation."""
        return self.total / len(self.tokens) if self.tokens else 0.0

    @property
    def straddles(self) -> int:
        """Characters of the prompt that the first token reaches back over; 0 where a token ends with the prompt.

        Such a token counts whole, as a part of the continuation: the model knows no other probability for it.
        """
        return max(0, -self.tokens[0].start) if self.tokens else 0


@runtime_checkable
class Scorer(Protocol):
    """Scores given texts. Laws, up to rounding:

    - `score_many(pairs)[i] == score(*pairs[i])`;
    - where `p` is not empty, a token ends with `p` and another with `p + a`, `score(p, a + b).total` is
      `score(p, a).total + score(p + a, b).total`;
    - every character of a continuation that the tokenizer keeps lies in one of its tokens.

    Prompt and continuation are tokenised as one text, in which markers such as `<|im_end|>` count as markers. Raises
    `UsageError` for a text that is longer than the model's window.
    """

    @property
    def name(self) -> str:
        """The model, by its spec."""

    def score(self, prompt: str, continuation: str) -> Scored:
        """Log-probabilities of the continuation's tokens after the prompt."""

    def score_many(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """Of many pairs of prompt and continuation, in batches."""

    def score_messages(self, messages: Sequence[Any], continuation: str) -> Scored:
        """Of what the assistant would say next; the model's chat template makes the prompt.

        `messages` are OpenAI's, `{"role": ..., "content": ...}`, or LangChain's.
        """

    async def ascore(self, prompt: str, continuation: str) -> Scored:
        """`score`, without blocking the event loop."""

    async def ascore_many(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """`score_many`, without blocking the event loop."""

    async def ascore_messages(self, messages: Sequence[Any], continuation: str) -> Scored:
        """`score_messages`, without blocking the event loop."""


def load_scorer(
    model: object, *, device: str | None = None, dtype: Dtype = "float32", progress: Progress | None = None
) -> Scorer:
    """The scorer that `model` names: `bundled:smollm2`, `gguf:PATH`, `hf:PATH`, `drafter:PATH`, or is already.

    The weights are loaded with the first score, once per process. Raises `UsageError` for a model that cannot score,
    naming what can, and what `load_causal_model` raises.
    """
    if isinstance(model, Scorer):
        return model
    reason = _reason(model)
    if reason:
        raise UsageError(reason, hint=_CAN)
    from .scoring_transformers import TransformersScorer

    return TransformersScorer(str(model), device=device, dtype=dtype, progress=progress)


def supports_scoring(model: object) -> bool:
    """Whether `load_scorer(model)` finds a back end; loads nothing. `model` is a spec, a chat model or a scorer."""
    try:
        return isinstance(model, Scorer) or not _reason(model)
    except RagloomError:
        return False


def _reason(model: object) -> str:
    """Why a model cannot score; empty when it can."""
    if isinstance(model, str):
        spec = parse_spec(model)
        return _reason_of_spec(spec)
    while hasattr(model, "bound"):  # llm.bind(...) and the like
        model = model.bound
    file = getattr(model, "model_file", None)
    if isinstance(file, Path):
        return (
            f"the server of {file.name} gives log-probabilities of what it generates, not of a given text "
            f"(load_scorer('gguf:{file}') scores the same weights)"
        )
    name = getattr(model, "model_name", None) or getattr(model, "model", None) or type(model).__name__
    return f"the chat model {name!r} gives no log-probabilities of a given text"


def _reason_of_spec(spec: ModelSpec) -> str:
    role = bundled_model(spec.name).role if spec.provider == "bundled" else ""
    if role not in ("", "chat") or spec.provider in ("st", *_NOT_CAUSAL):
        return f"{str(spec)!r} is no causal language model"
    if spec.provider not in _LOCAL:
        return f"{str(spec)!r} is hosted and gives no log-probabilities of a given text"
    if spec.provider != "hf" and importlib.util.find_spec("gguf") is None:
        return f"to score {str(spec)!r} the library gguf is needed: pip install 'ragloom[finetune]'"
    return ""
