"""The end of every strategy: what is supported becomes the answer; where nothing is, it abstains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from ...guarding import Guard
from ...types import Step
from .effects import Doing
from .reading import Reading
from .screening import WITHHELD
from .speaking import Speech, speech_context, told_of, unheard

__all__ = ("NO_ANSWER", "cite", "cite_guarded", "draft_of", "withheld")

NO_ANSWER = "I found nothing in the documents that supports an answer."


def draft_of(reading: Reading) -> list[dict[str, Any]]:
    """Its sentences, as state keeps them."""
    return [{"text": item.text, "citations": item.citations} for item in reading.sentences]


def cite(state: Mapping[str, Any], step: Step) -> dict[str, Any]:
    """Keeps what is supported; abstains where nothing is."""
    draft: Sequence[Mapping[str, Any]] = state.get("draft") or []
    supported = [item for item in draft if item["citations"]]
    dropped = [item["text"] for item in draft if not item["citations"]]
    abstained = not supported
    error = state.get("error") or ""
    answer = " ".join(item["text"] for item in supported)
    if abstained:
        answer = f"The language model failed: {error}" if error else NO_ANSWER
    citations = [citation for item in supported for citation in item["citations"]]
    step["decision"] = "abstain" if abstained else f"{len(supported)} sentences, {len(citations)} citations"
    step["reason"] = _why(draft, dropped, abstained, state)
    step["details"] = {"dropped": dropped}
    message = AIMessage(answer, additional_kwargs={"citations": citations, "abstained": abstained})
    return {"answer": answer, "abstained": abstained, "citations": citations, "messages": [message]}


def cite_guarded(guard: Guard, state: Mapping[str, Any], step: Step) -> Doing[dict[str, Any]]:
    """As `cite`, of what the guard has passed. What it has not seen, of a node of the user's own, it sees now."""
    draft, why = state.get("draft") or [], state.get("withheld") or ""
    if " ".join(item["text"] for item in draft if item["citations"]) != (state.get("passed") or ""):
        speech = Speech(guard, speech_context(state, state["documents"]), unheard)
        draft = yield from speech.say_all(draft)
        why = told_of(speech, step)["withheld"] or why
    if why and not any(item["citations"] for item in draft):
        return withheld(step, f"the guard blocks the answer: {why}")
    update = cite({**state, "draft": draft}, step)
    step["details"] = {}  # the sentences that were dropped: no guard has seen them
    if not why:
        return update
    step["reason"] += f"; the guard ended the answer: {why}"
    cited = {citation["id"] for citation in update["citations"]}
    return {**update, "documents": [each for each in state["documents"] if each.id in cited]}


def withheld(step: Step, reason: str) -> dict[str, Any]:
    """The update of a run of which nothing may be told: an abstention, and no passage, which would tell it as well."""
    step["decision"], step["reason"] = "abstain", reason
    message = AIMessage(WITHHELD, additional_kwargs={"citations": [], "abstained": True})
    return {"answer": WITHHELD, "abstained": True, "citations": [], "documents": [], "error": "", "messages": [message]}


def _why(draft: Sequence[Mapping[str, Any]], dropped: Sequence[str], abstained: bool, state: Mapping[str, Any]) -> str:
    if abstained and state.get("error"):
        return "the language model failed"
    if abstained and state.get("declined"):
        return "the model found no answer in the passages"
    if abstained and not draft:
        read = any(step["node"] == "read" and step["decision"] != "not asked" for step in state.get("steps") or [])
        return "the model said nothing" if read else "nothing was read"
    if dropped:
        return f"{len(dropped)} of {len(draft)} sentences have no support in the passages"
    return "every sentence is supported"
