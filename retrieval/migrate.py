"""Another embedder for an existing knowledge base: stored chunks are embedded anew into a new table."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .rows import embed_key
from .store import ChunkTable

if TYPE_CHECKING:
    from .knowledge_base import KnowledgeBase

__all__ = ("embed_anew",)

BATCH = 2048


def embed_anew(kb: KnowledgeBase, old_name: str, old_dimension: int) -> str:
    """Fills a table for the new embedder from the stored texts and returns its name; readers keep the old table.

    No file is read: documents whose files are gone move too. A chunk longer than the new embedder reads would be cut
    silently, so its document is marked to be read anew at its next ingestion (its fingerprint is emptied).
    """
    import lancedb
    import numpy as np
    import pyarrow as pa

    from .store.schema import schema

    folder = Path(kb.folder) / "store"
    embedder = kb.embedder
    name = f"chunks_{embed_key(kb.embedder_fingerprint, '')[:8]}"
    database = lancedb.connect(str(folder))
    for leftover in database.list_tables().tables:
        if leftover != old_name:  # of a move that was cut off, or retired by the last one
            database.drop_table(leftover)
    old = ChunkTable(folder, old_dimension, name=old_name).snapshot()
    new = ChunkTable(folder, embedder.dimension, name=name)
    columns = [field for field in schema(embedder.dimension).names if field != "vector"]
    rows = old.rows(columns=columns)
    too_long: set[str] = set()
    for first in range(0, rows.num_rows, BATCH):
        part = rows.slice(first, BATCH)
        contents = part["content"].to_pylist()
        counts = embedder.count_tokens(contents)
        doc_ids = part["doc_id"].to_pylist()
        too_long |= {doc for doc, count in zip(doc_ids, counts, strict=True) if count > embedder.max_tokens}
        keys = [embed_key(kb.embedder_fingerprint, content) for content in contents]
        part = part.set_column(part.schema.get_field_index("embed_key"), part.schema.field("embed_key"), pa.array(keys))
        flat = pa.array(np.asarray(embedder.embed(contents), dtype=np.float32).ravel())
        arrow = schema(embedder.dimension)
        vectors = pa.FixedSizeListArray.from_arrays(flat, type=arrow.field("vector").type)
        new.append(part.append_column(arrow.field("vector"), vectors).select(arrow.names).cast(arrow))
    new.maintain()
    records = kb.ledger.all()
    kb.ledger.finish(
        [
            replace(
                record,
                fingerprint=""
                if record.doc_id in too_long
                else "|".join([*record.fingerprint.split("|")[:2], kb.embedder_fingerprint]),
            )
            for record in records
        ]
    )
    return name
