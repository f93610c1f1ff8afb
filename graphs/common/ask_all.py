"""Several calls of a chat model beside each other. What is left is divided among them before the first one starts."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...models import context_window, count_tokens
from ...types import Usage
from .asking import Said, Say, prompt_tokens
from .effects import Doing, Together
from .packing import Packed, pack_passages
from .purse import READING_SHARE, Purse

__all__ = ("ask_all", "pack_for", "was_asked")


def ask_all(
    llm: BaseChatModel,
    purse: Purse,
    prompts: Sequence[Sequence[BaseMessage]],
    *,
    max_tokens: int,
    keep_calls: int = 1,
    options: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
) -> Doing[list[Said]]:
    """What the model says to each prompt, in their order: `said = yield from ask_all(...)`.

    The first prompts come first: each sets its whole cost aside, and one that no longer fits is not asked and says why;
    a later, shorter one may still fit. `keep_calls` are left for later, by default the one of the reading. `options` go
    to the model: the same with every prompt, or for each its own.
    """
    own = list(options) if isinstance(options, Sequence) else [options or {}] * len(prompts)
    planned = copy.copy(purse)  # charging replaces its usage, so the original stays as it is
    said: dict[int, Said] = {}
    calls: dict[int, Say] = {}
    for at, (messages, given_options) in enumerate(zip(prompts, own, strict=True)):
        tokens = prompt_tokens(llm, messages) + max_tokens
        if refused := planned.refusal(tokens=tokens, keep_calls=keep_calls):
            said[at] = Said(failed=refused)
        elif tokens > context_window(llm):
            said[at] = Said(failed=f"{tokens} tokens do not fit the model's window of {context_window(llm)}")
        else:
            planned.charge(Usage(calls=1, tokens_in=tokens, tokens_out=0, seconds=0.0))
            calls[at] = Say(llm, messages, max_tokens, purse.deadline, given_options)
    given = yield Together(list(calls.values()))
    for at, each in zip(calls, given, strict=True):
        if isinstance(each, Exception):  # a failing model is told in `Said`; what is raised is the user's to mend
            raise each
        purse.charge(each.usage)
        said[at] = each
    return [said[at] for at in range(len(prompts))]


def was_asked(said: Said) -> bool:
    """Whether the call was made at all."""
    return said.usage["calls"] > 0


def pack_for(
    llm: BaseChatModel,
    purse: Purse,
    documents: Sequence[Document],
    render: Callable[[list[Document]], list[BaseMessage]],
    *,
    max_tokens: int,
    shares: int = 1,
) -> Packed:
    """A prompt beside the reading with as many passages as fit: the reading's share of the tokens is left alone.

    `shares`: among how many such prompts the rest is divided.
    """
    free = (purse.tokens - int(purse.budget.tokens * READING_SHARE)) // shares
    return pack_passages(
        documents, render, lambda text: count_tokens(llm, text), min(context_window(llm), free) - max_tokens
    )
