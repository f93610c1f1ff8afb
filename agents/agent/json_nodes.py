"""The loop of a model without tool calling: decide, search, check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from ...graphs.common.ask_all import pack_for, was_asked
from ...graphs.common.asking import ask
from ...graphs.common.effects import Compute, Doing
from ...graphs.common.packing import prompt_passages
from ...graphs.common.prompting import render_prompt
from ...types import Step
from .access import cards_of, visible
from .deciding import DECISION_TOKENS, PLACEHOLDER, decision_of, decision_schema
from .grounding import judge, read_text
from .nodes import AgentNodes
from .ownership import current_scope
from .state import RagAgentState

__all__ = ("JsonNodes",)


@dataclass(frozen=True, kw_only=True)
class JsonNodes(AgentNodes):
    """The nodes, with what they work with."""

    constrained: bool
    """Whether the server holds the model to the schema."""

    def decide(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Asks for the next step, with everything that was found so far. A reply that is none ends the loop."""
        purse, llm, found = self.purse(state), self.parts.llm, state["documents"]
        offered = visible(self.sources, current_scope())
        room = DECISION_TOKENS + (self.parts.max_answer_tokens if found else 0)

        def render(shown: list[Document]) -> list[BaseMessage]:
            return self._prompt(state, cards_of(offered), shown)

        ended = {"wanted": None, "said": ""}
        if purse.hops <= 0 or not offered:
            step["decision"] = "stop"
            step["reason"] = f"the budget of {purse.budget.hops} searches is spent" if offered else "no source is open"
            return ended
        packed = pack_for(llm, purse, found, render, max_tokens=room)
        options = {}
        if self.constrained:
            options["response_format"] = decision_schema(list(offered), may_answer=bool(found))
        said = yield from ask(llm, purse, packed.messages, max_tokens=room, options=options)
        decision = decision_of(said.text)
        update: dict[str, Any] = {**ended, "usage": purse.usage}
        if said.failed or decision is None:
            # What no guard has seen goes into no step.
            shown = f": {said.text[:80]!r}" if self.guard is None else ""
            step["decision"], step["reason"] = "stop", said.failed or f"the reply is no decision{shown}"
            return {**update, "error": said.failed if was_asked(said) else ""}
        if decision.action == "answer":
            step["decision"], step["reason"] = "answer", f"from {len(packed.taken)} passages"
            return {**update, "said": decision.answer}
        copied = decision.query.strip(" .?").casefold() == PLACEHOLDER
        query = state["prompted"] if copied else decision.query
        known = decision.source if decision.source in offered or self.guard is None else "what is no source"
        step["decision"] = f"search {known[:64]}" + (f": {query[:200]}" if self.guard is None else "")
        step["reason"] = f"search {len(state['searches']) + 1}, from {len(packed.taken)} passages"
        if packed.left_out:
            step["reason"] += f"; {len(packed.left_out)} passages left out whole, they do not fit"
        return {**update, "wanted": {"source": decision.source, "query": query}}

    def check(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Checks the sentences of the answer, and says what follows."""
        asked = state["said"], state["prompted"], state["documents"], self.parts.critic, self.also_asked(state)
        reading = yield Compute(read_text, *asked)
        judged = judge(reading, state, self.unsupported)
        step["decision"], step["reason"] = judged.decision, judged.reason
        return {
            "draft": judged.draft,
            "declined": judged.declined,
            "settled": judged.settled,
            "critique": judged.critique,
            "revised": state["revised"] or bool(judged.critique),
        }

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_admission(self, state: RagAgentState) -> Literal["decide", "cite"]:
        """A question that the guard blocks is put to no model."""
        return "cite" if state["settled"] else "decide"

    def after_decision(self, state: RagAgentState) -> Literal["search", "check", "fallback", "read", "cite"]:
        """A search, an answer, or the end."""
        if state["wanted"]:
            return "search"
        return "check" if state["said"] else self.after_loop(state)

    def after_check(self, state: RagAgentState) -> Literal["decide", "fallback", "read", "cite"]:
        """Once more with the critique, or the end."""
        return "decide" if state["critique"] else self.after_loop(state)

    # -- parts --------------------------------------------------------------------------------------------------------

    def _prompt(self, state: RagAgentState, cards: list[Any], shown: list[Document]) -> list[BaseMessage]:
        by_id = {str(each["number"]): each for each in prompt_passages(shown)}
        numbers = {document.id: str(number) for number, document in enumerate(shown, start=1)}
        searches = [
            {
                "source": each["source"],
                "query": each["query"],
                "note": each["note"],
                "passages": [by_id[numbers[one.id]] for one in each["documents"] if one.id in numbers],
            }
            for each in state["searches"]
        ]
        return render_prompt(
            __package__ or "",
            "decide",
            sources=cards,
            searches=searches,
            critique=state["critique"],
            question=state["prompted"],
            may_answer=bool(state["documents"]),
        )
