"""Whole documents: which ones there are, and their passages in the order of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from langchain_core.documents import Document

from ....retrieval.documents import to_document
from ....retrieval.store.filters import all_of, quote, to_predicate, where_in
from ....retrieval.store.schema import COLUMNS, row_to_node

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
    """The documents of a knowledge base that a retriever with the same tenant, collection and filters sees.

    Each call reads the newest snapshot. A document of which filters hide a part has its other passages only.

    Args:
        kb: the knowledge base.
        tenant: whose documents may be seen; another tenant's never are.
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
        tenant: str = "",
        collection: str | None = None,
        filters: MetadataFilters | None = None,
    ) -> None:
        self.kb = kb
        in_collection = None if collection is None else f"collection = {quote(collection)}"
        self._where = all_of([f"tenant = {quote(tenant)}", in_collection, to_predicate(filters)])

    @classmethod
    def seen_by(cls, retriever: KnowledgeBaseRetriever) -> KnowledgeBaseLibrary:
        """What this retriever sees: its tenant, its collection and its filters."""
        library = cls(retriever.kb)
        library._where = retriever.predicate  # the predicate itself: nothing that narrows it can be left out
        return library

    def entries(self) -> list[LibraryEntry]:
        """Every document, by source."""
        if not self.kb.exists:
            return []
        columns = ["doc_id", "source", "title", "collection"]
        rows = self.kb.table.snapshot().rows(self._where, columns)
        counted = rows.group_by(columns).aggregate([([], "count_all")]).to_pylist()
        found = [LibraryEntry(**{name: row[name] for name in columns}, passages=row["count_all"]) for row in counted]
        return sorted(found, key=lambda entry: (entry.source, entry.doc_id))

    def passages(self, doc_ids: Sequence[str]) -> dict[str, list[Document]]:
        """The passages of these documents, by id, in the order of the text."""
        if not self.kb.exists:
            return {}
        from llama_index.core.schema import NodeWithScore

        where = all_of([self._where, where_in("doc_id", doc_ids)])
        rows = self.kb.table.snapshot().rows(where, [*COLUMNS, "metadata"]).to_pylist()
        found: dict[str, list[Document]] = {each: [] for each in doc_ids}
        for row in sorted(rows, key=lambda row: (row["start"], row["end"])):
            own = found[row["doc_id"]]
            document = to_document(NodeWithScore(node=row_to_node(row), score=1 / (len(own) + 1)))
            document.metadata["score_kind"] = SCORE_KIND
            own.append(document)
        return {each: own for each, own in found.items() if own}
