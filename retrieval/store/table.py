"""The chunk table on LanceDB: atomic commits, full text and vectors, one snapshot a query.

This file speaks Arrow and SQL predicates; `vector_store.py` puts the LlamaIndex face on it. Laws it keeps:

- every write is one LanceDB commit, so a reader sees all of it or nothing;
- a query runs on one snapshot: its lexical and dense halves never see different versions;
- the full-text index is created once and grows by `optimize()`; rows not yet indexed are searched all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import StoreError
from .filters import where_in
from .schema import EVERYONE, schema

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from lancedb.table import Table
    from numpy.typing import NDArray

__all__ = ("ANN_MIN_ROWS", "ChunkTable", "Snapshot")

ANN_MIN_ROWS = 20_000
"""From this many rows on an approximate index pays: below, the exact scan takes about 10 ms."""
ANN_REGROW = 4
"""The approximate index is trained anew once the table has grown by this factor."""
PROBES = 64
"""Partitions that a query looks into. Of 316, on 100,000 chunks, 64 find 98 % of the true top 100 (`make bench`)."""
_ANN_NAME = "vector_ann_"
KEEP_VERSIONS = timedelta(hours=6)
"""Old versions stay this long, so that a reader in the middle of a query never loses its files."""


class Snapshot:
    """One version of the table. All searches on it see the same rows. Safe to use from several threads."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.version: int = table.version

    def __len__(self) -> int:
        return int(self._table.count_rows())

    def search_text(self, query: str, k: int, where: str | None = None) -> dict[int, float]:
        """The `k` best rows by BM25 (stemmed, stop words out) as {row id: score}, best first; empty without a match."""
        from lancedb.query import MatchQuery

        if not query.strip():
            return {}
        found = self._table.search(MatchQuery(query, "content"), query_type="fts")
        return self._scores(found, "_score", k, where)

    def search_vector(self, vector: Sequence[float], k: int, where: str | None = None) -> dict[int, float]:
        """The `k` nearest rows as {row id: cosine similarity}, best first."""
        found = self._table.search(vector, query_type="vector", vector_column_name="vector")
        found = found.distance_type("cosine").nprobes(PROBES)
        return {row: 1.0 - far for row, far in self._scores(found, "_distance", k, where).items()}

    @staticmethod
    def _scores(found: Any, column: str, k: int, where: str | None) -> dict[int, float]:
        if where:
            found = found.where(where, prefilter=True)
        # Which of two rows with the same score comes first must not depend on how the store scanned them.
        rows = found.select([column]).with_row_id(True).limit(k).to_arrow()
        pairs = zip(rows["_rowid"].to_pylist(), rows[column].to_pylist(), strict=True)
        sign = 1 if column == "_distance" else -1
        return dict(sorted(pairs, key=lambda pair: (sign * pair[1], pair[0])))

    def take(self, row_ids: Sequence[int], columns: list[str] | None = None) -> list[dict[str, Any]]:
        """The rows of these row ids, in this order."""
        if not row_ids:
            return []
        query = self._table.take_row_ids(list(row_ids))
        if columns:
            query = query.select([*columns])
        rows: list[dict[str, Any]] = query.with_row_id().to_list()
        by_id = {row.pop("_rowid"): row for row in rows}
        return [by_id[row_id] for row_id in row_ids if row_id in by_id]

    def vectors(self, row_ids: Sequence[int]) -> NDArray[np.float32]:
        """The vectors of these rows, each of length 1: shape `(len(row_ids), dimension)`, in this order."""
        import numpy as np
        import pyarrow.compute as pc

        found = self._table.take_row_ids(list(row_ids)).select(["vector"]).with_row_id().to_arrow()
        matrix = pc.list_flatten(found["vector"]).to_numpy().reshape(found.num_rows, -1)
        place = {row: index for index, row in enumerate(found["_rowid"].to_pylist())}
        ordered = matrix[[place[row] for row in row_ids]]
        unit: NDArray[np.float32] = ordered / np.maximum(np.linalg.norm(ordered, axis=1, keepdims=True), 1e-12)
        return unit

    def rows(self, where: str | None = None, columns: list[str] | None = None, limit: int | None = None) -> pa.Table:
        """All rows that meet a predicate, as an Arrow table."""
        query = self._table.search()
        if where:
            query = query.where(where)
        if columns:
            query = query.select(columns)
        return query.limit(len(self) if limit is None else limit).to_arrow()


