"""Nodes of task routing."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer
from langgraph.pregel import Pregel

from ...graphs.common.effects import Body, Doing, node
from ...graphs.common.guarded import quieted
from ...graphs.common.nodes import UNSEEN
from ...graphs.common.purse import Purse
from ...guarding import Guard
from ...types import Budget, Step
from ..sources.answer import answer_of_strategy
from ..sources.asking import AskGraph, GraphReply
from ..sources.passing import own_update
from ..sources.route import NONE, valid_route
from ..sources.router import BudgetedRouter, SourceRouter, routed
from ..sources.screening import screened_answer
from ..sources.source import Source
from .replies import OUT_OF_SCOPE, small_talk_reply
from .state import TaskState
from .task import TASKS, Task

__all__ = ("FALLBACK", "TaskNodes")

FALLBACK: Task = "fact"
"""Of what is not known, and of tasks that have no path."""


@dataclass(frozen=True, kw_only=True)
class TaskNodes:
    """The nodes, with what they work with."""

    paths: Mapping[Task, Source]
    """The strategies that serve tasks. Small talk and what is out of scope need none."""
    classifier: SourceRouter | BudgetedRouter
    budget: Budget
    guard: Guard | None = None
    foreign: Collection[str] = ()
    """Tasks whose paths are not under this guard themselves."""

    @property
    def tasks(self) -> list[Task]:
        """Those that are served, in the order of the closed set."""
        return [task for task in TASKS if task in self.paths or task in ("small_talk", "out_of_scope")]

    def node(self, task: Task) -> Any:
        """The node of a task; what a strategy did inside it stands behind it in `steps`."""
        if task not in self.paths:
            return node(task, self.small_talk if task == "small_talk" else self.out_of_scope)

        def with_inner_steps(update: dict[str, Any]) -> dict[str, Any]:
            inner = update.pop("inner_steps")
            return {**update, "steps": [*update["steps"], *inner]}

        return self._node(task, partial(self.path, task)) | RunnableLambda(with_inner_steps)

    def classifying(self) -> Any:
        """The node `classify`."""
        return self._node("classify", self.classify)

    def _node(self, name: str, body: Body) -> Any:
        return node(name, body if self.guard is None else quieted(body))

    # -- bodies -------------------------------------------------------------------------------------------------------

    def classify(self, state: TaskState, step: Step) -> Doing[dict[str, Any]]:
        """Chooses the task. What is not known, or has no path here, is a fact to be looked up."""
        purse = Purse(self.budget, state)
        route = valid_route((yield from routed(self.classifier, state["asked"], purse)), TASKS)
        named: list[Any] = [name for name in route.names if name != NONE]
        task: Task = next((each for each in named if each in self.tasks), FALLBACK)
        told = UNSEEN if self.guard and isinstance(self.classifier, BudgetedRouter) else route.failed or route.reason
        reasons = [f"by {route.by or type(self.classifier).__name__}", told]
        if not named:
            reasons.append(f"unknown, so {FALLBACK}")
        elif task != named[0]:
            reasons.append(f"there is no path for {named[0]}")
        step["decision"], step["reason"] = task, "; ".join(filter(None, reasons))
        step["scores"] = {name: round(score, 4) for name, score in route.scores.items()}
        return {"task": task, "usage": purse.usage}

    def path(self, task: Task, state: TaskState, step: Step) -> Doing[dict[str, Any]]:
        """Runs the strategy of the task with what is left of the budget, and passes its answer through."""
        left, source = self._left(state), self.paths[task]
        if isinstance(source.answers, Pregel) and (refused := Purse(self.budget, state).refusal()):
            step["decision"], step["reason"] = "not asked", refused  # it would spend a budget of its own
            return {**_said(f"Nothing was asked: {refused}.", abstained=True), "inner_steps": []}
        write = get_stream_writer()
        guard = self.guard if task in self.foreign else None
        reply: GraphReply = yield AskGraph(lambda: source.graph(left), state["asked"], None if guard else write)
        given = answer_of_strategy(reply.result, [task], owner=None, streamed=reply.streamed)
        given = yield from screened_answer(guard, state["asked"], given, step)
        own = given["own"]
        assert own is not None  # only passages would have none
        step["decision"] = "abstains" if own["abstained"] else "answers"
        step["reason"] = f"with {len(given['documents'])} passages and {len(own['citations'])} citations"
        update: dict[str, Any] = {"inner_steps": given["steps"], "usage": given["usage"], "hops": 1}
        if task == "table" and own["abstained"] and not own["error"] and self._affords(state, given["usage"]["calls"]):
            step["reason"] += f"; the documents are asked instead, as {FALLBACK}"
            return {**update, "task": FALLBACK}
        shown = own_update(own, given["documents"], write)
        # What the strategy's message tells beside its text (what was offered to choose from) stays with it.
        told = {} if guard else getattr((reply.result.get("messages") or [None])[-1], "additional_kwargs", {})
        shown["messages"][-1].additional_kwargs = {**told, **shown["messages"][-1].additional_kwargs}
        return {**update, **shown}

    def small_talk(self, state: TaskState, step: Step) -> Doing[dict[str, Any]]:
        """One of a few fixed replies: no model is asked, and nothing is said about the documents."""
        yield from ()
        step["decision"], step["reason"] = "a fixed reply", "nothing was looked up"
        reply = small_talk_reply(state["asked"])
        get_stream_writer()({"type": "sentence", "text": reply, "citations": []})
        return _said(reply, abstained=False)

    def out_of_scope(self, state: TaskState, step: Step) -> Doing[dict[str, Any]]:
        """Says that it is."""
        yield from ()
        step["decision"], step["reason"] = "abstain", "it is out of scope"
        return _said(OUT_OF_SCOPE, abstained=True)

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_classification(self, state: TaskState) -> Task:
        """The node of the task."""
        return state["task"]

    def after_table(self, state: TaskState) -> Literal["fact", "end"]:
        """The documents, where the tables hold no answer."""
        return "fact" if state["task"] == FALLBACK else "end"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _left(self, state: TaskState) -> Budget:
        purse = Purse(self.budget, state)
        return Budget(
            llm_calls=max(0, purse.calls),
            tokens=max(0, purse.tokens),
            seconds=max(0.0, purse.seconds),
            hops=max(0, purse.hops),
        )

    def _affords(self, state: TaskState, calls: int) -> bool:
        """Whether there is a call and a round of retrieval left after these calls."""
        purse = Purse(self.budget, state)
        return purse.calls > calls and purse.hops > 1


def _said(answer: str, *, abstained: bool) -> dict[str, Any]:
    message = AIMessage(answer, additional_kwargs={"citations": [], "abstained": abstained})
    return {"answer": answer, "abstained": abstained, "messages": [message]}
