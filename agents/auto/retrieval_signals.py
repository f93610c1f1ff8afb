"""Signals of retrieval: how good the passages look, and whether two ways of searching agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever

from ...errors import UsageError
from ...graphs.common.effects import Search
from ...graphs.common.lazy import Lazy
from ...models import load_evaluator, parse_spec
from ...models.evaluator import RetrievalEvaluator
from ...models.pair_text import graded_text
from .signals import CheapRun

__all__ = ("Disagreement", "WeakRetrieval", "average_overlap")

GRADING_NODES = ("evaluate", "gate")
"""Steps whose scores are an evaluator's grades: of `corrective_rag` and `fusion_rag`."""


class WeakRetrieval:
    """1 minus the best grade of the passages, so that `Rule("corrective", {"weak_retrieval": 1 - evaluator.upper})`
    asks what the gate of `fusion_rag` asks. 1 where there is no passage.

    Args:
        evaluator: grades the passages that the cheap path read: a `RetrievalEvaluator`, or the spec of one, loaded with
            the first question. None: the cheap path graded them itself, and its steps tell (`corrective_rag`,
            `fusion_rag`); of any other the score is unknown.
        name: what rules call it.

    Raises `UsageError` for a spec that is none.
    """

    def __init__(
        self, evaluator: RetrievalEvaluator | str | None = "evaluator:bundled", *, name: str = "weak_retrieval"
    ) -> None:
        self.name = name
        self._evaluator: Lazy[RetrievalEvaluator] | None = None
        if isinstance(evaluator, str):
            parse_spec(evaluator, role="evaluator")  # an unknown name is refused now, not with the first question
            spec = evaluator
            self._evaluator = Lazy(lambda: load_evaluator(spec))
        elif evaluator is not None:
            self._evaluator = Lazy.of(evaluator)

    def __call__(self, run: CheapRun) -> float | None:
        """The score."""
        documents = run.outcome["documents"]
        if not documents:
            return 1.0
        if self._evaluator is None:
            graded = [step for step in run.outcome["steps"] if step.get("node") in GRADING_NODES and step.get("scores")]
            grades = list(graded[-1]["scores"].values()) if graded else []
        else:
            texts = [graded_text(each.page_content, each.metadata) for each in documents]
            given = self._evaluator().grade(run.question, texts)
            grades = [grade for grade in given if grade is not None and 0 <= grade <= 1]
        return 1.0 - max(grades) if grades else None


class Disagreement:
    """1 minus the average overlap of the lexical and the dense ranking of the question. Where they share nothing, one
    of them at least is wrong.

    Args:
        retriever: one of a knowledge base. Its tenant, filters and collection hold for both searches.
        depth: how deep the rankings are compared.
        name: what rules call it.

    Raises `UsageError` for a retriever that has one way of searching only.
    """

    def __init__(self, retriever: BaseRetriever, *, depth: int = 10, name: str = "disagreement") -> None:
        if not hasattr(retriever, "with_mode"):
            hint = "use the retriever of a knowledge base"
            raise UsageError(f"a {type(retriever).__name__} has one ranking only", hint=hint)
        ways: Any = retriever
        self.name, self.depth = name, depth
        self._lexical, self._dense = ways.with_mode("bm25", depth), ways.with_mode("dense", depth)

    def __call__(self, run: CheapRun) -> float:
        """The score."""
        lexical, dense = (
            [str(each.id) for each in Search(retriever, run.question).run()]
            for retriever in (self._lexical, self._dense)
        )
        return 1.0 - average_overlap(lexical, dense, depth=self.depth)


def average_overlap(left: Sequence[str], right: Sequence[str], *, depth: int) -> float:
    """How much two rankings agree, 0 to 1: the mean, over the depths 1 to `depth`, of the share of the first items that
    both have. The tops count most. 1 only for equal rankings; 0 where they share nothing, or are empty.

    Source: Fagin, Kumar and Sivakumar, "Comparing top k lists", SODA 2003. Where both rankings are shorter than
    `depth`, the longer one's length counts.

    >>> average_overlap(["a", "b"], ["b", "a"], depth=10)
    0.5
    """
    deepest = min(depth, max(len(left), len(right)))
    shares = [len(set(left[:at]) & set(right[:at])) / at for at in range(1, deepest + 1)]
    return sum(shares) / deepest if deepest else 0.0
