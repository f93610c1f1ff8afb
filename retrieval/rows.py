"""From chunks to rows of the chunk table: ids, context, vectors (embedded, or kept from the version before)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .chunk import Chunk, chunk_ids
from .ledger import DocumentRecord
from .store.filters import where_in

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from .knowledge_base import KnowledgeBase

__all__ = ("PendingDocument", "build_rows", "embed_key", "stored_vectors")


@dataclass(slots=True)
class PendingDocument:
    """A document that was read and cut, and awaits its commit."""

    record: DocumentRecord
    chunks: list[Chunk]
    metadata: str
    """The document's metadata as JSON."""
    known: bool
    """Whether the ledger has the document already, so that the store may hold chunks of it."""
    visible: bool
    """Whether a whole version of it was ingested before."""


def build_rows(
    kb: KnowledgeBase, window: Sequence[PendingDocument], stored: Mapping[str, NDArray[np.float32]]
) -> tuple[pa.Table, int]:
    """The rows of all chunks, in order, and how many chunks had to be embedded: not those whose key is in `stored`."""
    import numpy as np
    import pyarrow as pa

    from .store.schema import NODE_COLUMNS, schema, stored_groups

    columns: dict[str, list[Any]] = {name: [] for name in NODE_COLUMNS}
    for item in window:
        record, count = item.record, len(item.chunks)
        columns["id"] += chunk_ids(record.doc_id, item.chunks)
        for name in ("doc_id", "tenant", "collection", "source", "title", "format"):
            columns[name] += [getattr(record, name)] * count
        columns["metadata"] += [item.metadata] * count
        columns["groups"] += [stored_groups(record.groups)] * count
        for chunk in item.chunks:
            columns["page"].append(chunk.page)
            columns["page_label"].append(chunk.page_label)
            columns["headings"].append(" > ".join(chunk.headings))
            columns["start"].append(chunk.start)
            columns["end"].append(chunk.end)
            columns["body_at"].append(len(chunk.content) - len(chunk.text))
            columns["content"].append(chunk.content)
            columns["embed_key"].append(embed_key(kb.embedder_fingerprint, chunk.content))
    keys: list[str] = columns["embed_key"]
    missing = list(dict.fromkeys(key for key in keys if key not in stored))
    contents = dict(zip(keys, columns["content"], strict=True))
    vectors = dict(stored)
    if missing:
        vectors.update(zip(missing, kb.embedder.embed([contents[key] for key in missing]), strict=True))
    matrix = np.stack([vectors[key] for key in keys]).astype(np.float32) if keys else np.zeros((0, kb.table.dimension))
    arrow = schema(kb.table.dimension)
    vectors_of_rows = pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), type=arrow.field("vector").type)
    arrays = [
        vectors_of_rows
        if field.name == "vector"
        else pa.array(columns[field.name], _storage_type(field.type)).cast(field.type)
        for field in arrow
    ]
    return pa.Table.from_arrays(arrays, schema=arrow), len(missing)


def _storage_type(kind: Any) -> Any:
    """Python strings become JSON columns by way of the type that those are stored as."""
    return getattr(kind, "storage_type", kind)


def stored_vectors(kb: KnowledgeBase, doc_ids: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """The vectors of these documents' stored chunks, by `embed_key`."""
    if not doc_ids:
        return {}
    import pyarrow.compute as pc

    rows = kb.table.snapshot().rows(where_in("doc_id", doc_ids), ["embed_key", "vector"])
    matrix = pc.list_flatten(rows["vector"]).to_numpy().reshape(-1, kb.table.dimension)
    return dict(zip(rows["embed_key"].to_pylist(), matrix, strict=True))


def embed_key(fingerprint: str, content: str) -> str:
    """Equal where an embedder would make the same vector."""
    return hashlib.sha256(f"{fingerprint}\0{content}".encode()).hexdigest()[:32]
