"""Nodes of strategy routing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer

from ...graphs.common.effects import Compute, Doing, node
from ...graphs.common.purse import Purse
from ...types import Budget, Step
from .choosing import stands
from .outcome import Outcome, sentence_events, support_of
from .signals import CheapRun
from .state import AutoState
from .strategy import CHEAP, RunStrategy, built
from .weakness import Measured, Weakness

__all__ = ("AutoNodes",)


@dataclass(frozen=True, kw_only=True)
class AutoNodes:
    """The nodes, with what they work with."""

    first: Any
    """The cheap strategy, compiled."""
    expensive: Mapping[str, Any]
    weakness: Weakness
    budget: Budget
    support_margin: float

    def node(self, name: str) -> Any:
        """The node of the body `name`."""
        return node(name, getattr(self, name))

    def running(self, name: str) -> Any:
        """The node of a body that runs a strategy: what that did stands behind it in `steps`, as `PATH/NODE`."""

        def with_inner_steps(update: dict[str, Any]) -> dict[str, Any]:
            outcome: Outcome = update["other"] or update["cheap"]
            inner = [{**step, "node": f"{outcome['path']}/{step['node']}"} for step in outcome["steps"]]
            return {**update, "steps": [*update["steps"], *inner]}

        return self.node(name) | RunnableLambda(with_inner_steps)

    # -- bodies -------------------------------------------------------------------------------------------------------

    def run_cheap(self, state: AutoState, step: Step) -> Doing[dict[str, Any]]:
        """Runs the cheap strategy. What it says is kept back: it may be replaced."""
        outcome: Outcome = yield RunStrategy(CHEAP, lambda: self.first, state["asked"], None)
        _tell(step, outcome)
        # What an earlier turn of the thread left is forgotten.
        return {"cheap": outcome, "other": None, "chosen": "", "usage": outcome["usage"], "hops": outcome["hops"]}

    def decide(self, state: AutoState, step: Step) -> Doing[dict[str, Any]]:
        """Measures the weakness of the answer, and chooses the expensive strategy that it calls for, if any."""
        purse = Purse(self.budget, state)
        run = CheapRun(state["asked"], state["cheap"], self.budget, _left(purse))
        measured: Measured = yield Compute(self.weakness.measure, run)
        rule = self.weakness.decide(measured.scores)
        refused = _refusal(purse)
        step["decision"] = rule.to if rule and not refused else "keep the cheap answer"
        reasons = [rule.told(measured.scores)] if rule else []
        if rule and refused:
            reasons.append(f"{rule.to} is called for, but {refused}")
        elif not rule:
            missed = "; ".join(f"{each.to}: {each.told(measured.scores)}" for each in self.weakness.rules)
            reasons.append(f"no rule holds ({missed})" if missed else "there is no rule")
        reasons += [f"{name} is unknown: {why}" for name, why in measured.unknown.items()]
        step["reason"] = "; ".join(reasons)
        step["scores"] = {name: round(score, 4) for name, score in measured.scores.items()}
        return {"chosen": rule.to if rule and not refused else ""}

    def run_expensive(self, state: AutoState, step: Step) -> Doing[dict[str, Any]]:
        """Runs the expensive strategy, with what is left. What it says goes out at once where the cheap path has no
        answer that could stay instead; else it is kept back.
        """
        name, left = state["chosen"], _left(Purse(self.budget, state))
        write = get_stream_writer() if state["cheap"]["abstained"] else None
        outcome: Outcome = yield RunStrategy(
            name, lambda: built(name, self.expensive[name], left), state["asked"], write
        )
        _tell(step, outcome)
        return {"other": outcome, "usage": outcome["usage"], "hops": outcome["hops"]}

    def keep(self, state: AutoState, step: Step) -> Doing[dict[str, Any]]:
        """The answer that stays; what was kept back of it goes out now."""
        yield from ()
        outcome, other = state["cheap"], state["other"]
        if other is None:
            step["reason"] = "nothing else ran"
        else:
            better, step["reason"] = stands(outcome, other, margin=self.support_margin)
            step["scores"] = {each["path"]: round(support_of(each), 4) for each in (outcome, other)}
            outcome = other if better else outcome
        step["decision"] = f"{'the abstention' if outcome['abstained'] else 'the answer'} of {outcome['path']}"
        if not (outcome["abstained"] or outcome["streamed"]):
            write = get_stream_writer()
            for event in sentence_events(outcome):
                write(event)
        told = {"citations": outcome["citations"], "abstained": outcome["abstained"]}
        return {
            "answer": outcome["answer"],
            **told,
            "documents": outcome["documents"],
            "error": outcome["error"],
            "messages": [AIMessage(outcome["answer"], additional_kwargs=told)],
        }

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_decision(self, state: AutoState) -> Literal["run_expensive", "keep"]:
        """An expensive strategy, or the end."""
        return "run_expensive" if state["chosen"] else "keep"


def _left(purse: Purse) -> Budget:
    return Budget(llm_calls=purse.calls, tokens=purse.tokens, seconds=purse.seconds, hops=purse.hops)


def _refusal(purse: Purse) -> str:
    """Why no other strategy can be begun; empty where one can."""
    if purse.hops <= 0:
        return f"the budget of {purse.budget.hops} rounds of retrieval is spent"
    return purse.refusal(tokens=1)


def _tell(step: Step, outcome: Outcome) -> None:
    if not outcome["abstained"]:
        step["decision"] = f"{outcome['path']} answers"
        step["reason"] = f"{len(outcome['citations'])} citations, support {support_of(outcome):.2f}"
    else:
        step["decision"] = f"{outcome['path']} {'fails' if outcome['error'] else 'abstains'}"
        step["reason"] = f"{len(outcome['documents'])} passages"
    if outcome["error"]:
        step["reason"] += f"; {outcome['error']}"
