"""Nodes of decomposition."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from ...errors import RagloomError
from ...types import Step
from ..common.ask_all import ask_all, pack_for
from ..common.asking import Said, ask, failure_of
from ..common.effects import Compute, Doing, Rerank, Search, Together
from ..common.mixing import round_robin
from ..common.nodes import READ_PROMPTS, CommonNodes
from ..common.packing import Packed, prompt_passages
from ..common.prompting import render_prompt
from ..common.purse import Purse
from ..common.saying import declines, unmarked
from .planning import parse_plan, ready, skip_unreachable, substituted
from .state import DecomposeState, SubQuestion

__all__ = ("DecomposeNodes",)

PLAN_TOKENS = 128
ANSWER_TOKENS = 32
LONGEST_ANSWER = 12
"""Words: what is longer is no name, number or phrase that could stand in another question."""


@dataclass(frozen=True, kw_only=True)
class DecomposeNodes(CommonNodes):
    """The nodes, with what they work with."""

    most_questions: int
    most_passages: int

    def also_asked(self, state: DecomposeState) -> list[str]:
        """What answers a sub-question, with the answers before it in their places, answers a part of the question."""
        return [each["asked"] for each in state.get("plan") or [] if each["asked"]]

    # -- bodies -------------------------------------------------------------------------------------------------------

    def plan(self, state: DecomposeState, step: Step) -> Doing[dict[str, Any]]:
        """Splits the question. What cannot be understood leaves the question as it is."""
        purse = self.purse(state)
        own = state["documents"]
        if purse.hops <= 0:
            step["decision"] = "the question itself"
            step["reason"] = f"the budget of {self.parts.budget.hops} rounds of retrieval is spent"
            return {"plan": [], "own": own}
        messages = render_prompt(__package__ or "", "plan", question=state["asked"], most=self.most_questions)
        said = yield from ask(self.parts.llm, purse, messages, max_tokens=PLAN_TOKENS)
        plan, dropped = (
            parse_plan(said.text, self.most_questions, question=state["asked"]) if not said.failed else ([], [])
        )
        if [each["text"].casefold() for each in plan] == [state["asked"].casefold()]:
            plan = []  # it has been searched for
        step["decision"] = f"{len(plan)} sub-questions" if plan else "the question itself"
        waiting = sum(bool(each["needs"]) for each in plan)
        step["reason"] = f"{waiting} wait for another's answer" if plan else said.failed or "there is no other plan"
        if dropped:
            step["reason"] += f"; {len(dropped)} dropped: off the question, or waiting for what is never answered"
        step["details"] = self.unscreened(plan=[each["text"] for each in plan], dropped=dropped)
        return {"plan": plan, "own": own, "usage": purse.usage}

    def hop(self, state: DecomposeState, step: Step) -> Doing[dict[str, Any]]:
        """Searches for every sub-question that can be asked now, and answers those that others wait for."""
        purse = self.purse(state)
        answers = {each["number"]: each["answer"] for each in state["plan"] if each["outcome"] == "answered"}
        now: list[SubQuestion] = [
            {**each, "asked": substituted(each["text"], answers)} for each in ready(state["plan"])
        ]
        troubles: list[str] = []
        found = yield from self._found([each["asked"] for each in now], troubles)
        wanted = {number for each in state["plan"] for number in each["needs"]}
        # Without a further round nothing could be done with an answer.
        asking = [each for each in now if each["number"] in wanted] if purse.hops > 1 else []
        for each, passages in zip(now, found, strict=True):
            each["passages"], each["outcome"] = passages, "searched"
        yield from self._answer(asking, purse, troubles)
        done = {each["number"]: each for each in now}
        plan = skip_unreachable([done.get(each["number"], each) for each in state["plan"]])
        if purse.hops <= 1 and any(each["outcome"] == "open" for each in plan):
            troubles.append(f"the budget of {self.parts.budget.hops} rounds of retrieval is spent")
        self._tell(step, now, plan, troubles)
        lists = [state["own"], *(each["passages"] for each in plan)]
        return {"plan": plan, "documents": round_robin(lists)[: self.most_passages], "hops": 1, "usage": purse.usage}

    # -- routes -------------------------------------------------------------------------------------------------------

    def next_hop(self, state: DecomposeState) -> Literal["hop", "read"]:
        """As long as something can be asked and the budget has a round left."""
        return "hop" if ready(state["plan"]) and self.purse(state).hops > 0 else "read"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _found(self, queries: Sequence[str], troubles: list[str]) -> Doing[list[list[Document]]]:
        """Passages for each query, all searches together. One that fails has none."""
        found = yield Together([Search(self.parts.retriever, query) for query in queries])
        lists = [_given(each, "the search", troubles, otherwise=[]) for each in found]
        if self.parts.reranker is None:
            return lists
        ranked = yield Together(
            [Rerank(self.parts.reranker, passages, query) for passages, query in zip(lists, queries, strict=True)]
        )
        return [
            _given(each, "the reranker", troubles, otherwise=before) for before, each in zip(lists, ranked, strict=True)
        ]

    def _answer(self, asking: Sequence[SubQuestion], purse: Purse, troubles: list[str]) -> Doing[None]:
        """Answers from each one's own passages. An answer that the critic does not support is not found."""
        packs = [self._packed(each, purse, len(asking)) for each in asking]
        able = [at for at, packed in enumerate(packs) if packed.taken]
        said = yield from ask_all(self.parts.llm, purse, [packs[at].messages for at in able], max_tokens=ANSWER_TOKENS)
        replies = dict(zip(able, said, strict=True))
        for at, each in enumerate(asking):
            reply = replies.get(at, Said(failed="there is no passage to read"))
            answer, trouble = _short(reply)
            if answer:
                trouble = yield from self._unsupported(answer, each["asked"], packs[at].taken)
            each["outcome"] = "not found" if trouble else "answered"
            each["answer"] = "" if trouble else answer
            if trouble:
                troubles.append(f"#{each['number']} is not found: {trouble}")

    def _packed(self, question: SubQuestion, purse: Purse, shares: int) -> Packed:
        def render(shown: list[Document]) -> list[BaseMessage]:
            passages = prompt_passages(shown)
            return render_prompt(READ_PROMPTS, "short", passages=passages, question=question["asked"])

        passages = question["passages"]
        return pack_for(self.parts.llm, purse, passages, render, max_tokens=ANSWER_TOKENS, shares=shares)

    def _tell(
        self, step: Step, now: Sequence[SubQuestion], plan: Sequence[SubQuestion], troubles: Sequence[str]
    ) -> None:
        step["decision"] = "; ".join(f"{each['outcome']}: {self.shown(each['asked'])}" for each in now)
        skipped = [each["number"] for each in plan if each["outcome"] == "skipped"]
        reasons = [f"{len(now)} of {len(plan)} sub-questions could be asked", *troubles]
        if skipped:
            reasons.append("skipped, they wait for what is not found: " + ", ".join(f"#{number}" for number in skipped))
        step["reason"] = "; ".join(reasons)
        told = ("number", "outcome") if self.parts.guard else ("number", "asked", "outcome", "answer")
        step["details"] = {"plan": [{key: value for key, value in each.items() if key in told} for each in plan]}

    def _unsupported(self, answer: str, question: str, passages: Sequence[Document]) -> Doing[str]:
        """Why an answer must not be used; empty where the critic supports it."""
        critic = self.parts.critic
        try:
            found = yield Compute(critic.support, answer, question, passages)
            supported = bool(found) and found[0].score >= critic.threshold
        except Exception as error:
            return f"the critic failed: {failure_of(error)}"
        return "" if supported else f"no passage supports {self.shown(repr(answer))}"


def _given(each: Any, what: str, troubles: list[str], *, otherwise: list[Document]) -> list[Document]:
    if isinstance(each, RagloomError):
        raise each
    if isinstance(each, Exception):
        troubles.append(f"{what} failed: {failure_of(each)}")
        return otherwise
    passages: list[Document] = each
    return passages


def _short(said: Said) -> tuple[str, str]:
    """The answer, or why there is none."""
    answer = unmarked(next((line for line in said.text.splitlines() if line.strip()), "")).rstrip(".")
    if said.failed:
        return "", said.failed
    if not answer or declines(answer):
        return "", "the model found no answer in the passages"
    if len(answer.split()) > LONGEST_ANSWER:
        return "", f"the model's answer has more than {LONGEST_ANSWER} words"
    return answer, ""
