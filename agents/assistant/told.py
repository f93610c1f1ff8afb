"""Recalled facts on their way to the reader: beside its prompt, as the user's words, and never as a passage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.base import RunnableBindingBase

from ...graphs.common.asking import prompt_tokens
from ...graphs.common.prompting import render_prompt
from ...models import context_window, count_tokens
from ..sources.asking import AskGraph, GraphReply

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

__all__ = ("AskTold", "with_memory")

ANSWER_TOKENS = 256
"""Kept for the answer, where a call does not say how many."""
FACTS_TOKENS = 256
"""Of the facts that are shown with a prompt, their heading included."""

_TOLD: ContextVar[tuple[str, ...]] = ContextVar("told", default=())
"""The facts of the run in progress. Each run has a context of its own: those of two users never meet."""


def with_memory(llm: BaseChatModel) -> BaseChatModel:
    """The same model, that is shown what the user told, where the assistant recalled something for the question.

    The facts stand before the last user message, as the user's words. They are no passage: a sentence that only they
    support is not shown. Outside an assistant nothing changes.

    The strategy's budget does not know of them: each call may take 256 tokens more than the strategy allowed for. What
    goes beyond that or does not fit the model's window is left out; the facts nearest to the question stay longest.

        >>> naive_rag(retriever, llm, reader=with_memory(llm))  # doctest: +SKIP
    """
    informed: Any = _Informed(bound=llm)
    return informed  # a binding, as of `llm.bind`


@dataclass(frozen=True, slots=True)
class AskTold:
    """The effect of asking a strategy whose reader is shown these facts."""

    asking: AskGraph
    facts: Sequence[str]

    def run(self) -> GraphReply:
        """Blocking."""
        with _telling(self.facts):
            return self.asking.run()

    async def arun(self) -> GraphReply:
        """Awaited."""
        with _telling(self.facts):
            return await self.asking.arun()


@contextmanager
def _telling(facts: Sequence[str]) -> Iterator[None]:
    before = _TOLD.set(tuple(facts))
    try:
        yield
    finally:
        _TOLD.reset(before)


class _Informed(RunnableBindingBase[Any, AIMessage]):
    """A binding, so that `count_tokens` and its like see the model itself."""

    def invoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        return super().invoke(self._with_facts(input, kwargs), config, **kwargs)

    async def ainvoke(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> AIMessage:
        return await super().ainvoke(await asyncio.to_thread(self._with_facts, input, kwargs), config, **kwargs)

    def stream(self, input: Any, config: RunnableConfig | None = None, **kwargs: Any) -> Iterator[AIMessage]:
        return super().stream(self._with_facts(input, kwargs), config, **kwargs)

    async def astream(
        self, input: Any, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[AIMessage]:
        async for chunk in super().astream(await asyncio.to_thread(self._with_facts, input, kwargs), config, **kwargs):
            yield chunk

    def _with_facts(self, given: Any, options: dict[str, Any]) -> Any:
        """The prompt with as many of the facts as fit, the nearest first."""
        facts = list(_TOLD.get())
        if not facts:
            return given
        messages = given.to_messages() if isinstance(given, PromptValue) else convert_to_messages(given)
        llm: Any = self.bound
        room = context_window(llm) - int(options.get("max_tokens") or ANSWER_TOKENS)
        while facts:
            text = str(render_prompt(__package__ or "", "told", facts=facts)[0].text)
            shown = _preceded(messages, text)
            if count_tokens(llm, f"{text}\n\n") <= FACTS_TOKENS and prompt_tokens(llm, shown) <= room:
                return shown
            facts.pop()
        return messages


def _preceded(messages: Sequence[BaseMessage], text: str) -> list[BaseMessage]:
    """The messages with a text in front of the last user message: not every model takes two of them in a row."""
    at = max((at for at, message in enumerate(messages) if message.type == "human"), default=None)
    if at is None:
        return list(messages)
    content = messages[at].content
    joined: Any = f"{text}\n\n{content}" if isinstance(content, str) else [{"type": "text", "text": text}, *content]
    return [*messages[:at], messages[at].model_copy(update={"content": joined}), *messages[at + 1 :]]
