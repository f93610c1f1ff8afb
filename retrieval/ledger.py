"""The ingestion ledger: what is in the knowledge base, from which bytes, made with which settings (SQLite).

The ledger is written around the store's commit, never instead of it: `begin` before, `finish` after. A document whose
ingestion was cut off therefore has an empty content hash and is read again next time; its chunks, if they were
committed, are found by their ids and neither lost nor doubled.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import StoreError

__all__ = ("DocumentRecord", "Ledger")


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """One ingested document."""

    doc_id: str
    tenant: str
    collection: str
    """The name given with `--source`: which of several knowledge sources it belongs to."""
    path: str
    """Absolute path of the file: with tenant and collection, the document's identity."""
    source: str
    """What people see in citations."""
    content_hash: str
    """SHA-256 of the file's bytes; empty while an ingestion of it is under way."""
    fingerprint: str
    """Reader version, chunk settings and embedder that the stored chunks were made with."""
    version: int
    """Counts the ingested versions of the document from 1."""
    chunks: int
    bytes: int
    format: str
    title: str
    warnings: str
    """What could not be read, one line each."""
    ingested_at: float
    """Seconds since the epoch."""
    groups: tuple[str, ...] = ()
    """Whose members alone may see it; empty: all of its tenant."""


_COLUMNS = [field.name for field in fields(DocumentRecord)]
_NAMES = ", ".join(f'"{name}"' for name in _COLUMNS)
_CREATE = f"""
CREATE TABLE IF NOT EXISTS documents (
    {", ".join(f'"{name}"' + (" PRIMARY KEY" if name == "doc_id" else "") for name in _COLUMNS)}
)"""
_ADD_GROUPS = "ALTER TABLE documents ADD COLUMN \"groups\" DEFAULT '[]'"


class Ledger:
    """Opens (and makes where missing) the ledger file. Readers never block, nor are blocked by, the one writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute(_CREATE)
                _update(connection)
        except sqlite3.Error as error:
            raise StoreError(
                f"cannot open the ledger {str(path)!r}: {error}",
                hint="if the file is damaged, delete it and ingest again: unchanged chunks keep their embeddings",
            ) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30)
        connection.row_factory = sqlite3.Row
        return connection

    def get(self, doc_ids: Iterable[str]) -> dict[str, DocumentRecord]:
        """The records of these documents, by id; unknown ones are missing."""
        wanted = list(doc_ids)
        found: dict[str, DocumentRecord] = {}
        with closing(self._connect()) as connection:
            for first in range(0, len(wanted), 500):
                part = wanted[first : first + 500]
                marks = ", ".join("?" * len(part))
                for row in connection.execute(f"SELECT * FROM documents WHERE doc_id IN ({marks})", part):
                    found[row["doc_id"]] = _record(row)
        return found

    def all(self, *, tenant: str | None = None, collection: str | None = None) -> list[DocumentRecord]:
        """Every record of a tenant and collection (None: of all of them), by source."""
        query, values = "SELECT * FROM documents WHERE 1", []
        for name, value in (("tenant", tenant), ("collection", collection)):
            if value is not None:
                query += f' AND "{name}" = ?'
                values.append(value)
        with closing(self._connect()) as connection:
            return [_record(row) for row in connection.execute(f"{query} ORDER BY source, path", values)]

    def begin(self, records: Sequence[DocumentRecord]) -> None:
        """Notes that these documents are about to be written: an interrupted one will be read again."""
        marks = ", ".join("?" * len(_COLUMNS))
        with closing(self._connect()) as connection, connection:
            connection.executemany(
                f"INSERT INTO documents ({_NAMES}) VALUES ({marks}) "
                "ON CONFLICT (doc_id) DO UPDATE SET content_hash = ''",
                [_row(record, "") for record in records],
            )

    def finish(self, records: Sequence[DocumentRecord]) -> None:
        """Notes that the chunks of these documents are committed."""
        marks = ", ".join("?" * len(_COLUMNS))
        stamped = [_row(record, record.content_hash) for record in records]
        with closing(self._connect()) as connection, connection:
            connection.executemany(f"INSERT OR REPLACE INTO documents ({_NAMES}) VALUES ({marks})", stamped)

    def delete(self, doc_ids: Iterable[str]) -> None:
        """Forgets documents whose chunks are gone."""
        with closing(self._connect()) as connection, connection:
            connection.executemany("DELETE FROM documents WHERE doc_id = ?", [(doc_id,) for doc_id in doc_ids])


def _update(connection: sqlite3.Connection) -> None:
    """Gives a ledger of the time before groups its column."""
    if "groups" in {row["name"] for row in connection.execute("PRAGMA table_info(documents)")}:
        return
    try:
        connection.execute(_ADD_GROUPS)
    except sqlite3.OperationalError as error:  # another process was first
        if "duplicate column" not in str(error):
            raise


def _record(row: sqlite3.Row) -> DocumentRecord:
    values = dict(row)
    return DocumentRecord(**values | {"groups": tuple(json.loads(values["groups"]))})


def _row(record: DocumentRecord, content_hash: str) -> tuple[object, ...]:
    values = asdict(record) | {"content_hash": content_hash, "ingested_at": record.ingested_at or time.time()}
    values["groups"] = json.dumps(record.groups)
    return tuple(values[name] for name in _COLUMNS)
