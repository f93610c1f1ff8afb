"""Which passages questions are made of: from all documents in turn, and from different parts of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..answer_sets import share_of
from ..text_metrics import normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...retrieval import KnowledgeBase

__all__ = ("Passage", "choose_passages", "read_passages")

LEAST_WORDS = 15
"""A shorter passage is a heading or a scrap: it seldom holds a fact together with what the fact is about."""
LEAST_LETTERS = 0.5
"""Share of letters among the characters. With fewer it is a table of figures, whose columns nobody can ask about."""
MOST_CONTENTS = 1 / 3
"""Share of lines that lead to a page number. With more it is a table of contents."""

_LEADS_TO_PAGE = re.compile(
    r"(?:\.\s?){4,}\s*\d+\s*$"  # Leave ........ 12
    r"|\s{3,}\d+\s*$"  # Leave         12
)


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk of the knowledge base."""

    id: str
    source: str
    page: int
    context: str
    """Title and headings, as they are indexed in front of it."""
    text: str
    vector: NDArray[np.float32] = field(repr=False, compare=False)

    @property
    def usable(self) -> bool:
        """Whether a question can be made of it: neither a scrap, nor a table of contents, nor mostly figures."""
        lines = [line for line in self.text.splitlines() if line.strip()]
        contents = sum(bool(_LEADS_TO_PAGE.search(line)) for line in lines)
        letters = sum(char.isalpha() for char in self.text)
        return (
            len(self.text.split()) >= LEAST_WORDS
            and letters >= LEAST_LETTERS * len(self.text)
            and contents <= MOST_CONTENTS * len(lines)
        )


def read_passages(kb: KnowledgeBase, tenant: str) -> list[Passage]:
    """All passages that all of a tenant may see, as they follow one another in the documents."""
    from ...access import scope_from

    columns = ["id", "source", "page", "start", "body_at", "content", "vector"]
    rows = kb.table.snapshot().rows(kb.visible_to(scope_from(None, tenant)), columns).to_pylist()
    rows.sort(key=lambda row: (row["source"], row["start"], row["id"]))
    return [
        Passage(
            id=row["id"],
            source=row["source"],
            page=row["page"],
            context=row["content"][: row["body_at"]].strip(),
            text=row["content"][row["body_at"] :].strip(),
            vector=np.asarray(row["vector"], dtype=np.float32),
        )
        for row in rows
    ]


def choose_passages(passages: Sequence[Passage], wanted: int, *, seed: int = 0) -> list[Passage]:
    """All usable passages, in an order of which every beginning covers the documents as evenly as its length allows.

    Documents take turns, in an order that the seed decides. Within a document, clusters of vectors (k-means) take
    turns, each giving the passage nearest to its middle first. `wanted` questions decide how many clusters there are.
    Of passages that say the same only the first counts.
    """
    by_source: dict[str, list[Passage]] = {}
    seen: set[str] = set()
    for passage in passages:
        plain = normalize(passage.text)
        if passage.usable and plain not in seen:
            seen.add(plain)
            by_source.setdefault(passage.source, []).append(passage)
    order = sorted(by_source, key=lambda name: share_of(name, seed=seed))
    each = -(-wanted // max(len(order), 1))  # rounded up
    return list(_in_turn([_spread(by_source[name], each, seed) for name in order]))


def _spread(passages: list[Passage], clusters: int, seed: int) -> list[Passage]:
    """The passages of one document, from each cluster in turn; by the seed where there is nothing to cluster."""
    if clusters <= 1 or len(passages) <= clusters:
        return sorted(passages, key=lambda item: share_of(item.id, seed=seed))
    from scipy.cluster.vq import kmeans2

    matrix = np.stack([item.vector for item in passages]).astype(float)
    centres, labels = kmeans2(matrix, clusters, minit="++", rng=np.random.default_rng(seed), missing="warn")
    distances = np.linalg.norm(matrix - centres[labels], axis=1)
    groups: dict[int, list[Passage]] = {int(label): [] for label in labels}
    for at in np.argsort(distances, kind="stable"):
        groups[int(labels[at])].append(passages[at])
    return list(_in_turn(list(groups.values())))


def _in_turn(queues: Sequence[Sequence[Passage]]) -> Iterator[Passage]:
    """The first of each, then the second of each, and so on; one that has ended is passed over."""
    longest = max(map(len, queues), default=0)
    return (queue[at] for at in range(longest) for queue in queues if at < len(queue))
