"""Which passages fit the prompt, counted with the model's own tokenizer; none is ever cut."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

__all__ = ("Packed", "pack_passages", "prompt_passages")

TOKENS_PER_MESSAGE = 8
"""What a chat template adds around each message, rounded up."""


@dataclass(frozen=True, slots=True)
class Packed:
    """The prompt, the passages in it, and those that were left out whole."""

    messages: list[BaseMessage]
    taken: list[Document]
    left_out: list[Document]
    tokens: int


def pack_passages(
    documents: Sequence[Document],
    render: Callable[[list[Document]], list[BaseMessage]],
    count: Callable[[str], int],
    limit: int,
) -> Packed:
    """Takes passages in order as long as the whole prompt stays within `limit` tokens; a later, shorter one may
    still fit after one that did not.
    """

    def size(messages: list[BaseMessage]) -> int:
        return sum(count(str(message.text)) + TOKENS_PER_MESSAGE for message in messages)

    messages = render(list(documents))
    tokens = size(messages)
    if tokens <= limit or not documents:  # as almost always: one prompt is rendered, and counted once
        return Packed(messages, list(documents), [], tokens)
    taken: list[Document] = []
    left_out: list[Document] = []
    messages = render([])
    tokens = size(messages)
    for document in documents:
        candidate = render([*taken, document])
        cost = size(candidate)
        if cost <= limit:
            taken.append(document)
            messages, tokens = candidate, cost
        else:
            left_out.append(document)
    return Packed(messages, taken, left_out, tokens)


def prompt_passages(documents: Sequence[Document]) -> list[dict[str, str | int]]:
    """Documents as the prompts show them: number, where it stands, text."""
    return [
        {
            "number": number,
            "context": str(document.metadata.get("headings") or document.metadata.get("title") or ""),
            "text": document.page_content,
        }
        for number, document in enumerate(documents, start=1)
    ]
