"""Reading notes on passages: what is said of the notes is checked against the passages, and cites them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage
from langgraph.config import get_stream_writer

from ...graphs.common.effects import Doing
from ...graphs.common.nodes import CommonNodes
from ...graphs.common.packing import Packed, pack_passages, prompt_passages
from ...graphs.common.prompting import render_prompt
from ...graphs.common.screening import WITHHELD
from ...graphs.common.speaking import sentence_event
from ...models import context_window, count_tokens
from ...types import Step

__all__ = ("NoteNodes", "note_on", "passages_of")

NOTED = "noted"
"""Key of the metadata of a note: the passages that it was made of."""


class NoteNodes(CommonNodes):
    """Nodes whose reader is shown notes, or passages where there are none, by a prompt of its own."""

    prompt: ClassVar[tuple[str, str]]
    """Package and name of the prompt: variables `passages` (each with number, context, text) and `question`."""

    def packed(self, question: str, documents: Sequence[Document], tokens: int) -> Packed:
        """The prompt shows the notes; what counts as taken, for critic and citations, are their passages."""
        llm = self.parts.reader

        def render(shown: list[Document]) -> list[BaseMessage]:
            return render_prompt(*self.prompt, passages=prompt_passages(shown), question=question)

        limit = min(context_window(llm), tokens) - self.parts.max_answer_tokens
        packed = pack_passages(documents, render, lambda text: count_tokens(llm, text), limit)
        return Packed(packed.messages, passages_of(packed.taken), passages_of(packed.left_out), packed.tokens)

    def cite(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Keeps what is supported, and says at the end what is missing: the state's `missing`."""
        update = yield from super().cite(state, step)
        missing = state.get("missing") or ""
        if not missing or update["answer"] == WITHHELD:
            return update
        step["reason"] += "; it says what is missing"
        answer = f"{update['answer']} {missing}"
        if not update["abstained"]:
            get_stream_writer()(sentence_event(missing, []))
        told = {"citations": update["citations"], "abstained": update["abstained"]}
        return {**update, "answer": answer, "messages": [AIMessage(answer, additional_kwargs=told)]}


def note_on(passages: Sequence[Document], text: str, *, context: str, identity: str) -> Document:
    """A note, as the reader is shown it. It never stands in the state."""
    return Document(text, id=identity, metadata={"headings": context, NOTED: list(passages)})


def passages_of(shown: Sequence[Document]) -> list[Document]:
    """What notes were made of, and passages as they are, each once."""
    every = [passage for each in shown for passage in each.metadata.get(NOTED, [each])]
    return list({passage.id: passage for passage in every}.values())
