"""State of Speculative RAG."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, TypedDict

from langchain_core.documents import Document

from ..common.state import StrategyState

__all__ = ("DraftState", "DraftTask", "Plan", "SpeculativeState", "by_index", "is_usable")


class Plan(TypedDict):
    """A subset that is going to be drafted from, and what that may cost."""

    index: int
    passages: list[int]
    """Ranks of its passages as retrieved, ascending: one of each cluster, less those that do not fit."""
    tokens: int
    """Of its prompt and its answer together."""


class DraftTask(TypedDict):
    """What one `draft` node is sent."""

    asked: str
    plan: Plan
    documents: list[Document]
    """The passages of the subset."""
    seconds: float
    """What is left of the run's time."""


class DraftState(TypedDict):
    """One draft, and what was found out about it. All logarithms are natural ones."""

    index: int
    ids: list[str]
    """Ids of the passages that it was made from."""
    rationale: str
    answer: str
    cited: list[int]
    """Numbers of the passages that it quotes, from 1, within its subset."""
    abstained: bool
    """The drafter says that its passages do not hold the answer."""
    failed: str
    """Why there is no draft."""
    log_draft: float | None
    """log of P(rationale) + P(answer) by the drafter; None where unknown."""
    log_consistency: float | None
    """log of P(answer, rationale | question) by the verifier."""
    log_reflection: float | None
    """log of P(yes) to whether the rationale supports the answer, by the verifier."""
    log_rho: float | None
    """The sum of the three, or of those that any draft has."""
    approx: float | None
    """0 to 1: what the language model said of it where there is no verifier. Not the paper's score."""
    chosen: bool


def by_index(left: Sequence[DraftState] | None, right: Sequence[DraftState] | None) -> list[DraftState]:
    """Both, in the order of their index, whichever came first; the right one where both have it. A reducer."""
    merged = {draft["index"]: draft for draft in (*(left or ()), *(right or ()))}
    return [merged[index] for index in sorted(merged)]


def is_usable(draft: DraftState) -> bool:
    """Whether it has an answer."""
    return not draft["failed"] and not draft["abstained"]


class SpeculativeState(StrategyState, total=False):
    """The common state, and the drafts."""

    clusters: list[list[int]]
    """Ranks of passages that say the like; the cluster of the best passage first."""
    plans: list[Plan]
    drafts: Annotated[list[DraftState], by_index]
    scored_by: str
    """What the order of the drafts stands on: `rho`, `partial rho`, `approx`, `vote`, `random` or `first`."""
