"""Nodes of summarising."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document

from ...sentences import sentence_spans
from ...types import Step
from ..common.ask_all import ask_all, was_asked
from ..common.effects import Doing
from ..common.nodes import CommonNodes
from ..common.packing import Packed, prompt_passages
from ..common.prompting import render_prompt
from ..common.saying import declines, unmarked
from .state import SummariseState

__all__ = ("SummariseNodes", "says_nothing")

SUMMARY_TOKENS = 96
ORIGINAL = "summary_of"
"""Key of the metadata of what the reader is shown: the passage's own text."""
_NOTHING = re.compile(
    r"^\W*(?:summary\W*)?(?:nothing|none|n/a|not relevant|irrelevant|no (?:relevant )?information)\b[^.]*\W*$",
    re.IGNORECASE,
)


class SummariseNodes(CommonNodes):
    """The nodes."""

    # -- bodies -------------------------------------------------------------------------------------------------------

    def summarise(self, state: SummariseState, step: Step) -> Doing[dict[str, Any]]:
        """Sums up every passage alone, the best first, as many as the budget allows beside the reading.

        A passage whose summary failed or is empty is read itself: nothing is known of it.
        """
        purse, passages = self.purse(state), state["documents"]
        shown = [
            render_prompt(__package__ or "", "summary", passage=passage, question=state["asked"])
            for passage in prompt_passages(passages)
        ]
        said = yield from ask_all(self.parts.llm, purse, shown, max_tokens=SUMMARY_TOKENS)
        asked = [(str(each.id), reply) for each, reply in zip(passages, said, strict=True) if was_asked(reply)]
        if not asked:
            step["decision"] = f"{len(passages)} passages read as they are"
            step["reason"] = next((reply.failed for reply in said), "nothing was retrieved")
            return {"summaries": {str(each.id): "" for each in passages}, "declined": False}
        summaries = {each: _summary(reply.text) if not reply.failed else "" for each, reply in asked}
        useful = {each: text for each, text in summaries.items() if not says_nothing(text)}
        unknown = sum(not text for text in useful.values())
        step["decision"] = f"{len(useful) - unknown} summaries of use"
        reasons = [f"{len(summaries) - len(useful)} of {len(summaries)} say nothing about the question"]
        if unknown:
            failed = next((f": {reply.failed}" for _, reply in asked if reply.failed), "")
            reasons.append(f"{unknown} passages without a summary are read themselves{failed}")
        if left_out := len(passages) - len(asked):
            refused = next(reply.failed for reply in said if not was_asked(reply))
            reasons.append(f"{left_out} passages left out: {refused}")
        step["reason"] = "; ".join(reasons)
        step["details"] = self.unscreened(summaries=summaries)
        return {"summaries": useful, "declined": not useful, "usage": purse.usage}

    def read(self, state: SummariseState, step: Step) -> Doing[dict[str, Any]]:
        """Reads the summaries; what is said is checked against the passages."""
        summaries = state["summaries"]
        shown = [_shown(each, summaries[str(each.id)]) for each in state["documents"] if str(each.id) in summaries]
        update = yield from self.reading(state, shown, step)
        if not shown and state["documents"]:
            step["reason"] = "no passage says anything about the question"
        read = [_original(each) for each in update["documents"]] or state["documents"]
        return {**update, "documents": read, "declined": update["declined"] or state["declined"]}

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def packed(self, question: str, documents: Sequence[Document], tokens: int) -> Packed:
        """The prompt shows summaries; what counts as taken, for the critic and the citations, are the passages."""
        packed = super().packed(question, documents, tokens)
        return replace(
            packed,
            taken=[_original(each) for each in packed.taken],
            left_out=[_original(each) for each in packed.left_out],
        )


def says_nothing(text: str) -> bool:
    """Whether a summary says that there is nothing to sum up.

    >>> says_nothing("Nothing."), says_nothing("Nothing is paid for taxis. Buses are paid."), says_nothing("")
    (True, False, False)
    """
    said = [text[start:end] for start, end in sentence_spans(text)]
    return bool(_NOTHING.match(text)) or (bool(said) and all(map(declines, said)))


def _summary(text: str) -> str:
    return " ".join(unmarked(text).split()) if re.search(r"\w", text) else ""


def _shown(passage: Document, summary: str) -> Document:
    text = summary or passage.page_content
    return Document(text, id=passage.id, metadata={**passage.metadata, ORIGINAL: passage.page_content})


def _original(shown: Document) -> Document:
    if ORIGINAL not in shown.metadata:
        return shown
    metadata = {key: value for key, value in shown.metadata.items() if key != ORIGINAL}
    return Document(shown.metadata[ORIGINAL], id=shown.id, metadata=metadata)
