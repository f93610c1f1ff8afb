"""Which drafts can be paid: every call and its tokens are set aside before the first draft is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...models import context_window, count_tokens
from ..common.packing import pack_passages
from .state import Plan

__all__ = ("plan_drafts",)


def plan_drafts(
    llm: BaseChatModel,
    render: Callable[[list[Document]], list[BaseMessage]],
    documents: Sequence[Document],
    subsets: Sequence[Sequence[int]],
    *,
    tokens: int,
    max_tokens: int,
) -> list[Plan]:
    """A plan for each subset that fits into what the ones before it leave of `tokens`, its answer included.

    A passage that does not fit is left out whole; two subsets that are the same without it are drafted from once.
    """
    plans: list[Plan] = []
    for subset in subsets:
        packed = pack_passages(
            [documents[rank] for rank in subset],
            render,
            lambda text: count_tokens(llm, text),
            min(context_window(llm), tokens) - max_tokens,
        )
        taken = [rank for rank in subset if any(documents[rank] is each for each in packed.taken)]
        if taken and all(taken != plan["passages"] for plan in plans):
            plans.append(Plan(index=len(plans), passages=taken, tokens=packed.tokens + max_tokens))
            tokens -= plans[-1]["tokens"]
    return plans
