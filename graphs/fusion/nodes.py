"""Nodes of RAG-Fusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...models.evaluator import RetrievalEvaluator
from ...models.pair_text import graded_text
from ...types import Step
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.nodes import CommonNodes
from ..common.transforming import QueryTransform
from .state import FusionState, Way

__all__ = ("FusionNodes", "Gate")

Gate = Literal["weak", "always"]


@dataclass(frozen=True, kw_only=True)
class FusionNodes(CommonNodes):
    """The nodes, with what they work with."""

    rewriter: QueryTransform
    when: Gate
    evaluator: Lazy[RetrievalEvaluator]
    weak: float | None
    """Below which best grade the first pass is weak; None: below the evaluator's `upper`."""
    original_weight: float
    drift_weight: float

    # -- bodies -------------------------------------------------------------------------------------------------------

    def gate(self, state: FusionState, step: Step) -> Doing[dict[str, Any]]:
        """Whether the first pass will do, or rewrites are worth their call and their round."""
        purse = self.purse(state)
        way: Way = "rewrite"
        if purse.hops < 1:
            way, step["reason"] = "read", f"the budget of {purse.budget.hops} rounds of retrieval is spent"
        elif refused := purse.refusal(keep_calls=1):
            way, step["reason"] = "read", refused
        elif self.when == "always":
            step["reason"] = "rewrites are made for every question"
        elif not (yield from self._is_weak(state, step)):
            way = "read"
        step["decision"] = way
        return {"way": way, "rewrites": []}

    def rewrite(self, state: FusionState, step: Step) -> Doing[dict[str, Any]]:
        """Asks for the question in other words. The question itself stays what it is."""
        purse = self.purse(state)
        made = yield from self.rewriter.rewrite(state["asked"], self.parts.llm, purse)
        step["decision"] = f"{len(made.queries)} queries" if made.queries else "read the first pass"
        step["reason"] = made.failed or f"by {self.rewriter.name}"
        step["details"] = self.unscreened(queries=made.queries)
        return {"rewrites": made.queries, "usage": purse.usage}

    def fuse(self, state: FusionState, step: Step) -> Doing[dict[str, Any]]:
        """Searches for the question and all rewrites, and fuses what each found."""
        queries = [*state["search_queries"], *state["rewrites"]]
        documents = yield from self.searching(
            self.parts.retriever,
            queries,
            state["hypotheses"],
            step,
            original_weight=self.original_weight,
            drift_weight=self.drift_weight,
        )
        return {"documents": documents, "search_queries": queries, "hops": 1}

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_gate(self, state: FusionState) -> Way:
        """As the gate said."""
        return state["way"]

    def after_rewrite(self, state: FusionState) -> Literal["fuse", "read"]:
        """Without a rewrite, a second search would find what the first did."""
        return "fuse" if state["rewrites"] else "read"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _is_weak(self, state: FusionState, step: Step) -> Doing[bool]:
        """Whether no passage has a good grade. What is not known counts as weak: it costs a call, not an answer."""
        documents = state["documents"]
        if not documents:
            step["reason"] = "the first pass found nothing"
            return True
        evaluator = yield Compute(self.evaluator)
        enough = evaluator.upper if self.weak is None else self.weak
        try:
            texts = [graded_text(each.page_content, each.metadata) for each in documents]
            given = yield Compute(evaluator.grade, state["asked"], texts)
            grades = _known(given, len(documents))
        except Exception as error:
            step["reason"] = f"unknown counts as weak: the evaluator failed: {type(error).__name__}: {error}"
            return True
        step["scores"] = {str(documents[at].id): round(grade, 4) for at, grade in grades.items()}
        best = max(grades.values(), default=None)
        if best is None:
            step["reason"] = "unknown counts as weak: no passage was graded"
            return True
        is_weak = best < enough
        unknown = f"; {len(documents) - len(grades)} have none" if len(grades) < len(documents) else ""
        words = f"the first pass looks {'weak' if is_weak else 'good enough'}"
        step["reason"] = f"{words}: the best grade is {best:.2f}, enough is {enough:.2f}{unknown}"
        return is_weak


def _known(given: Sequence[Any], passages: int) -> dict[int, float]:
    """The grades that are probabilities, by passage. `ValueError` where there is not one for each."""
    if len(given) != passages:
        raise ValueError(f"{len(given)} grades for {passages} passages")
    return {at: float(grade) for at, grade in enumerate(given) if grade is not None and 0 <= float(grade) <= 1}
