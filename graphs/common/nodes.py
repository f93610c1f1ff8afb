"""The nodes that strategies share: retrieve, rerank, read, cite.

A strategy's own nodes class inherits these, adds bodies of its own, and its graph joins them. A body of the user's own
takes the place of any of them: `dataclasses.replace` the parts, or add a node to the graph before it is compiled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langgraph.config import get_stream_writer
from langgraph.graph import START
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from typing_extensions import TypedDict

from ... import models
from ...models import context_window, count_tokens
from ...models.drafts import DRAFTER_PROMPT
from ...types import Budget, Step
from .citing import cite, draft_of
from .effects import Doing, Effect, Rerank, Search, node
from .multi_query import search_all
from .packing import Packed, pack_passages, prompt_passages
from .prompting import prompt_name, render_prompt
from .purse import Purse
from .reading import ReadAloud, Reading
from .state import begin
from .support import AlsoAsked, OverlapCritic, SupportCritic
from .transforming import QueryTransform

__all__ = ("CommonNodes", "PartOptions", "Parts", "tell_documents")

READ_PROMPTS = __name__.rpartition(".")[0]
"""The package of the readers' prompts."""


class PartOptions(TypedDict, total=False):
    """What every strategy takes beside retriever and model; `Parts.of` says what each is."""

    reranker: BaseNodePostprocessor | None
    critic: SupportCritic | None
    budget: Budget | None
    max_answer_tokens: int
    prompt: str
    reader: BaseChatModel | None
    transform: QueryTransform | None


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What every strategy works with. Made by `Parts.of`."""

    retriever: BaseRetriever
    llm: BaseChatModel
    """Rewrites, plans, thinks."""
    reader: BaseChatModel
    """Reads passages and answers."""
    reranker: BaseNodePostprocessor | None
    critic: SupportCritic
    budget: Budget
    max_answer_tokens: int
    prompt: str | Path
    draft: bool
    """The reader is a drafter: it has a prompt and an answer's form of its own."""
    transform: QueryTransform | None

    @classmethod
    def of(
        cls,
        retriever: BaseRetriever,
        llm: BaseChatModel,
        *,
        reranker: BaseNodePostprocessor | None = None,
        critic: SupportCritic | None = None,
        budget: Budget | None = None,
        max_answer_tokens: int = 256,
        prompt: str = "read",
        reader: BaseChatModel | None = None,
        transform: QueryTransform | None = None,
    ) -> Parts:
        """Parts with the defaults of every strategy. `UsageError` for a prompt that does not exist.

        Args:
            retriever: any LlamaIndex retriever.
            llm: any LangChain chat model.
            reranker: any LlamaIndex postprocessor, applied before reading.
            critic: judges which passage supports a sentence; `OverlapCritic` by default.
            budget: what a run may cost; passages that do not fit its tokens are left out whole.
            max_answer_tokens: room kept for the answer.
            prompt: `read` (short sentences), `short` (the bare answer), `draft` (for a drafter), or the path of a Jinja
                file with the variables `passages` (each with number, context, text) and `question`.
            reader: reads passages and answers, `llm` by default; a drafter, say, which can do nothing else.
            transform: makes further queries of the question before the first retrieval.
        """
        draft = prompt == "draft"
        return cls(
            retriever=retriever,
            llm=llm,
            reader=reader or llm,
            reranker=reranker,
            critic=critic or OverlapCritic(),
            budget=budget or Budget(),
            max_answer_tokens=max_answer_tokens,
            prompt=DRAFTER_PROMPT if draft else prompt_name(READ_PROMPTS, prompt),
            draft=draft,
            transform=transform,
        )


