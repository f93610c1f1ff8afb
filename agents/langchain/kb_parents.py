"""The parents of a knowledge base's chunks: their whole documents, or their neighbours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from langchain_core.documents import Document

from ...access import AccessScope, scope_from
from ...errors import UsageError
from ...retrieval.store.filters import all_of, quote, to_predicate, where_in
from ...retrieval.store.schema import NODE_COLUMNS, row_to_node

if TYPE_CHECKING:
    from llama_index.core.schema import TextNode
    from llama_index.core.vector_stores.types import MetadataFilters

    from ...retrieval import KnowledgeBase

__all__ = ("KnowledgeBaseParents",)


class KnowledgeBaseParents:
    """Puts the chunks of a document together again, all of them or those around a child.

    Sees what a retriever with the same `scope`, `collection` and `filters` sees, and nothing else: give both the same.
    Windows of one document that overlap or touch become one parent, so no text is given twice.

    Args:
        kb: the knowledge base in which the children were found.
        neighbours: how many chunks before and after each child; None: the whole document.
        scope: whose chunks may be seen, as of `KnowledgeBase.retriever`.
        tenant: short for a scope with this tenant and no groups.
        collection: only this source.
        filters: LlamaIndex metadata filters; chunks that do not meet them are left out of the parents.

    Example:
        >>> parents = KnowledgeBaseParents(kb, neighbours=1)  # doctest: +SKIP
        >>> parents.of(retriever.invoke("Who books trips?"))[0].metadata["start"]  # doctest: +SKIP
        700
    """

    def __init__(
        self,
        kb: KnowledgeBase,
        *,
        neighbours: int | None = None,
        scope: AccessScope | None = None,
        tenant: str = "",
        collection: str | None = None,
        filters: MetadataFilters | None = None,
    ) -> None:
        if neighbours is not None and neighbours < 0:
            raise UsageError(f"neighbours is {neighbours}", hint="use 0 or more, or None for the whole document")
        self.kb, self.neighbours = kb, neighbours
        self.scope = scope_from(scope, tenant)
        self._limits = [None if collection is None else f"collection = {quote(collection)}", to_predicate(filters)]
        kb.visible_to(self.scope)  # an error now rather than at the first question

    def of(self, children: Sequence[Document]) -> list[Document | None]:
        """The parent of each child, as the newest snapshot has it; None where it cannot be seen."""
        documents = self._chunks({str(child.metadata.get("doc_id", "")) for child in children})
        parent_of: dict[str, Document] = {}
        for doc_id, chunks in documents.items():
            places = {chunk.node_id: at for at, chunk in enumerate(chunks)}
            for first, last in self._spans([places[str(each.id)] for each in children if each.id in places], chunks):
                parent = _joined(doc_id, chunks[first : last + 1], whole=self.neighbours is None)
                parent_of.update((chunk.node_id, parent) for chunk in chunks[first : last + 1])
        return [parent_of.get(str(child.id)) for child in children]

    async def aof(self, children: Sequence[Document]) -> list[Document | None]:
        """The same, beside the event loop: the store is read in this process."""
        return await asyncio.to_thread(self.of, children)

    def _chunks(self, doc_ids: set[str]) -> dict[str, list[TextNode]]:
        """The chunks of these documents, in the order of the text."""
        where = all_of([self.kb.visible_to(self.scope), *self._limits, where_in("doc_id", sorted(doc_ids))])
        rows = self.kb.table.snapshot().rows(where, [*NODE_COLUMNS]).to_pylist()
        found: dict[str, list[TextNode]] = {}
        for row in sorted(rows, key=lambda row: (row["start"], row["end"])):
            found.setdefault(row["doc_id"], []).append(row_to_node(row))
        return found

    def _spans(self, places: Sequence[int], chunks: Sequence[TextNode]) -> list[tuple[int, int]]:
        """First and last chunk of each parent; those that overlap or touch are one."""
        around = len(chunks) if self.neighbours is None else self.neighbours
        spans: list[tuple[int, int]] = []
        for at in sorted(places):
            first, last = max(0, at - around), min(len(chunks) - 1, at + around)
            if spans and first <= spans[-1][1] + 1:
                first = spans.pop()[0]
            spans.append((first, last))
        return spans


def _joined(doc_id: str, chunks: Sequence[TextNode], *, whole: bool) -> Document:
    """Neighbouring chunks as one document: what they share stands once, what lay between them is a blank line."""
    start, end = int(chunks[0].metadata["start"]), 0
    text = ""
    for chunk in chunks:
        at, body = int(chunk.metadata["start"]), chunk.get_content()
        if text:
            # A chunk that continues a table repeats its header in front: only the last characters are new text.
            body = body[-(int(chunk.metadata["end"]) - at) :]
            body = body[end - at :] if at < end else "\n" * min(at - end, 2) + body
        text, end = text + body, max(end, int(chunk.metadata["end"]))
    metadata = {**chunks[0].metadata, "start": start, "end": end, "doc_id": doc_id}
    return Document(text, id=doc_id if whole else f"{doc_id}:{start}-{end}", metadata=metadata)
