"""The critics that Self-RAG asks, as protocols, and what an option means.

`RetrievalNeedCritic` and `UtilityCritic` of `ragloom.models` satisfy them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from ...models import Scorer, load_evaluator, load_retrieval_need_critic, load_utility_critic, parse_spec
from ...models.evaluator import RetrievalEvaluator
from ...models.specs import Role
from ..common.lazy import Lazy
from ..common.lazy_scorer import lazy_scorer

__all__ = ("NeedCritic", "UsefulnessCritic", "evaluator_of", "need_of", "scorer_of", "usefulness_of")

T = TypeVar("T")


class NeedCritic(Protocol):
    """Whether a question needs anything looked up (Self-RAG's Retrieve)."""

    def probability(self, question: str) -> float:
        """How probably, 0 to 1."""
        ...


class UsefulnessCritic(Protocol):
    """How useful an answer is (Self-RAG's IsUse)."""

    def expected_of(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """The mean grade, 1 to 5, of each (question, answer)."""
        ...


def need_of(given: NeedCritic | str | None) -> Lazy[NeedCritic] | bool:
    """The critic; else whether to retrieve at all."""
    if given is None or given in ("always", "never"):
        return given != "never"
    return _part(given, "retrieve", load_retrieval_need_critic)


def evaluator_of(given: RetrievalEvaluator | str | None) -> Lazy[RetrievalEvaluator] | None:
    """What judges relevance (IsRel)."""
    return None if given is None else _part(given, "evaluator", load_evaluator)


def usefulness_of(given: UsefulnessCritic | str | None) -> Lazy[UsefulnessCritic] | None:
    """What judges usefulness (IsUse)."""
    return None if given is None else _part(given, "utility", load_utility_critic)


def scorer_of(given: Scorer | str | None) -> Lazy[Scorer] | None:
    """What tells how probably the model writes a segment."""
    return None if given is None else lazy_scorer(given, wanted_by="self-rag")


def _part(given: T | str, role: Role, load: Callable[[str], T]) -> Lazy[T]:
    if not isinstance(given, str):
        return Lazy.of(given)
    parse_spec(given, role=role)  # an unknown name is refused now, not with the first question
    return Lazy(lambda: load(given))
