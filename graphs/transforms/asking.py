"""One call for a list of queries: what three of the transforms do."""

from __future__ import annotations

from langchain_core.language_models import BaseChatModel

from ..common.asking import ask
from ..common.effects import Doing
from ..common.prompting import render_prompt
from ..common.purse import Purse
from ..common.transforming import Rewritten
from .parsing import queries_of

__all__ = ("ask_for_queries",)

TOKENS_PER_QUERY = 40


def ask_for_queries(prompt: str, question: str, llm: BaseChatModel, purse: Purse, *, most: int) -> Doing[Rewritten]:
    """At most so many queries by the prompt of this name."""
    messages = render_prompt(__package__ or "", prompt, question=question, most=most)
    said = yield from ask(llm, purse, messages, max_tokens=TOKENS_PER_QUERY * most)
    prompt = "\n".join(message.text for message in messages)
    queries = queries_of(said.text, question, most, prompt=prompt) if not said.failed else []
    return Rewritten(queries, failed=said.failed or ("" if queries else "the model gave no further query"))
