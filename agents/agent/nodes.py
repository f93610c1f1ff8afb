"""Nodes of the agent, the same whichever way the model is asked: admit, fall back, read, cite."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import AIMessage, RemoveMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer

from ...errors import UsageError
from ...graphs.common.citing import cite
from ...graphs.common.effects import Doing, node
from ...graphs.common.guarded import quieted
from ...graphs.common.nodes import CommonNodes
from ...graphs.common.packing import Packed
from ...graphs.common.purse import Purse
from ...graphs.common.reading import ReadAloud, Reading
from ...graphs.common.screening import (
    WITHHELD,
    check_context,
    findings,
    is_blocked,
    screened_passages,
    tell_blocked,
)
from ...graphs.common.speaking import sentence_event, unheard
from ...graphs.common.state import begin
from ...graphs.common.support import AlsoAsked
from ...guarding import Guard
from ...types import Step
from .access import AnySource, require_scope, visible
from .found import Searched, all_found
from .grounding import Unsupported
from .ownership import asking, current_scope, is_strangers, strangers_messages
from .searching import cheapest, look_up, share
from .state import RagAgentState

__all__ = ("AgentNodes",)


@dataclass(frozen=True, kw_only=True)
class AgentNodes(CommonNodes):
    """The nodes, with what they work with."""

    sources: Mapping[str, AnySource]
    guard: Guard | None
    unsupported: Unsupported

    def node(self, name: str, **options: Any) -> Any:
        """The node of a body, which works for the thread's owner alone: nobody else resumes a run that was killed."""
        body = getattr(self, name)

        def owned(state: Any, step: Step) -> Doing[dict[str, Any]]:
            self.refuse(state)
            return (yield from body(state, step))

        return node(name, owned if self.guard is None else quieted(owned), **options)

    def outer(self, name: str) -> Any:
        """The node of a body with steps of its own inside it: they stand behind it in `steps`."""

        def with_inner_steps(update: dict[str, Any]) -> dict[str, Any]:
            inner = update.pop("inner_steps")
            return {**update, "steps": [*update["steps"], *inner]}

        return self.node(name) | RunnableLambda(with_inner_steps)

    def begin(self, state: RagAgentState) -> dict[str, Any]:
        """First node. What was asked by somebody else than the thread's owner is taken out of the thread again: the
        input was kept before any node could refuse it, and nothing else was written.
        """
        messages = state.get("messages") or []
        if is_strangers(state):
            return {
                "messages": [RemoveMessage(id=each) for each in strangers_messages(state)],
                "question": state.get("seen_question", ""),
            }
        return {**begin(state), "owner": asking(), "heard": str(messages[-1].id) if messages else ""}

    def refuse(self, state: RagAgentState) -> dict[str, Any]:
        """`UsageError` for a stranger. The owner, who goes on after one was refused, finds the thread as it was."""
        if is_strangers(state):
            raise UsageError("this thread belongs to somebody else", hint="give every user threads of their own")
        return {}

    # -- bodies -------------------------------------------------------------------------------------------------------

    def admit(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Is it known who asks, and may this be asked? Clears what an earlier turn of the thread left behind."""
        require_scope(self.sources, current_scope())
        finding = (yield from findings(self.guard, "input", [state["asked"]], check_context(state["asked"])))[0]
        blocked = is_blocked(finding)
        step["decision"] = "refused" if blocked else "changed" if finding.verdict == "change" else "admitted"
        step["reason"] = finding.reason or finding.rail or ("by the guard" if self.guard else "there is no guard")
        return {
            "prompted": "" if blocked else finding.text,
            "searches": [],
            "wanted": None,
            "said": "",
            "critique": "",
            "revised": False,
            "settled": "refused" if blocked else "",
        }

    def search(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Makes the search that is wanted. Every one counts as a hop, also one that is refused."""
        assert state["wanted"] is not None
        return (yield from self._searched(state, state["wanted"]["source"], state["wanted"]["query"], step))

    def fallback(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Nobody searched: the question itself is looked up in the cheapest source."""
        name = cheapest(visible(self.sources, current_scope()))
        update = yield from self._searched(state, name, state["prompted"], step)
        step["reason"] += "; the model had not searched"
        return update

    def read(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Reads everything that was found, as the strategies do."""
        update = yield from self.reading({**state, "asked": state["prompted"]}, state["documents"], step)
        # An earlier failure of the model is over where it has now spoken.
        return {**update, "error": update["error"] or ("" if update["draft"] else state.get("error", ""))}

    def cite(self, state: RagAgentState, step: Step) -> Doing[dict[str, Any]]:
        """Keeps what is supported and may be shown, streams it, or abstains."""
        if state["settled"] == "refused":
            step["decision"], step["reason"] = "abstain", "the guard blocks the question"
            return self._withheld()
        supported = [each for each in state.get("draft") or [] if each["citations"]]
        context = check_context(state["prompted"])
        quotes = [cited["quote"] for each in supported for cited in each["citations"]]
        found = yield from findings(self.guard, "output", [*(each["text"] for each in supported), *quotes], context)
        found, of_quotes = found[: len(supported)], found[len(supported) :]
        hidden = {quote for quote, finding in zip(quotes, of_quotes, strict=True) if finding.verdict != "pass"}
        blocked = [(each["text"], finding) for each, finding in zip(supported, found, strict=True)]
        blocked = [(text, finding) for text, finding in blocked if finding.verdict == "block"]
        if blocked and len(blocked) == len(supported):
            step["decision"], step["reason"] = "abstain", "the guard blocks the answer"
            tell_blocked(step, [("", finding) for _, finding in blocked], "sentences")
            return self._withheld()
        texts = {each["text"]: finding for each, finding in zip(supported, found, strict=True)}
        draft = [_as_changed(each, texts.get(each["text"]), hidden) for each in state.get("draft") or []]
        shown = [each for each in draft if each is not None]
        update = cite({**state, "draft": shown}, step)
        if self.guard:
            step["details"] = {}  # the sentences that were dropped: no guard has seen them
        if state["settled"] == "unsupported":
            step["reason"] = "the answer had sentences without support, and the policy withholds it"
        tell_blocked(step, [("", finding) for _, finding in blocked], "sentences")
        write = get_stream_writer()
        for each in shown:
            if each["citations"]:
                write(sentence_event(each["text"], each["citations"]))
        return update

    def also_asked(self, state: Any) -> list[str]:
        """What was searched for on the way: a sentence may answer that."""
        return [each["query"] for each in state.get("searches") or [] if each["documents"]]

    def read_aloud(
        self, question: str, packed: Packed, reading: Reading, purse: Purse, also: Sequence[str] = ()
    ) -> ReadAloud:
        """The effect that reads a packed prompt. Nothing is streamed before the guard has seen it: `cite` does that."""
        parts = self.parts
        critic = AlsoAsked(parts.critic, also) if also else parts.critic
        return ReadAloud(
            parts.reader,
            packed.messages,
            question,
            packed.taken,
            critic,
            reading,
            parts.max_answer_tokens,
            purse.deadline,
            unheard,
        )

    # -- routes -------------------------------------------------------------------------------------------------------

    def after_begin(self, state: RagAgentState) -> Literal["admit", "refuse"]:
        """A stranger is refused when what they asked has left the thread."""
        return "refuse" if is_strangers(state) else "admit"

    def after_loop(self, state: RagAgentState) -> Literal["cite", "read", "fallback"]:
        """An answer that is supported is cited; else what was found is read; else the question itself is searched."""
        searched = bool(state["searches"])
        supported = any(each["citations"] for each in state["draft"])
        if supported or (state["settled"] and (searched or state["settled"] != "declined")):
            return "cite"
        if state["documents"]:
            return "read"
        may_search = not searched and self.purse(state).hops > 0 and bool(visible(self.sources, current_scope()))
        return "fallback" if may_search else "cite"

    def after_fallback(self, state: RagAgentState) -> Literal["cite", "read"]:
        """What the fallback found is read."""
        return "read" if state["documents"] else "cite"

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def _searched(self, state: RagAgentState, name: str, query: str, step: Step) -> Doing[dict[str, Any]]:
        so_far = state["searches"]
        left = share(self.purse(state))
        looked = yield from look_up(self.sources, current_scope(), name, query, so_far, left, step)
        searched = looked.searched
        context = check_context(state["prompted"], tool=searched["source"])
        kept = yield from screened_passages(self.guard, searched["documents"], context, step)
        note = QUARANTINED if searched["documents"] and not kept else searched["note"]
        searches = [*so_far, Searched(source=searched["source"], query=searched["query"], documents=kept, note=note)]
        return {
            "searches": searches,
            "documents": all_found(searches),
            "usage": looked.usage,
            "hops": 1,
            "inner_steps": list(looked.steps),
        }

    def _withheld(self) -> dict[str, Any]:
        message = AIMessage(WITHHELD, additional_kwargs={"citations": [], "abstained": True})
        update = {"answer": WITHHELD, "abstained": True, "citations": [], "messages": [message]}
        return {**update, "documents": [], "draft": [], "said": ""}  # "nearest passages" would tell what was blocked


QUARANTINED = "What was found may not be shown. Search for something else, or answer from what stands above."
"""What a model is told where the guard blocks all passages of a search."""


def _as_changed(sentence: Mapping[str, Any], finding: Any, hidden: Collection[str]) -> dict[str, Any] | None:
    """The sentence as the guard lets it be shown; None where it does not. A quote that is hidden is empty, and so are
    those of a changed sentence: what was taken out of it may stand in them.
    """
    if finding is None:
        return dict(sentence)
    if finding.verdict == "block":
        return None
    changed = finding.verdict == "change"
    citations = [
        {**each, "sentence": finding.text, "quote": "" if changed or each["quote"] in hidden else each["quote"]}
        for each in sentence["citations"]
    ]
    return {"text": finding.text, "citations": citations}
