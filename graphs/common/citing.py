"""The end of every strategy: what is supported becomes the answer; where nothing is, it abstains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from ...types import Step
from .reading import Reading

__all__ = ("NO_ANSWER", "cite", "draft_of")

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