class ChunkTable:
    """A table of chunks in a LanceDB folder, created on first use.

    Args:
        folder: the LanceDB folder.
        dimension: length of the vectors; a stored table of another dimension raises `StoreError`.
        name: table name.
    """

    def __init__(self, folder: Path, dimension: int, *, name: str = "chunks") -> None:
        import lancedb

        self.name = name
        self.dimension = dimension
        self._lock = threading.Lock()
        try:
            self._db = lancedb.connect(str(folder))
            self._table = self._open_or_create()
            self._probe = self._db.open_table(name)
        except (RuntimeError, ValueError, OSError) as error:
            raise StoreError(f"cannot open the chunk table {name!r} in {str(folder)!r}: {error}") from error
        stored = self._table.schema.field("vector").type.list_size
        if stored != dimension:
            raise StoreError(f"the table holds vectors of {stored} numbers, the embedder makes {dimension}")
        self._snapshot = Snapshot(self._table)

    def _open_or_create(self) -> Table:
        if self.name in self._db.list_tables().tables:
            return self._with_groups(self._db.open_table(self.name))
        from lancedb.index import FTS, Bitmap, BTree, LabelList

        table = self._db.create_table(self.name, schema=schema(self.dimension), exist_ok=True)
        table.create_index("content", config=FTS(with_position=False))
        # Every query names a tenant and groups: without these indexes the filter scans the whole columns.
        table.create_index("tenant", config=Bitmap())
        table.create_index("groups", config=LabelList())
        table.create_index("collection", config=Bitmap())
        table.create_index("doc_id", config=BTree())
        return table

    @staticmethod
    def _with_groups(table: Table) -> Table:
        """A table of the time before groups gets them: its documents are for all of their tenant. One small commit."""
        if "groups" in table.schema.names:
            return table
        from lancedb.index import LabelList

        try:
            table.add_columns({"groups": f"make_array('{EVERYONE}')"})
            table.create_index("groups", config=LabelList())
        except (RuntimeError, ValueError):
            table.checkout_latest()
            if "groups" not in table.schema.names:  # nor did another process add them just now
                raise
        return table

    def snapshot(self) -> Snapshot:
        """The newest committed version. Cheap (a fraction of a millisecond) while nothing was written."""
        with self._lock:
            self._probe.checkout_latest()
            if self._probe.version != self._snapshot.version:
                self._snapshot = Snapshot(self._db.open_table(self.name))
            return self._snapshot

    def append(self, rows: pa.Table) -> None:
        """Adds rows of documents that the table does not hold yet, in one commit."""
        if rows.num_rows:
            self._table.checkout_latest()
            self._table.add(rows)

    def replace_documents(self, doc_ids: Iterable[str], rows: pa.Table) -> None:
        """Makes `rows` the only rows of these documents, in one commit: the old version is whole until then."""
        self._table.checkout_latest()
        (
            self._table.merge_insert("id")
            .when_matched_update_all()
            .when_not_matched_insert_all()
            .when_not_matched_by_source_delete(where_in("doc_id", doc_ids))
            .execute(rows)
        )

    def upsert(self, rows: pa.Table) -> None:
        """Adds rows, replacing those of the same id, in one commit."""
        self._table.checkout_latest()
        self._table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all().execute(rows)

    def delete(self, where: str) -> int:
        """Removes all rows that meet a predicate, in one commit; returns how many."""
        self._table.checkout_latest()
        before = int(self._table.count_rows())
        self._table.delete(where)
        return before - int(self._table.count_rows())

    def maintain(self) -> None:
        """Brings the indexes up to date, compacts small files, and retires versions older than `KEEP_VERSIONS`."""
        self._table.checkout_latest()
        self._table.optimize(cleanup_older_than=KEEP_VERSIONS)
        rows = int(self._table.count_rows())
        if rows >= ANN_MIN_ROWS and rows > ANN_REGROW * max(self._trained_indexes().values(), default=0):
            self._train_index(rows)

    def _trained_indexes(self) -> dict[str, int]:
        """The approximate indexes there are, with the number of rows each was trained on (kept in its name)."""
        names = [index.name for index in self._table.list_indices()]
        return {name: int(name.removeprefix(_ANN_NAME)) for name in names if name.startswith(_ANN_NAME)}

    def _train_index(self, rows: int) -> None:
        from lancedb.index import IvfFlat

        # IVF_FLAT keeps exact distances and is built in seconds, where IVF_HNSW_SQ took minutes on 100,000 rows of a
        # busy machine. Partitions grow with the root of the table.
        outgrown = self._trained_indexes()
        config = IvfFlat(distance_type="cosine", num_partitions=max(16, int(rows**0.5)))
        self._table.create_index("vector", config=config, name=f"{_ANN_NAME}{rows}", replace=True)
        for name in outgrown:
            self._table.drop_index(name)
