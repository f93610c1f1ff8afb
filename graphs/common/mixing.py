"""Passages of several searches in one list."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.documents import Document

__all__ = ("round_robin",)


def round_robin(lists: Sequence[Sequence[Document]]) -> list[Document]:
    """The first of each list, then the second of each: whatever does not fit a prompt, each list has its best in it.
    Each passage once.

    >>> a, b, c = (Document(name, id=name) for name in "abc")
    >>> [each.id for each in round_robin([[a, b], [c, b, a]])]
    ['a', 'c', 'b']
    """
    once: dict[str | None, Document] = {}
    for rank in range(max(map(len, lists), default=0)):
        for documents in lists:
            if rank < len(documents):
                once.setdefault(documents[rank].id, documents[rank])
    return list(once.values())
