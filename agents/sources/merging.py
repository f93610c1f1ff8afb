"""Passages of several sources in one list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal

from langchain_core.documents import Document

from ...graphs.common.mixing import round_robin
from ...retrieval.fusion import reciprocal_rank_fusion
from .answer import SOURCE_NAME

__all__ = ("Merge", "merged")

Merge = Literal["reciprocal_rank", "round_robin"]


def merged(lists: Sequence[Sequence[Document]], how: Merge = "reciprocal_rank") -> list[Document]:
    """All passages, each once, by rank: scores of different sources lie on different scales.

    `reciprocal_rank` (Cormack, Clarke and Buettcher, SIGIR 2009): what several sources found comes first; then the
    first of each, the second of each, in the order of the lists. `round_robin` knows the latter only.

    Two sources may give one id to different passages: the second one's is then told apart by its source's name.

    >>> a, b, c = (Document(name, id=name) for name in "abc")
    >>> [each.id for each in merged([[a, b], [c, b]])], [each.id for each in merged([[a, b], [c, b]], "round_robin")]
    (['b', 'a', 'c'], ['a', 'c', 'b'])
    """
    if len(lists) == 1:
        return list(lists[0])
    apart = _told_apart(lists)
    if how == "round_robin":
        return round_robin(apart)
    first: dict[str | None, Document] = {}
    for documents in apart:
        for document in documents:
            first.setdefault(document.id, document)
    fused = reciprocal_rank_fusion([dict.fromkeys((each.id for each in documents), 0.0) for documents in apart])
    # Equal sums may differ in their last bit, by the order of their terms: that must not decide.
    best = sorted(first, key=lambda identity: -round(fused[identity], 12))
    return [_copy(first[identity], identity, fused[identity]) for identity in best]


def _told_apart(lists: Sequence[Sequence[Document]]) -> list[list[Document]]:
    """The same lists, where one id is one text."""
    names: dict[tuple[str | None, str], str] = {}
    apart = []
    for documents in lists:
        own: dict[str, Document] = {}
        for document in documents:
            key = document.id, document.page_content
            if key not in names:
                names[key] = _free(document, set(names.values()))
            identity = names[key]
            own.setdefault(identity, document if identity == document.id else _renamed(document, identity))
        apart.append(list(own.values()))
    return apart


def _free(document: Document, taken: Collection[str]) -> str:
    identity = base = str(document.id)
    number = 1
    while identity in taken:
        identity = f"{document.metadata.get(SOURCE_NAME, '')}:{base}" + (f"#{number}" if number > 1 else "")
        number += 1
    return identity


def _renamed(document: Document, identity: str) -> Document:
    return Document(document.page_content, id=identity, metadata=dict(document.metadata))


def _copy(document: Document, identity: str | None, score: float) -> Document:
    metadata = {**document.metadata, "score": score, "score_kind": "reciprocal_rank"}
    return Document(document.page_content, id=identity, metadata=metadata)
