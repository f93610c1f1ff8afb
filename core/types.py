"""Values that every strategy takes and gives: budget, citations, steps, usage.

They are plain typed dictionaries where they live in graph state (checkpointers must store them), and a frozen
dataclass where they are settings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

__all__ = ("Budget", "Citation", "Step", "Usage", "add_usage")


@dataclass(frozen=True, slots=True)
class Budget:
    """What one answer may cost at most. A strategy ends with its best answer so far when any part is spent."""

    llm_calls: int = 8
    """Calls of a language model."""
    tokens: int = 16_000
    """Tokens of all prompts and answers together."""
    seconds: float = 120.0
    """Wall-clock time."""
    hops: int = 4
    """Rounds of retrieval."""


class Citation(TypedDict):
    """A sentence of the answer and the passage that supports it."""

    sentence: str
    """The answer's sentence, as shown."""
    id: str
    """Id of the passage (chunk)."""
    source: str
    page: int
    quote: str
    """The supporting words of the passage, verbatim; empty where a guard hides them."""
    score: float
    """How much of the sentence the quote supports, 0 to 1, by the critic in use."""


class Step(TypedDict):
    """What one node did, and why."""

    node: str
    decision: str
    reason: str
    ms: float
    scores: NotRequired[dict[str, float]]
    details: NotRequired[dict[str, Any]]


class Usage(TypedDict):
    """What an answer cost."""

    calls: int
    tokens_in: int
    tokens_out: int
    seconds: float


def add_usage(left: Usage | None, right: Usage | None) -> Usage:
    """Sums two usages: the reducer of the state key `usage`."""
    a = left or Usage(calls=0, tokens_in=0, tokens_out=0, seconds=0.0)
    b = right or Usage(calls=0, tokens_in=0, tokens_out=0, seconds=0.0)
    return Usage(
        calls=a["calls"] + b["calls"],
        tokens_in=a["tokens_in"] + b["tokens_in"],
        tokens_out=a["tokens_out"] + b["tokens_out"],
        seconds=a["seconds"] + b["seconds"],
    )
