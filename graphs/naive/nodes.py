"""Nodes of naive RAG, each sync and async."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import QueryBundle

from ... import models
from ...models import context_window, count_tokens, limit_answer
from ...retrieval.documents import to_document, to_node
from ...types import Budget, Step
from ..common.packing import Packed, pack_passages, prompt_passages
from ..common.prompts import render_prompt
from ..common.reading import CheckedSentence, Reading, aread, read
from ..common.state import timed_step
from ..common.support import SupportCritic
from .state import NaiveState

__all__ = ("NaiveNodes",)

NO_ANSWER = "I found nothing in the documents that supports an answer."


@dataclass(frozen=True)
class NaiveNodes:
    """The nodes, with what they work with."""

    retriever: BaseRetriever
    llm: BaseChatModel
    reranker: BaseNodePostprocessor | None
    critic: SupportCritic
    budget: Budget
    max_answer_tokens: int
    prompt: str | Path
    draft: bool = False
    """The model is a drafter: it has a prompt and an answer's form of its own."""

    @property
    def retrieve(self) -> Any:
        """Finds passages."""
        return _both(self._retrieve, self._aretrieve)

    @property
    def rerank(self) -> Any:
        """Puts the best passages first, by the reranker."""
        return _both(self._rerank, self._arerank)

    @property
    def read(self) -> Any:
        """Asks the model, and streams sentences with their citations."""
        return _both(self._read, self._aread)

    @property
    def cite(self) -> Any:
        """Keeps what is supported; abstains where nothing is."""
        return self._cite

    # -- retrieve ---------------------------------------------------------------------------------------------------

    def _retrieve(self, state: NaiveState) -> dict[str, Any]:
        with timed_step("retrieve") as step:
            documents = [to_document(item) for item in self.retriever.retrieve(state["search_queries"][-1])]
            _tell_retrieved(step, documents)
        return {"documents": documents, "steps": [step]}

    async def _aretrieve(self, state: NaiveState) -> dict[str, Any]:
        with timed_step("retrieve") as step:
            documents = [to_document(item) for item in await self.retriever.aretrieve(state["search_queries"][-1])]
            _tell_retrieved(step, documents)
        return {"documents": documents, "steps": [step]}

    # -- rerank -----------------------------------------------------------------------------------------------------

    def _rerank(self, state: NaiveState) -> dict[str, Any]:
        assert self.reranker is not None
        with timed_step("rerank") as step:
            nodes = [to_node(document) for document in state["documents"]]
            ranked = self.reranker.postprocess_nodes(nodes, QueryBundle(state["asked"]))
            documents = [to_document(item) for item in ranked]
            _tell_reranked(step, self.reranker, documents)
        return {"documents": documents, "steps": [step]}

    async def _arerank(self, state: NaiveState) -> dict[str, Any]:
        assert self.reranker is not None
        with timed_step("rerank") as step:
            nodes = [to_node(document) for document in state["documents"]]
            ranked = await self.reranker.apostprocess_nodes(nodes, QueryBundle(state["asked"]))
            documents = [to_document(item) for item in ranked]
            _tell_reranked(step, self.reranker, documents)
        return {"documents": documents, "steps": [step]}

    # -- read -------------------------------------------------------------------------------------------------------

    def _read(self, state: NaiveState) -> dict[str, Any]:
        reading = Reading(draft=self.draft)
        with timed_step("read") as step:
            packed = self._pack(state)
            if packed.taken:
                write = get_stream_writer()
                for sentence in read(
                    self.llm,
                    packed.messages,
                    state["asked"],
                    packed.taken,
                    self.critic,
                    reading,
                    **limit_answer(self.llm, self.max_answer_tokens),
                ):
                    _stream(write, sentence)
            self._tell_read(step, packed, reading)
        return self._read_update(state, packed, reading, step)

    async def _aread(self, state: NaiveState) -> dict[str, Any]:
        reading = Reading(draft=self.draft)
        with timed_step("read") as step:
            packed = self._pack(state)
            if packed.taken:
                write = get_stream_writer()
                async for sentence in aread(
                    self.llm,
                    packed.messages,
                    state["asked"],
                    packed.taken,
                    self.critic,
                    reading,
                    **limit_answer(self.llm, self.max_answer_tokens),
                ):
                    _stream(write, sentence)
            self._tell_read(step, packed, reading)
        return self._read_update(state, packed, reading, step)

    def _pack(self, state: NaiveState) -> Packed:
        def render(documents: list[Document]) -> list[BaseMessage]:
            passages = prompt_passages(documents)
            package = models.__name__ if self.draft else __package__ or ""
            return render_prompt(package, self.prompt, passages=passages, question=state["asked"])

        limit = min(context_window(self.llm), self.budget.tokens) - self.max_answer_tokens
        return pack_passages(state["documents"], render, lambda text: count_tokens(self.llm, text), limit)

    def _tell_read(self, step: Step, packed: Packed, reading: Reading) -> None:
        if not packed.taken:
            step["decision"] = "not asked"
            step["reason"] = "no passage fits the prompt" if packed.left_out else "nothing was retrieved"
            reading.usage["calls"] = 0
        else:
            step["decision"] = f"{len(reading.sentences)} sentences from {len(packed.taken)} passages"
            step["reason"] = f"{packed.tokens} prompt tokens"
        step["details"] = {
            "prompt_tokens": packed.tokens,
            "left_out": [document.id for document in packed.left_out],
            "first_token_ms": reading.first_token_ms,
        }
        if packed.left_out:
            step["reason"] += f"; {len(packed.left_out)} passages left out whole, they do not fit"

    @staticmethod
    def _read_update(state: NaiveState, packed: Packed, reading: Reading, step: Step) -> dict[str, Any]:
        return {
            "draft": [{"text": item.text, "citations": item.citations} for item in reading.sentences],
            "declined": reading.declined,
            "documents": packed.taken or state["documents"],
            "usage": reading.usage,
            "steps": [step],
        }

    # -- cite -------------------------------------------------------------------------------------------------------

    def _cite(self, state: NaiveState) -> dict[str, Any]:
        with timed_step("cite") as step:
            draft = state.get("draft", [])
            supported = [item for item in draft if item["citations"]]
            dropped = [item["text"] for item in draft if not item["citations"]]
            abstained = not supported
            answer = NO_ANSWER if abstained else " ".join(item["text"] for item in supported)
            citations = [citation for item in supported for citation in item["citations"]]
            step["decision"] = "abstain" if abstained else f"{len(supported)} sentences, {len(citations)} citations"
            step["reason"] = _why(draft, dropped, abstained, state.get("declined", False))
            step["details"] = {"dropped": dropped}
        message = AIMessage(answer, additional_kwargs={"citations": citations, "abstained": abstained})
        return {
            "answer": answer,
            "abstained": abstained,
            "citations": citations,
            "messages": [message],
            "steps": [step],
        }


