"""The groundedness check of a LangChain agent's final answer."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from langchain.agents.middleware.types import AgentMiddleware, hook_config
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.runtime import Runtime

from ....graphs.common.citing import NO_ANSWER
from ....graphs.common.support import OverlapCritic, SupportCritic
from ....types import Step
from ..found import all_found
from ..grounding import Judgement, Unsupported, checked_policy, judge, read_text
from .results import CRITIQUE, question_of, searches_in
from .state import RunState

__all__ = ("GroundednessMiddleware",)


class GroundednessMiddleware(AgentMiddleware[RunState, Any, Any]):
    """Checks every sentence of the final answer against the passages that tools gave (their artifacts), as the
    strategies do: what remains of it stands in the final message, with its citations in
    `additional_kwargs["citations"]`; where nothing does, it is an abstention.

    Args:
        critic: judges which passage supports a sentence; `OverlapCritic` by default.
        unsupported: sentences that nothing supports are dropped (`drop`); or the model is told once which they are,
            may search further and answers again (`regenerate`); or the whole answer is withheld (`abstain`).

    Example:
        >>> create_agent(llm, tools, middleware=[GroundednessMiddleware(unsupported="drop")])  # doctest: +SKIP
    """

    state_schema = RunState

    def __init__(self, critic: SupportCritic | None = None, *, unsupported: Unsupported = "regenerate") -> None:
        super().__init__()
        self.critic: SupportCritic = critic or OverlapCritic()
        self.unsupported = checked_policy(unsupported)

    def before_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Forgets the answer of an earlier turn."""
        return {"draft": [], "declined": False, "settled": "", "revised": False}

    async def abefore_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Forgets the answer of an earlier turn."""
        return self.before_agent(state, runtime)

    @hook_config(can_jump_to=["model"])
    def after_model(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Checks an answer; nothing where the model calls tools."""
        last = state["messages"][-1]
        if not isinstance(last, AIMessage) or last.tool_calls or not (str(last.text).strip() or state.get("draft")):
            return None
        began = time.perf_counter()
        searches = searches_in(state["messages"])
        queries = [each["query"] for each in searches if each["documents"] and each["query"]]
        asked = str(last.text), question_of(state["messages"]), all_found(searches), self.critic, queries
        judged = judge(read_text(*asked), state, self.unsupported)
        seconds = time.perf_counter() - began
        step = Step(node="check", decision=judged.decision, reason=judged.reason, ms=round(seconds * 1000, 1))
        update: dict[str, Any] = {"draft": judged.draft, "declined": judged.declined, "settled": judged.settled}
        update |= {"steps": [step], "elapsed": (state.get("elapsed") or 0.0) + seconds}
        if judged.critique:
            critique = HumanMessage(judged.critique, additional_kwargs={"lc_source": CRITIQUE})
            return {**update, "messages": [critique], "revised": True, "jump_to": "model"}
        return {**update, "messages": [_final(last, judged)]}

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Checks an answer; nothing where the model calls tools."""
        return await asyncio.to_thread(self.after_model, state, runtime)  # a trained critic computes


def _final(message: AIMessage, judged: Judgement) -> AIMessage:
    """The message with what may be shown of it."""
    shown = [each for each in judged.draft if each["citations"]]
    text = " ".join(each["text"] for each in shown) or NO_ANSWER
    citations = [citation for each in shown for citation in each["citations"]]
    told = {**message.additional_kwargs, "citations": citations, "abstained": not shown}
    return message.model_copy(update={"content": text, "additional_kwargs": told})
