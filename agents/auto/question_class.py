"""The class of the question as a signal: how probably it needs several steps."""

from __future__ import annotations

from collections.abc import Mapping

from ...graphs.adaptive.routing import LABELS, Decide, Routes, Way, decider, shares_of
from .signals import CheapRun

__all__ = ("QuestionClass",)


class QuestionClass:
    """The probability that a question is of a class: that it needs no retrieval, one step, or several.

    Idea: Jeong et al., 2024, "Adaptive-RAG", https://arxiv.org/abs/2403.14403. There the class alone decides; here it
    is one sign beside others, after a first answer.

    Args:
        router: the spec of one (`router:PATH`), a `Router`, or a function from the question to probabilities by label:
            what `adaptive_rag` takes.
        way: the class: `none`, `single` or `multi`.
        labels: what the router's labels mean; `no_retrieval`, `single_hop`, `multi_hop` and the ways' own names are
            known.
        name: what rules call it; by default `class_multi`, and so on.

    Unknown where the router abstains, fails, or says something else. Raises `UsageError` for what is no router.

    Example:
        >>> signal = QuestionClass(lambda question: {"single": 0.2, "multi": 0.8})
        >>> signal.name
        'class_multi'
    """

    def __init__(
        self,
        router: str | Routes | Decide,
        *,
        way: Way = "multi",
        labels: Mapping[str, Way] | None = None,
        name: str | None = None,
    ) -> None:
        self.name, self.way = name or f"class_{way}", way
        self._labels = {**LABELS, **(labels or {})}
        _, self._decide = decider(router, self._labels, mix=(1.0, 1.0, 1.0), seed=0)

    def __call__(self, run: CheapRun) -> float | None:
        """The score."""
        shares, _ = shares_of(self._decide()(run.question), self._labels)
        return shares[self.way] if shares else None