@dataclass(frozen=True)
class CommonNodes:
    """Bodies, and the nodes made of them. `parts` is what they work with."""

    parts: Parts

    def node(self, name: str, **options: Any) -> Any:
        """The node of the body `name`: `graph.add_node("read", nodes.node("read"))`."""
        return node(name, getattr(self, name), **options)

    def purse(self, state: Any) -> Purse:
        """What is left to spend."""
        return Purse(self.parts.budget, state)

    def opening(self, graph: Any) -> str:
        """Adds the nodes that every strategy begins with, joined: begin, (transform,) retrieve(, rerank).

        Returns the name of the last one.
        """
        graph.add_node("begin", begin)
        graph.add_edge(START, "begin")
        last = "begin"
        for name, wanted in (("transform", self.parts.transform), ("retrieve", True), ("rerank", self.parts.reranker)):
            if wanted:
                graph.add_node(name, self.node(name))
                graph.add_edge(last, name)
                last = name
        return last

    # -- bodies -------------------------------------------------------------------------------------------------------

    def transform(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Makes further queries of the question. The question itself stays what it is."""
        assert self.parts.transform is not None
        purse = self.purse(state)
        made = yield from self.parts.transform.rewrite(state["asked"], self.parts.llm, purse)
        step["decision"] = f"{len(made.queries)} queries, {len(made.hypotheses)} hypotheses"
        step["reason"] = made.failed or f"by {self.parts.transform.name}"
        step["details"] = {"queries": made.queries, "hypotheses": made.hypotheses}
        queries = list(dict.fromkeys([state["asked"], *made.queries]))
        return {"search_queries": queries, "hypotheses": made.hypotheses, "usage": purse.usage}

    def retrieve(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Finds passages for the search query; where there are several, or hypotheses, for all of them, fused."""
        queries, hypotheses = state["search_queries"], state.get("hypotheses") or []
        if len(queries) == 1 and not hypotheses:
            documents = yield Search(self.parts.retriever, queries[0])
            tell_documents(step, documents)
        else:
            documents = yield from search_all(self.parts.retriever, queries, hypotheses, step)
        return {"documents": documents, "hops": 1}

    def rerank(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Puts the best passages first, by the reranker."""
        assert self.parts.reranker is not None
        documents = yield Rerank(self.parts.reranker, state["documents"], state["asked"])
        tell_documents(step, documents, by=type(self.parts.reranker).__name__)
        return {"documents": documents}

    def read(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Asks the model, and streams sentences with their citations."""
        return (yield from self.reading(state, state["documents"], step))

    def cite(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Keeps what is supported; abstains where nothing is."""
        yield from ()
        return cite(state, step)

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def reading(self, state: Any, documents: Sequence[Document], step: Step) -> Doing[dict[str, Any]]:
        """The update of a reading of these passages: sentences, cost, and the passages that fitted the prompt."""
        purse = self.purse(state)
        packed = self.packed(state["asked"], documents, purse.tokens)
        reading = Reading(draft=self.parts.draft)
        refused = purse.refusal(tokens=packed.tokens)
        if packed.taken and not refused:
            yield self.read_aloud(state["asked"], packed, reading, purse, self.also_asked(state))
        _tell_read(step, packed, reading, refused)
        return {
            "draft": draft_of(reading),
            "declined": reading.declined,
            "documents": packed.taken or list(documents),
            "error": reading.failed,
            "usage": reading.usage,
        }

    def also_asked(self, state: Any) -> list[str]:
        """Other questions that a supported sentence may answer: where a question was taken apart, its parts."""
        return []

    def read_aloud(
        self, question: str, packed: Packed, reading: Reading, purse: Purse, also: Sequence[str] = ()
    ) -> Effect:
        """The effect that reads a packed prompt and streams what is supported."""
        parts = self.parts
        return ReadAloud(
            parts.reader,
            packed.messages,
            question,
            packed.taken,
            AlsoAsked(parts.critic, also) if also else parts.critic,
            reading,
            parts.max_answer_tokens,
            purse.deadline,
            get_stream_writer(),
        )

    def packed(self, question: str, documents: Sequence[Document], tokens: int) -> Packed:
        """The reader's prompt with as many passages as fit into `tokens` beside the answer."""
        parts = self.parts

        def render(shown: list[Document]) -> list[BaseMessage]:
            package = models.__name__ if parts.draft else READ_PROMPTS
            return render_prompt(package, parts.prompt, passages=prompt_passages(shown), question=question)

        limit = min(context_window(parts.reader), tokens) - parts.max_answer_tokens
        return pack_passages(documents, render, lambda text: count_tokens(parts.reader, text), limit)


def tell_documents(step: Step, documents: Sequence[Document], *, by: str = "") -> None:
    """Fills a step with passages: how many, by what, and their scores."""
    step["decision"] = f"{len(documents)} passages"
    step["reason"] = f"by {by or documents[0].metadata['score_kind']}" if documents else "nothing matches"
    if documents:
        step["scores"] = {str(item.id): round(float(item.metadata["score"] or 0.0), 4) for item in documents}


def _tell_read(step: Step, packed: Packed, reading: Reading, refused: str) -> None:
    if not packed.taken or refused:
        step["decision"] = "not asked"
        step["reason"] = refused or ("no passage fits the prompt" if packed.left_out else "nothing was retrieved")
    else:
        step["decision"] = f"{len(reading.sentences)} sentences from {len(packed.taken)} passages"
        step["reason"] = f"{packed.tokens} prompt tokens"
    step["details"] = {
        "prompt_tokens": packed.tokens,
        "left_out": [document.id for document in packed.left_out],
        "first_token_ms": reading.first_token_ms,
    }
    if reading.failed:
        step["reason"] += f"; the model failed: {reading.failed}"
    if reading.unjudged:
        step["reason"] += f"; the critic failed: {reading.unjudged}"
    if packed.left_out:
        step["reason"] += f"; {len(packed.left_out)} passages left out whole, they do not fit"
