"""Nodes of adaptive RAG. The multi-step branch is `multi_hop`'s own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage

from ...errors import RagloomError
from ...models import Scorer
from ...sentences import sentence_spans
from ...types import Step
from ..closed.nodes import ClosedBookNodes
from ..common.asking import ask, failure_of
from ..common.citing import withheld
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.lazy_scorer import mean_logprob
from ..common.prompting import render_prompt
from ..common.saying import declines, unmarked
from ..multi_hop.nodes import MultiHopNodes
from .routing import NO_ROUTER, Decide, Way, choose, shares_of
from .state import AdaptiveState

__all__ = ("AdaptiveNodes",)


@dataclass(frozen=True, kw_only=True)
class AdaptiveNodes(MultiHopNodes):
    """The nodes, with what they work with."""

    router_name: str
    decide: Lazy[Decide]
    labels: Mapping[str, Way]
    retrieve_above: float | None
    multi_above: float | None
    scorer: Lazy[Scorer] | None
    """Set where the model's own certainty decides."""
    certain_above: float
    closed: ClosedBookNodes

    # -- bodies -------------------------------------------------------------------------------------------------------

    def route(self, state: AdaptiveState, step: Step) -> Doing[dict[str, Any]]:
        """Chooses the way. What is not known goes the middle one: one step."""
        if self.scorer is not None:
            return (yield from self._by_certainty(state, step, self.scorer))
        decide = yield Compute(self.decide)
        way: Way = "single"
        try:
            given = yield Compute(decide, state["asked"])
            shares, unknown = shares_of(given, self.labels)
        except RagloomError:
            raise
        except Exception as error:
            shares, unknown = None, f"the router failed: {failure_of(error)}"
        if shares:
            way = choose(shares, retrieve_above=self.retrieve_above, multi_above=self.multi_above)
            step["scores"] = {name: round(value, 4) for name, value in shares.items()}
        step["decision"] = way
        by = self.router_name if self.router_name == NO_ROUTER else f"by {self.router_name}"
        step["reason"] = f"unknown: {unknown}" if unknown else by
        return {"way": way, "own_answer": ""}

    def alone(self, state: AdaptiveState, step: Step) -> Doing[dict[str, Any]]:
        """The model's own answer, unchecked and uncited; where it has none, one step of retrieval follows."""
        if state["own_answer"]:
            return (yield from self._own(state, state["own_answer"], step))
        update = yield from self.closed.answer(state, step)
        if not update["abstained"]:
            return update
        step["reason"] += "; the passages are asked"
        return {"way": "single", "usage": update["usage"]}

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_route(self, state: AdaptiveState) -> Literal["alone", "retrieve"]:
        """Without retrieval, or with."""
        return "alone" if state["way"] == "none" else "retrieve"

    def after_alone(self, state: AdaptiveState) -> Literal["end", "retrieve"]:
        """The end, where the model had an answer."""
        return "end" if state["way"] == "none" else "retrieve"

    def after_retrieval(self, state: AdaptiveState) -> Literal["gather", "read"]:
        """Several steps begin with the same retrieval as one step."""
        return "gather" if state["way"] == "multi" else "read"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _by_certainty(self, state: AdaptiveState, step: Step, scorer: Lazy[Scorer]) -> Doing[dict[str, Any]]:
        """Asks the model without documents; keeps its answer where the mean log-probability of its tokens is high."""
        purse = self.purse(state)
        messages = render_prompt(CLOSED_BOOK, self.closed.prompt, question=state["asked"])
        said = yield from ask(self.parts.llm, purse, messages, max_tokens=self.closed.max_answer_tokens)
        answer = " ".join(unmarked(said.text).split())
        mean, unknown = None, said.failed
        if not unknown and (not answer or declines(answer)):
            unknown = "the model does not know"
        if not unknown:
            mean, unknown = yield from mean_logprob(scorer, messages, answer)
        certain = mean is not None and mean >= self.certain_above
        step["decision"] = "none" if certain else "single"
        told = f"mean log-probability {mean or 0.0:.3f}, certain from {self.certain_above:.3f} on"
        step["reason"] = f"unknown: {unknown}" if unknown else told
        return {"way": step["decision"], "own_answer": answer if certain else "", "usage": purse.usage}

    def _own(self, state: AdaptiveState, answer: str, step: Step) -> Doing[dict[str, Any]]:
        step["reason"] = "from the model's own knowledge, of which it is certain; nothing was checked"
        draft = [{"text": answer[start:end], "citations": []} for start, end in sentence_spans(answer)]
        said = yield from self.spoken(state, draft, [], step, uncited=True)
        if said.get("withheld") and not said["draft"]:
            return withheld(step, f"the guard blocks the answer: {said['withheld']}")
        answer = said.get("passed") or answer
        step["decision"] = f"{len(said['draft'])} sentences"
        message = AIMessage(answer, additional_kwargs={"citations": [], "abstained": False})
        return {"answer": answer, "abstained": False, "messages": [message]}


CLOSED_BOOK = ClosedBookNodes.__module__.rpartition(".")[0]
"""The package of the closed book's prompts."""
