"""Retrieval as a middleware of LangChain's `create_agent`: passages stand before the model without a tool call."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, NotRequired, TypeAlias
from xml.sax.saxutils import quoteattr

from langchain.agents.middleware.types import (
    AgentMiddleware,
    AgentState,
    ModelCallResult,
    ModelRequest,
    ModelResponse,
    OmitFromInput,
)
from langchain_core.documents import Document
from langchain_core.messages import AnyMessage, BaseMessage, HumanMessage
from langchain_core.runnables import Runnable
from langgraph.runtime import Runtime
from llama_index.core.base.base_retriever import BaseRetriever as LlamaIndexBase

from ...errors import UsageError
from ...graphs.common.packing import pack_passages
from ...graphs.common.prompting import render_prompt
from ...models import count_tokens
from .composing import identified
from .llama_index import as_retriever

__all__ = ("RetrievalMiddleware", "RetrievalState")

_OWN_TAG = re.compile(r"<(?=\s*/?\s*passages?\b)", re.I)

Retriever: TypeAlias = Runnable[str, list[Document]] | LlamaIndexBase


class RetrievalState(AgentState[Any]):
    """The agent's state, and what was found."""

    retrieved: NotRequired[Annotated[list[Document], OmitFromInput]]
    """The passages for the last user message, best first: what an answer cites as [n] is the nth of them."""


class RetrievalMiddleware(AgentMiddleware[RetrievalState, Any, Any]):
    """Searches for the last user message once a turn, and shows the passages to the model in every call of the turn.

    They stand in front of that message, numbered and delimited, as data of the user's side and never as the system's
    words; text that looks like the delimiters is disarmed. The agent's `messages` stay as they are; its result has the
    passages in `retrieved`. Where nothing is found, the model is told so. What the retriever raises is raised: an
    answer without its documents would not show that it lacks them (`retriever.with_fallbacks` is for other wishes).

    Args:
        retriever: a LangChain or LlamaIndex retriever, a Runnable from a query to documents, or a function of the
            `Runtime` that gives one: so a tenant comes from who asks, not from what is asked.
        max_tokens: of the passages and what stands around them; passages that do not fit are left out whole.

    Example:
        >>> middleware = RetrievalMiddleware(kb.retriever(top_k=4))  # doctest: +SKIP
        >>> middleware = RetrievalMiddleware(lambda run: kb.retriever(tenant=run.context["user"]))  # doctest: +SKIP
        >>> agent = create_agent(llm, tools=[], middleware=[middleware])  # doctest: +SKIP
    """

    state_schema = RetrievalState

    def __init__(self, retriever: Retriever | Callable[[Runtime[Any]], Retriever], *, max_tokens: int = 2000) -> None:
        super().__init__()
        if max_tokens < 1:
            raise UsageError(f"max_tokens is {max_tokens}", hint="use 1 or more")
        self.max_tokens = max_tokens
        if isinstance(retriever, (Runnable, LlamaIndexBase)) or not callable(retriever):
            fixed = as_retriever(retriever)  # what is no retriever is refused now
            self._retriever_for: Callable[[Runtime[Any]], object] = lambda _: fixed
        else:
            self._retriever_for = retriever

    def before_agent(self, state: RetrievalState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Searches."""
        question = _question(state["messages"])
        if not question:
            return {"retrieved": []}
        return {"retrieved": identified(as_retriever(self._retriever_for(runtime)).invoke(question))}

    async def abefore_agent(self, state: RetrievalState, runtime: Runtime[Any]) -> dict[str, Any]:
        """Searches."""
        question = _question(state["messages"])
        if not question:
            return {"retrieved": []}
        # Opening somebody's knowledge base reads files.
        retriever = as_retriever(await asyncio.to_thread(self._retriever_for, runtime))
        return {"retrieved": identified(await retriever.ainvoke(question))}

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelCallResult[Any]:
        """Shows the passages."""
        return handler(self._informed(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelCallResult[Any]:
        """Shows the passages."""
        return await handler(await asyncio.to_thread(self._informed, request))  # counting tokens may ask a server

    def _informed(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        at = _place(request.messages)
        if at is None or not _question(request.messages):
            return request
        state: Mapping[str, Any] = request.state
        shown = self._shown(state.get("retrieved") or [], request.model)
        before, message, after = request.messages[:at], request.messages[at], request.messages[at + 1 :]
        return request.override(messages=[*before, _preceded(message, shown), *after])

    def _shown(self, documents: Sequence[Document], model: object) -> str:
        numbers = {document.id: number for number, document in enumerate(documents, start=1)}

        def render(some: list[Document]) -> list[BaseMessage]:
            passages = [_passage(document, numbers[document.id]) for document in some]
            return render_prompt(__package__ or "", "passages", passages=passages)

        packed = pack_passages(documents, render, lambda text: count_tokens(model, text), self.max_tokens)
        return str(packed.messages[0].text)


def _place(messages: Sequence[AnyMessage]) -> int | None:
    """Where the last user message stands."""
    return next((at for at in range(len(messages) - 1, -1, -1) if messages[at].type == "human"), None)


def _question(messages: Sequence[AnyMessage]) -> str:
    at = _place(messages)
    return "" if at is None else str(messages[at].text).strip()


def _preceded(message: AnyMessage, text: str) -> HumanMessage:
    """A copy of a user message with a text in front of it: not every model takes two user messages in a row."""
    content: Any = message.content
    joined = f"{text}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": text}, *content]
    return HumanMessage(**{**message.model_dump(exclude={"type"}), "content": joined})


def _passage(document: Document, number: int) -> dict[str, Any]:
    return {
        "number": number,
        "source": quoteattr(str(document.metadata.get("source") or document.id)),
        "page": quoteattr(str(document.metadata.get("page") or "")),
        "text": _OWN_TAG.sub("&lt;", document.page_content),
    }
