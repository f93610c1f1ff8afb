"""Whole documents: which ones there are, and their passages in the order of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from langchain_core.documents import Document

from ....access import AccessScope
from ....retrieval.documents import to_document
from ....retrieval.store.filters import all_of, where_in
from ....retrieval.store.schema import NODE_COLUMNS, row_to_node

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilters

    from ....retrieval import KnowledgeBase, KnowledgeBaseRetriever

__all__ = ("KnowledgeBaseLibrary", "Library", "LibraryEntry")

SCORE_KIND = "position"
"""What the score of a passage means that was taken from its document, not found: 1 / its place."""


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A document that may be seen."""

    doc_id: str
    source: str
    """What people see in citations: usually a path."""
    title: str = ""
    collection: str = ""
    passages: int = 1


@runtime_checkable
class Library(Protocol):
    """Documents that may be seen, and nothing else: whose scope it is, is part of it. Any object with these two is one.

    Both may block; graphs call them beside the event loop.
    """

    def entries(self) -> list[LibraryEntry]:
        """Every document, by source."""

    def passages(self, doc_ids: Sequence[str]) -> dict[str, list[Document]]:
        """The passages of these documents, by id, in the order of the text. Documents out of scope are missing."""


class KnowledgeBaseLibrary:
    """The documents of a knowledge base that a retriever with the same scope, collection and filters sees.

    Each call reads the newest snapshot. A document of which filters hide a part has its other passages only.

    Args:
        kb: the knowledge base.
        scope: whose documents may be seen, as of `KnowledgeBase.retriever`.
        tenant: short for a scope with this tenant and no groups.
        collection: only this source.
        filters: LlamaIndex metadata filters; all of them hold.

    Example:
        >>> library = KnowledgeBaseLibrary(kb, tenant="acme")  # doctest: +SKIP
        >>> [each.source for each in library.entries()]  # doctest: +SKIP
        ['handbook/leave.pdf', 'handbook/travel.pdf']
    """

    def __init__(
        self,
        kb: KnowledgeBase,
        *,
        scope: AccessScope | None = None,
        tenant: str = "",
        collection: str | None = None,
        filters: MetadataFilters | None = None,
    ) -> None:
        self.kb = kb
        # What this retriever sees is what may be seen here: nothing that narrows it can be left out.
        self._retriever = kb.retriever(mode="bm25", scope=scope, tenant=tenant, collection=collection, filters=filters)

    @classmethod
    def seen_by(cls, retriever: KnowledgeBaseRetriever) -> KnowledgeBaseLibrary:
        """What this retriever sees: its scope, its collection and its filters."""
        library = cls(retriever.kb, scope=retriever.scope)
        library._retriever = retriever
        return library

    def entries(self) -> list[LibraryEntry]:
        """Every document, by source."""
        if not self.kb.exists:
            return []
        columns = ["doc_id", "source", "title", "collection"]
        rows = self.kb.table.snapshot().rows(self._retriever.predicate, columns)
        counted = rows.group_by(columns).aggregate([([], "count_all")]).to_pylist()
        found = [LibraryEntry(**{name: row[name] for name in columns}, passages=row["count_all"]) for row in counted]
        return sorted(found, key=lambda entry: (entry.source, entry.doc_id))

    def passages(self, doc_ids: Sequence[str]) -> dict[str, list[Document]]:
        """The passages of these documents, by id, in the order of the text."""
        if not self.kb.exists:
            return {}
        from llama_index.core.schema import NodeWithScore

        where = all_of([self._retriever.predicate, where_in("doc_id", doc_ids)])
        rows = self.kb.table.snapshot().rows(where, [*NODE_COLUMNS]).to_pylist()
        found: dict[str, list[Document]] = {each: [] for each in doc_ids}
        for row in sorted(rows, key=lambda row: (row["start"], row["end"])):
            own = found[row["doc_id"]]
            document = to_document(NodeWithScore(node=row_to_node(row), score=1 / (len(own) + 1)))
            document.metadata["score_kind"] = SCORE_KIND
            own.append(document)
        return {each: own for each, own in found.items() if own}
