"""The nodes that strategies share: retrieve, rerank, read, cite.

A strategy's own nodes class inherits these, adds bodies of its own, and its graph joins them. A body of the user's own
takes the place of any of them: `dataclasses.replace` the parts, or add a node to the graph before it is compiled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langgraph.config import get_stream_writer
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from typing_extensions import TypedDict

from ... import models
from ...guarding import Guard
from ...models import context_window, count_tokens
from ...models.drafts import DRAFTER_PROMPT
from ...types import Budget, Step
from .citing import cite, cite_guarded, draft_of
from .effects import Doing, Rerank, Search, node
from .guarded import guarded
from .joining import enter
from .multi_query import search_all
from .packing import Packed, pack_passages, prompt_passages
from .prompting import prompt_name, render_prompt
from .purse import Purse
from .reading import ReadAloud, Reading
from .speaking import Speech, sentence_event, speech_context, told_of
from .support import AlsoAsked, OverlapCritic, SupportCritic
from .transforming import QueryTransform

__all__ = ("CommonNodes", "PartOptions", "Parts", "tell_documents")

UNSEEN = "(what a model wrote, and no guard has seen)"
READ_PROMPTS = __name__.rpartition(".")[0]
"""The package of the readers' prompts."""


class PartOptions(TypedDict, total=False):
    """What every strategy takes beside retriever and model; `Parts.of` says what each is."""

    reranker: BaseNodePostprocessor | None
    critic: SupportCritic | None
    budget: Budget | None
    max_answer_tokens: int
    prompt: str | None
    reader: BaseChatModel | None
    transform: QueryTransform | None
    guard: Guard | None


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
    guard: Guard | None = None

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
        prompt: str | None = None,
        reader: BaseChatModel | None = None,
        transform: QueryTransform | None = None,
        guard: Guard | None = None,
    ) -> Parts:
        """Parts with the defaults of every strategy. `UsageError` for a prompt that does not exist.

        Args:
            retriever: any LlamaIndex retriever.
            llm: any LangChain chat model.
            reranker: any LlamaIndex postprocessor, applied before reading.
            critic: judges which passage supports a sentence; `OverlapCritic` by default.
            budget: what a run may cost; passages that do not fit its tokens are left out whole.
            max_answer_tokens: room kept for the answer.
            prompt: `read` (short sentences), `read-guarded` (the same, with passages marked as data that instruct
                nobody), `short` (the bare answer), `draft` (for a drafter), or the path of a Jinja file with the
                variables `passages` (each with number, source, context, text) and `question`. None: `read`, under a
                guard `read-guarded`.
            reader: reads passages and answers, `llm` by default; a drafter, say, which can do nothing else.
            transform: makes further queries of the question before the first retrieval.
            guard: checks the question before anything is done with it (`input`), every passage that is found before a
                model sees it (`retrieval`), and every sentence before it is said (`output`). A question that is blocked
                ends the run, a passage that is blocked is as if it had not been found, and a sentence that is blocked
                ends the answer: what was said before it stands. Steps say so, and hold nothing that a model wrote.
                None: nothing is checked.
        """
        prompt = prompt or ("read-guarded" if guard else "read")
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
            guard=guard,
        )


