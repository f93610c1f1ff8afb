"""Passages of several searches in one list."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.documents import Document

from ...retrieval.fusion import reciprocal_rank_fusion

__all__ = ("fuse", "round_robin")


def fuse(rankings: Sequence[Sequence[Document]], weights: Sequence[float]) -> list[Document]:
    """Weighted reciprocal rank fusion over ids: score(d) = sum of weight / (60 + rank), ranks from 1.

    Cormack, Clarke and Buettcher, SIGIR 2009. Gives copies with the fused `score`, of the kind `reciprocal_rank`: only
    ranks count, for the scores of several retrievers lie on different scales. Of equal scores the one that an earlier
    ranking holds comes first.

    >>> a, b = Document("a", id="a"), Document("b", id="b")
    >>> [each.id for each in fuse([[a, b], [b]], [1.0, 1.0])]
    ['b', 'a']
    """
    first: dict[str | None, Document] = {}
    for ranking in rankings:
        for document in ranking:
            first.setdefault(document.id, document)
    scores = reciprocal_rank_fusion(
        [dict.fromkeys((each.id for each in one), 0.0) for one in rankings], weights=weights
    )
    # Equal sums may differ in their last bit, by the order of their terms: that must not decide.
    best = sorted(first.items(), key=lambda item: -round(scores[item[0]], 12))
    return [
        document.model_copy(
            update={"metadata": {**document.metadata, "score": scores[identity], "score_kind": "reciprocal_rank"}}
        )
        for identity, document in best
    ]


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