def _why(draft: list[dict[str, Any]], dropped: list[str], abstained: bool, declined: bool) -> str:
    if abstained and declined:
        return "the model found no answer in the passages"
    if abstained and not draft:
        return "the model said nothing"
    if dropped:
        return f"{len(dropped)} of {len(draft)} sentences have no support in the passages"
    return "every sentence is supported"


def _both(sync: Any, asynchronous: Any) -> Any:
    """One node that runs natively in both worlds."""
    return RunnableLambda(sync, afunc=asynchronous)


def _stream(write: Any, sentence: CheckedSentence) -> None:
    if sentence.citations:
        write({"type": "sentence", "text": sentence.text, "citations": sentence.citations})


def _tell_retrieved(step: Step, documents: list[Document]) -> None:
    step["decision"] = f"{len(documents)} passages"
    if documents:
        step["reason"] = f"by {documents[0].metadata['score_kind']}"
        step["scores"] = {str(item.id): round(float(item.metadata["score"] or 0.0), 4) for item in documents}
    else:
        step["reason"] = "nothing matches"


def _tell_reranked(step: Step, reranker: BaseNodePostprocessor, documents: list[Document]) -> None:
    step["decision"] = f"{len(documents)} passages"
    step["reason"] = f"by {type(reranker).__name__}"
    step["scores"] = {str(item.id): round(float(item.metadata["score"] or 0.0), 4) for item in documents}