@dataclass(frozen=True)
class CommonNodes:
    """Bodies, and the nodes made of them. `parts` is what they work with."""

    parts: Parts

    def node(self, name: str, **options: Any) -> Any:
        """The node of the body `name`: `graph.add_node("read", nodes.node("read"))`."""
        body, guard = getattr(self, name), self.parts.guard
        return node(name, body if guard is None else guarded(body, guard), **options)

    def purse(self, state: Any) -> Purse:
        """What is left to spend."""
        return Purse(self.parts.budget, state)

    def opening(self, graph: Any) -> str:
        """Adds the nodes that every strategy begins with, joined: begin, (admit, transform,) retrieve(, rerank).

        Returns the name of the last one.
        """
        wanted = {"transform": self.parts.transform, "retrieve": True, "rerank": self.parts.reranker}
        names = [name for name, is_wanted in wanted.items() if is_wanted]
        enter(graph, names[0], self.parts.guard)
        for name in names:
            graph.add_node(name, self.node(name))
        for name, following in zip(names, names[1:], strict=False):
            graph.add_edge(name, following)
        return names[-1]

    # -- bodies -------------------------------------------------------------------------------------------------------

    def transform(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Makes further queries of the question. The question itself stays what it is."""
        assert self.parts.transform is not None
        purse = self.purse(state)
        made = yield from self.parts.transform.rewrite(state["asked"], self.parts.llm, purse)
        step["decision"] = f"{len(made.queries)} queries, {len(made.hypotheses)} hypotheses"
        step["reason"] = made.failed or f"by {self.parts.transform.name}"
        step["details"] = self.unscreened(queries=made.queries, hypotheses=made.hypotheses)
        queries = list(dict.fromkeys([state["asked"], *made.queries]))
        return {"search_queries": queries, "hypotheses": made.hypotheses, "usage": purse.usage}

    def retrieve(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Finds passages for the search query; where there are several, or hypotheses, for all of them, fused."""
        queries, hypotheses = state["search_queries"], state.get("hypotheses") or []
        if len(queries) == 1 and not hypotheses:
            documents = yield Search(self.parts.retriever, queries[0])
            tell_documents(step, documents)
        else:
            documents = yield from self.searching(self.parts.retriever, queries, hypotheses, step)
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
        guard = self.parts.guard
        return cite(state, step) if guard is None else (yield from cite_guarded(guard, state, step))

    # -- parts of bodies ----------------------------------------------------------------------------------------------

    def searching(
        self,
        retriever: BaseRetriever,
        queries: Sequence[str],
        hypotheses: Sequence[str],
        step: Step,
        **weights: float,
    ) -> Doing[list[Document]]:
        """`search_all`, without the queries in the step where a guard has not seen them."""
        documents = yield from search_all(retriever, queries, hypotheses, step, **weights)
        step["details"] = self.unscreened(**step["details"])
        return documents

    def reading(self, state: Any, documents: Sequence[Document], step: Step) -> Doing[dict[str, Any]]:
        """The update of a reading of these passages: sentences, cost, and the passages that fitted the prompt."""
        purse = self.purse(state)
        packed = self.packed(state["asked"], documents, purse.tokens)
        reading = Reading(draft=self.parts.draft)
        refused = purse.refusal(tokens=packed.tokens)
        speech = self.speech(state, packed.taken)
        if packed.taken and not refused:
            effect = self.read_aloud(state["asked"], packed, reading, purse, self.also_asked(state))
            yield effect if speech is None else replace(effect, speech=speech)
        _tell_read(step, packed, reading, refused)
        return {
            "draft": draft_of(reading),
            "declined": reading.declined,
            "documents": packed.taken or list(documents),
            "error": reading.failed,
            "usage": reading.usage,
            **(told_of(speech, step) if speech else {}),
        }

    def speech(self, state: Any, passages: Sequence[Document]) -> Speech | None:
        """What says an answer from these passages under the guard; None without one."""
        guard = self.parts.guard
        return None if guard is None else Speech(guard, speech_context(state, passages), get_stream_writer())

    def spoken(
        self,
        state: Any,
        draft: Sequence[Mapping[str, Any]],
        passages: Sequence[Document],
        step: Step,
        *,
        uncited: bool = False,
        after: str = "",
    ) -> Doing[dict[str, Any]]:
        """Says sentences that no reading said, those with a citation or (`uncited`) all: the update with the draft.

        `after`: what a guard has passed of the answer before them.
        """
        speech = self.speech(state, passages)
        if speech is not None:
            speech.said += [after] if after else []
            kept = yield from speech.say_all(draft, uncited=uncited)
            return {"draft": kept, **told_of(speech, step)}
        write = get_stream_writer()
        for item in draft:
            if item["citations"] or uncited:
                write(sentence_event(item["text"], item["citations"]))
        return {"draft": list(draft)}

    def unscreened(self, **details: Any) -> dict[str, Any]:
        """Details of a step that a model wrote: nothing where there is a guard, for it has passed none of them."""
        return {} if self.parts.guard else details

    def shown(self, text: str) -> str:
        """A model's text as a decision or a reason of a step may tell it."""
        return UNSEEN if self.parts.guard else text

    def also_asked(self, state: Any) -> list[str]:
        """Other questions that a supported sentence may answer: where a question was taken apart, its parts."""
        return []

    def read_aloud(
        self, question: str, packed: Packed, reading: Reading, purse: Purse, also: Sequence[str] = ()
    ) -> ReadAloud:
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
