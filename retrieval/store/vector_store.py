"""`LanceVectorStore`: the chunk table as a LlamaIndex vector store.

>>> store = LanceVectorStore("kb", dimension=384)  # doctest: +SKIP
>>> index = VectorStoreIndex.from_vector_store(store, embed_model=load_embedder("bundled:minilm"))  # doctest: +SKIP
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr
from llama_index.core.schema import BaseNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

from ...errors import UsageError
from .filters import all_of, to_predicate, where_in
from .schema import NODE_COLUMNS, node_to_row, row_to_node, schema
from .table import ChunkTable

__all__ = ("LanceVectorStore",)

_LEXICAL = {VectorStoreQueryMode.TEXT_SEARCH, VectorStoreQueryMode.SPARSE}


class LanceVectorStore(BasePydanticVectorStore):
    """Dense, full-text and hybrid search over nodes, on disk, with filters that combine.

    Modes: `DEFAULT` (dense), `TEXT_SEARCH` or `SPARSE` (BM25), `HYBRID` (relative-score fusion; `alpha` from 0, BM25
    alone, to 1, dense alone; both ends work). Any other mode raises `UsageError` instead of silently being dense.
    No match is an empty result. Writes are atomic; adding a node of a known id replaces it.

    Args:
        folder: the LanceDB folder, made where missing.
        dimension: length of the embeddings.
        table: table name.
    """

    stores_text: bool = True
    is_embedding_query: bool = True
    flat_metadata: bool = False
    folder: str
    dimension: int
    table: str = "chunks"
    _chunks: ChunkTable = PrivateAttr()

    def __init__(self, folder: str | Path, *, dimension: int, table: str = "chunks", **kwargs: Any) -> None:
        super().__init__(folder=str(folder), dimension=dimension, table=table, **kwargs)  # type: ignore[call-arg]
        self._chunks = ChunkTable(Path(folder), dimension, name=table)

    @classmethod
    def class_name(cls) -> str:
        """The name that LlamaIndex serialises this class by."""
        return "RagloomLanceVectorStore"

    @property
    def client(self) -> ChunkTable:
        """The chunk table underneath."""
        return self._chunks

    def add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """Adds nodes that carry embeddings; returns their ids."""
        import pyarrow as pa

        if not nodes:
            return []
        rows = {node.node_id: node_to_row(node, node.get_embedding()) for node in nodes}
        self._chunks.upsert(pa.Table.from_pylist(list(rows.values()), schema=schema(self.dimension)))
        return [node.node_id for node in nodes]

    def delete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """Removes all nodes of a document."""
        self._chunks.delete(where_in("doc_id", [ref_doc_id]))

    def delete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """Removes the nodes that are among `node_ids` and meet `filters`; without either, nothing."""
        predicate = all_of([where_in("id", node_ids) if node_ids is not None else None, to_predicate(filters)])
        if predicate:
            self._chunks.delete(predicate)

    def get_nodes(self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None) -> list[BaseNode]:
        """The nodes that are among `node_ids` (in this order) and meet `filters`; without either, all."""
        predicate = all_of([where_in("id", node_ids) if node_ids is not None else None, to_predicate(filters)])
        found = self._chunks.snapshot().rows(predicate, [*NODE_COLUMNS, "vector"]).to_pylist()
        nodes = {row["id"]: row_to_node(row) for row in found}
        order = nodes if node_ids is None else [node_id for node_id in dict.fromkeys(node_ids) if node_id in nodes]
        return [nodes[node_id] for node_id in order]

    def clear(self) -> None:
        """Removes every node."""
        self._chunks.delete("true")

    def persist(self, persist_path: str, fs: Any = None) -> None:
        """Nothing to do: every write is on disk when it returns."""

    def query(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """Runs one query on one snapshot."""
        from ..search import hybrid_scores

        predicate = all_of(
            [
                to_predicate(query.filters),
                where_in("doc_id", query.doc_ids) if query.doc_ids else None,
                where_in("id", query.node_ids) if query.node_ids else None,
            ]
        )
        if query.mode in _LEXICAL:
            alpha = 0.0
        elif query.mode == VectorStoreQueryMode.DEFAULT:
            alpha = 1.0
        elif query.mode == VectorStoreQueryMode.HYBRID:
            alpha = 0.5 if query.alpha is None else query.alpha
        else:
            raise UsageError(
                f"LanceVectorStore cannot run the query mode {query.mode.value!r}",
                hint="use default, text_search, sparse or hybrid",
            )
        if alpha > 0 and query.query_embedding is None:
            raise UsageError("a dense or hybrid query needs query_embedding", hint="pass an embed_model to the index")
        if alpha < 1 and not query.query_str:
            raise UsageError("a full-text or hybrid query needs query_str")
        top_k = query.hybrid_top_k or query.similarity_top_k
        snapshot = self._chunks.snapshot()
        if 0 < alpha < 1:
            scores = hybrid_scores(
                snapshot, query.query_str or "", query.query_embedding or [], top_k=top_k, alpha=alpha, where=predicate
            )
        elif alpha == 0:
            depth = query.sparse_top_k or top_k
            scores = dict(list(snapshot.search_text(query.query_str or "", depth, predicate).items())[:depth])
        else:
            scores = snapshot.search_vector(query.query_embedding or [], top_k, predicate)
        rows = snapshot.take(list(scores), [*NODE_COLUMNS])
        return VectorStoreQueryResult(
            nodes=[row_to_node(row) for row in rows],
            similarities=list(scores.values()),
            ids=[row["id"] for row in rows],
        )

    async def async_add(self, nodes: Sequence[BaseNode], **kwargs: Any) -> list[str]:
        """`add`, off the event loop (LanceDB releases the interpreter lock while it works)."""
        return await asyncio.to_thread(self.add, nodes)

    async def adelete(self, ref_doc_id: str, **delete_kwargs: Any) -> None:
        """`delete`, off the event loop."""
        await asyncio.to_thread(self.delete, ref_doc_id)

    async def adelete_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None, **delete_kwargs: Any
    ) -> None:
        """`delete_nodes`, off the event loop."""
        await asyncio.to_thread(self.delete_nodes, node_ids, filters)

    async def aget_nodes(
        self, node_ids: list[str] | None = None, filters: MetadataFilters | None = None
    ) -> list[BaseNode]:
        """`get_nodes`, off the event loop."""
        return await asyncio.to_thread(self.get_nodes, node_ids, filters)

    async def aclear(self) -> None:
        """`clear`, off the event loop."""
        await asyncio.to_thread(self.clear)

    async def aquery(self, query: VectorStoreQuery, **kwargs: Any) -> VectorStoreQueryResult:
        """`query`, off the event loop."""
        return await asyncio.to_thread(self.query, query)
