"""Nodes of multi-hop RAG."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from ...errors import RagloomError
from ...sentences import sentence_spans
from ...types import Step
from ..common.ask_all import pack_for
from ..common.asking import ask, failure_of
from ..common.effects import Doing, Rerank, Search
from ..common.mixing import round_robin
from ..common.nodes import CommonNodes, tell_documents
from ..common.packing import prompt_passages
from ..common.prompting import render_prompt
from ..common.saying import declines, unmarked
from .state import MultiHopState

__all__ = ("MultiHopNodes", "next_thought", "words_of")

THOUGHT_TOKENS = 64
_LABEL = re.compile(r"^\W*(?:(?:next )?thoughts?\b|\d{1,2}[.)])\s*:?\s*", re.IGNORECASE)
_ANSWERS = re.compile(r"\bthe answer is\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class MultiHopNodes(CommonNodes):
    """The nodes, with what they work with."""

    most_passages: int
    per_round: int

    # -- bodies -------------------------------------------------------------------------------------------------------

    def gather(self, state: MultiHopState, step: Step) -> Doing[dict[str, Any]]:
        """Begins the chain with the best passages of the first round."""
        yield from ()
        first = state["documents"][: min(self.per_round, self.most_passages)]
        step["decision"] = f"{len(first)} of {len(state['documents'])} passages"
        step["reason"] = f"up to {self.per_round} a round, {self.most_passages} in all"
        return {"documents": first, "rounds": [first], "thoughts": [], "stopped": ""}

    def think(self, state: MultiHopState, step: Step) -> Doing[dict[str, Any]]:
        """Asks for the next sentence of the chain of thought, or ends the chain."""
        purse, llm = self.purse(state), self.parts.llm
        so_far = state["thoughts"]

        def render(shown: list[Document]) -> list[BaseMessage]:
            passages = prompt_passages(shown)
            return render_prompt(PROMPTS, "thought", passages=passages, question=state["asked"], thoughts=so_far)

        packed = pack_for(llm, purse, state["documents"], render, max_tokens=THOUGHT_TOKENS)
        said = yield from ask(llm, purse, packed.messages, max_tokens=THOUGHT_TOKENS)
        thought = next_thought(said.text)
        stopped = said.failed or _ends(thought, [state["asked"], *so_far])
        told = self.shown(thought) if thought else "no thought"
        step["decision"] = f"stop: {told}" if stopped else f"search for: {told}"
        step["reason"] = stopped or f"thought {len(so_far) + 1}, from {len(packed.taken)} passages"
        if packed.left_out:
            step["reason"] += f"; {len(packed.left_out)} passages left out whole, they do not fit"
        keep = [thought] if thought and not said.failed else []
        return {"thoughts": [*so_far, *keep], "stopped": stopped, "usage": purse.usage}

    def search(self, state: MultiHopState, step: Step) -> Doing[dict[str, Any]]:
        """Searches for the last thought, and adds what is new."""
        thought = state["thoughts"][-1]
        known = {document.id for document in state["documents"]}
        room = min(self.per_round, self.most_passages - len(known))
        try:
            found = yield Search(self.parts.retriever, thought)
            if self.parts.reranker and found:
                found = yield Rerank(self.parts.reranker, found, thought)
        except RagloomError:
            raise
        except Exception as error:
            step["decision"], step["reason"] = "stop", f"the search failed: {failure_of(error)}"
            return {"stopped": step["reason"], "hops": 1}
        new = [document for document in found if document.id not in known][:room]
        tell_documents(step, new)
        step["reason"] = f"new among {len(found)} found" if new else "nothing new"
        step["details"] = self.unscreened(query=thought)
        rounds = [*state["rounds"], new]
        return {
            "rounds": rounds,
            "documents": round_robin(rounds),
            "stopped": "" if new else "the search found nothing new",
            "hops": 1,
        }

    def also_asked(self, state: MultiHopState) -> list[str]:
        """What a thought led to may answer it: the passage about the second hop need not name the first."""
        return list(state.get("thoughts") or [])

    # -- routes -------------------------------------------------------------------------------------------------------

    def goes_on(self, state: MultiHopState) -> Literal["think", "read"]:
        """A thought is only asked for where it can be searched for, and what is found has room."""
        full = len(state["documents"]) >= self.most_passages
        return "read" if state["stopped"] or full or self.purse(state).hops <= 0 else "think"

    def after_thought(self, state: MultiHopState) -> Literal["search", "read"]:
        """Where the chain goes on, its last thought is the query."""
        return "read" if state["stopped"] else "search"

    # -- the graph ----------------------------------------------------------------------------------------------------

    def chain(self, graph: Any) -> None:
        """Adds the loop, from `gather` on; it leaves for `read`."""
        for name in ("gather", "think", "search"):
            graph.add_node(name, self.node(name))
        graph.add_conditional_edges("gather", self.goes_on, ["think", "read"])
        graph.add_conditional_edges("think", self.after_thought, ["search", "read"])
        graph.add_conditional_edges("search", self.goes_on, ["think", "read"])


PROMPTS = __package__ or ""
"""The package of the prompt, also for nodes that inherit these."""


def next_thought(text: str) -> str:
    """The first sentence of what a model said, without labels and citation marks.

    >>> next_thought("Next thought: Emma was written by Jane Austen [2]. She was born in 1775.")
    'Emma was written by Jane Austen.'
    """
    line = next((line for line in text.splitlines() if re.search(r"\w", line)), "")
    line = unmarked(_LABEL.sub("", line, count=1))
    spans = sentence_spans(line)
    return line[slice(*spans[0])] if spans else ""


def words_of(text: str) -> str:
    """What makes two thoughts the same."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def _ends(thought: str, before: Sequence[str]) -> str:
    """Why a thought ends the chain; empty where it is one to search for."""
    if not words_of(thought):
        return "the model had no thought"
    if _ANSWERS.search(thought):
        return "the chain has its answer"
    if declines(thought):
        return "the model does not know what to look for"
    if words_of(thought) in map(words_of, before):
        return "the thought repeats an earlier one"
    examples = render_prompt(PROMPTS, "thought", passages=[], question="", thoughts=[])
    if words_of(thought) in words_of("\n".join(message.text for message in examples)):  # as small models do
        return "the thought repeats the prompt"
    return ""
