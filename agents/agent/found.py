"""What the searches of a run found, and how a model is shown it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from langchain_core.documents import Document
from typing_extensions import TypedDict

from ...graphs.common.mixing import round_robin
from ...graphs.common.packing import prompt_passages
from ...graphs.common.prompting import render_prompt

__all__ = ("Searched", "all_found", "passages_text", "same_search")


class Searched(TypedDict):
    """One search, as it was asked for."""

    source: str
    query: str
    documents: list[Document]
    """Its passages that no earlier search had found, best first."""
    note: str
    """What the model is told instead of passages; empty where there are some."""


def all_found(searches: Sequence[Searched]) -> list[Document]:
    """The passages of all searches: the first of each, then the second of each, so that none falls out of a prompt."""
    return round_robin([each["documents"] for each in searches])


def passages_text(documents: Sequence[Document], left_out: int = 0) -> str:
    """Passages as a model reads them; `left_out` of them had no room."""
    passages = prompt_passages(documents)
    return str(render_prompt(__package__ or "", "found", passages=passages, left_out=left_out)[0].text)


def same_search(searches: Sequence[Searched], source: str, query: str) -> bool:
    """Whether the source was asked for the same words before."""
    return any(each["source"] == source and _words(each["query"]) == _words(query) for each in searches)


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))
