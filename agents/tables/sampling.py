"""Several samples of a model's answer beside each other, each with a seed of its own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...graphs.common.asking import Said, Say, prompt_tokens, with_temperature
from ...graphs.common.effects import Doing, Together
from ...graphs.common.purse import Purse
from ...models import context_window
from ...types import Usage

__all__ = ("sample", "sampling_options")

TEMPERATURE = 0.8
"""The paper's, for every sample of a vote."""


def sampling_options(llm: BaseChatModel, samples: int, seed: int) -> list[dict[str, Any]]:
    """The call options of each sample. A single one is asked as the model is set up."""
    if samples == 1:
        return [{}]
    inner: Any = llm
    while hasattr(inner, "bound"):
        inner = inner.bound
    seeded = "seed" in type(inner).model_fields
    # A server gives the same answer to the same prompt and seed.
    return [{**with_temperature(llm, TEMPERATURE), **({"seed": seed + at} if seeded else {})} for at in range(samples)]


def sample(
    llm: BaseChatModel,
    purse: Purse,
    prompts: Sequence[Sequence[BaseMessage]],
    options: Sequence[Mapping[str, Any]],
    *,
    max_tokens: int,
    keep_calls: int = 0,
) -> Doing[list[Said]]:
    """What the model says to each prompt: as `ask_all`, with options for each."""
    planned = copy.copy(purse)  # charging replaces its usage, so the original stays as it is
    said: dict[int, Said] = {}
    calls: dict[int, Say] = {}
    for at, (messages, own) in enumerate(zip(prompts, options, strict=True)):
        tokens = prompt_tokens(llm, messages) + max_tokens
        if refused := planned.refusal(tokens=tokens, keep_calls=keep_calls):
            said[at] = Said(failed=refused)
        elif tokens > context_window(llm):
            said[at] = Said(failed=f"{tokens} tokens do not fit the model's window of {context_window(llm)}")
        else:
            planned.charge(Usage(calls=1, tokens_in=tokens, tokens_out=0, seconds=0.0))
            calls[at] = Say(llm, messages, max_tokens, purse.deadline, own)
    given = yield Together(list(calls.values()))
    for at, each in zip(calls, given, strict=True):
        if isinstance(each, Exception):  # a failing model is told in `Said`; what is raised is the user's to mend
            raise each
        purse.charge(each.usage)
        said[at] = each
    return [said[at] for at in range(len(prompts))]
