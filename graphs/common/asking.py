"""One call of a chat model beside the reading: a rewrite, a grade, a draft. Its failure is told, never raised."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langgraph.constants import TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp

from ...errors import ModelError, UsageError
from ...models import context_window, count_tokens, limit_answer, model_errors
from ...types import Usage
from .effects import Doing
from .metering import Meter, no_usage
from .packing import TOKENS_PER_MESSAGE
from .purse import Purse

__all__ = ("QUIET", "Said", "Say", "ask", "failure_of", "prompt_tokens", "with_temperature")

QUIET = {"tags": [TAG_NOSTREAM]}
"""The configuration of a call whose tokens no stream of the mode `messages` shows: no guard has seen them."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a model said; `failed` tells why it said nothing, or broke off."""

    text: str = ""
    failed: str = ""
    usage: Usage = field(default_factory=no_usage)


@dataclass(frozen=True, slots=True)
class Say:
    """The effect of one call. It streams, so that a model without end is stopped."""

    llm: BaseChatModel
    messages: Sequence[BaseMessage]
    max_tokens: int
    deadline: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False
    """Keep the tokens out of streams."""

    def _call(self) -> dict[str, Any]:
        told = {"config": QUIET} if self.quiet else {}
        return {**limit_answer(self.llm, self.max_tokens), **self.options, **told}

    def run(self) -> Said:
        """Blocking."""
        meter = Meter(self.llm, most=self.max_tokens, deadline=self.deadline)
        failed = ""
        try:
            for chunk in self.llm.stream(list(self.messages), **self._call()):
                meter.take(chunk)
                if meter.over:
                    break
            else:
                meter.ended = True
        except Exception as error:
            failed = failure_of(error)
        meter.close(self.messages)
        return Said(meter.text, failed, meter.usage)

    async def arun(self) -> Said:
        """Awaited."""
        meter = Meter(self.llm, most=self.max_tokens, deadline=self.deadline)
        failed = ""
        try:
            async for chunk in self.llm.astream(list(self.messages), **self._call()):
                meter.take(chunk)
                if meter.over:
                    break
            else:
                meter.ended = True
        except Exception as error:
            failed = failure_of(error)
        await asyncio.to_thread(meter.close, self.messages)
        return Said(meter.text, failed, meter.usage)


def ask(
    llm: BaseChatModel,
    purse: Purse,
    messages: Sequence[BaseMessage],
    *,
    max_tokens: int,
    keep_calls: int = 1,
    options: Mapping[str, Any] | None = None,
) -> Doing[Said]:
    """Asks within the budget: `said = yield from ask(...)`. What it takes is charged to the purse.

    `keep_calls` are left for later, by default the one of the reading. A call that cannot be afforded, does not fit the
    model's window or fails gives a `Said` without text that says why.
    """
    tokens = prompt_tokens(llm, messages) + max_tokens
    if refused := purse.refusal(tokens=tokens, keep_calls=keep_calls):
        return Said(failed=refused)
    if tokens > context_window(llm):
        return Said(failed=f"{tokens} tokens do not fit the model's window of {context_window(llm)}")
    said: Said = yield Say(llm, messages, max_tokens, purse.deadline, options or {})
    purse.charge(said.usage)
    return said


def prompt_tokens(llm: BaseChatModel, messages: Sequence[BaseMessage]) -> int:
    """Tokens of a prompt, the chat template's own included."""
    return sum(count_tokens(llm, str(message.text)) + TOKENS_PER_MESSAGE for message in messages)


def with_temperature(llm: BaseChatModel, temperature: float) -> dict[str, float]:
    """The call option that sets the temperature; nothing for a model that has none."""
    inner: Any = llm
    while hasattr(inner, "bound"):
        inner = inner.bound
    return {"temperature": temperature} if "temperature" in type(inner).model_fields else {}


def failure_of(error: Exception) -> str:
    """What a model's client raised, in one line. A `UsageError` and an interrupt are no failures, and are raised."""
    if isinstance(error, (UsageError, GraphBubbleUp)):
        raise error
    try:
        with model_errors():
            raise error
    except ModelError as known:
        return str(known)
    except Exception:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
