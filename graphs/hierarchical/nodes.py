"""Nodes of extracting and composing."""

from __future__ import annotations

from typing import Any

from langchain_core.documents import Document

from ...types import Step
from ..common.ask_all import ask_all, was_asked
from ..common.asking import Said
from ..common.effects import Doing
from ..common.nodes import CommonNodes
from ..common.packing import prompt_passages
from ..common.prompting import render_prompt
from .extracting import extracts_of, quoted_spans
from .state import HierarchicalState

__all__ = ("HierarchicalNodes",)

EXTRACT_TOKENS = 128


class HierarchicalNodes(CommonNodes):
    """The nodes."""

    def extract(self, state: HierarchicalState, step: Step) -> Doing[dict[str, Any]]:
        """Asks every passage alone for quotes, the best first, as many as the budget allows beside the reading.

        A passage whose call failed is read whole: nothing is known of it.
        """
        purse, passages = self.purse(state), state["documents"]
        shown = [
            render_prompt(__package__ or "", "extract", passage=passage, question=state["asked"])
            for passage in prompt_passages(passages)
        ]
        said = yield from ask_all(self.parts.llm, purse, shown, max_tokens=EXTRACT_TOKENS)
        asked = [(each, reply) for each, reply in zip(passages, said, strict=True) if was_asked(reply)]
        if not asked:
            step["decision"] = f"{len(passages)} passages read whole"
            step["reason"] = next((reply.failed for reply in said), "nothing was retrieved")
            return {"extracts": passages, "declined": False}
        lists = [_extracts(passage, reply) for passage, reply in asked]
        extracts = [extract for own in lists for extract in own]
        step["decision"] = f"{len(extracts)} extracts of {sum(map(bool, lists))} passages"
        reasons = [f"{sum(not own for own in lists)} of {len(lists)} passages hold no quote"]
        if failed := [reply.failed for _, reply in asked if reply.failed]:
            reasons.append(f"{len(failed)} passages are read whole: {failed[0]}")
        if left_out := len(passages) - len(asked):
            refused = next(reply.failed for reply in said if not was_asked(reply))
            reasons.append(f"{left_out} passages left out: {refused}")
        step["reason"] = "; ".join(reasons)
        return {"extracts": extracts, "declined": not extracts, "usage": purse.usage}

    def read(self, state: HierarchicalState, step: Step) -> Doing[dict[str, Any]]:
        """Composes an answer from the extracts alone."""
        update = yield from self.reading(state, state["extracts"], step)
        if not state["extracts"] and state["documents"]:
            step["reason"] = "no passage holds a quote"
        read = update["documents"] or state["documents"]
        return {**update, "documents": read, "declined": update["declined"] or state["declined"]}


def _extracts(passage: Document, said: Said) -> list[Document]:
    return [passage] if said.failed else extracts_of(passage, quoted_spans(said.text, passage.page_content))
