"""Ingestion: files to committed chunks, incrementally, one whole version at a time.

For each window of documents: the ledger notes what is about to be written, new chunks are embedded (those whose
content is already stored keep their vectors), one store commit makes the new versions visible and retires the old
ones, and the ledger notes that it is done. Killed anywhere, the next run repairs what was cut off.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..access import checked_groups
from ..errors import IngestError, ReaderError
from .discovery import find_files, is_under
from .ledger import DocumentRecord
from .rows import PendingDocument, build_rows, stored_vectors
from .store.filters import where_in
from .store.schema import EVERYONE

if TYPE_CHECKING:
    from .knowledge_base import KnowledgeBase

__all__ = ("IngestProgress", "IngestReport", "ingest_paths")

WINDOW_CHUNKS = 512
"""Chunks per commit: enough for length-sorted batches to pay, few enough that a kill loses seconds of work."""
MAINTAIN_EVERY = 50_000
"""Chunks written between two updates of the indexes within one run."""
MAX_FILE_BYTES = 100 * 2**20


@dataclass(slots=True)
class IngestReport:
    """What an ingestion did. Documents are counted; `chunks` counts chunks written."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    """{path, reason} of every file that could not be read."""
    chunks: int = 0
    embedded: int = 0
    """Chunks that had to be embedded; the others kept their vectors."""
    warnings: list[dict[str, str]] = field(default_factory=list)
    """{path, reason} of files of which a part could not be read."""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """As `ragloom ingest --json` prints it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class IngestProgress:
    """How far an ingestion is."""

    files: int
    total_files: int
    bytes: int
    total_bytes: int
    chunks: int
    path: str


def ingest_paths(
    kb: KnowledgeBase,
    paths: Sequence[Path],
    *,
    collection: str = "",
    tenant: str = "",
    groups: Collection[str] | None = None,
    prune: bool = False,
    max_file_bytes: int = MAX_FILE_BYTES,
    progress: Callable[[IngestProgress], None] | None = None,
) -> IngestReport:
    """Brings the knowledge base up to date with files and folders. The caller holds the knowledge base's write lock.

    `groups` may see the documents, none of them: all of the tenant. None leaves each document the groups it has.

    Raises `IngestError` when the store cannot be written (a full disk); what was committed before stays, and the
    error's `report` says what that was.
    """
    began = time.perf_counter()
    report = IngestReport()
    found = find_files(paths, excluded=kb.folder)
    report.failed += [{"path": _printable(path), "reason": reason} for path, reason in found.missing]
    try:
        _Run(kb, report, collection, tenant, groups, max_file_bytes, progress).run(found.files)
        if prune:
            _prune(kb, paths, tenant, collection, report)
        if report.chunks or report.deleted:
            kb.table.maintain()
    except (OSError, RuntimeError) as error:
        report.seconds = time.perf_counter() - began
        full = "No space left" in str(error) or getattr(error, "errno", None) == 28
        what = "the disk is full" if full else str(error).splitlines()[0]
        raise IngestError(
            f"ingestion stopped: {what}",
            hint=f"{report.added + report.updated} documents were committed and stay; run it again to go on",
            report=report.to_dict(),
        ) from error
    report.seconds = time.perf_counter() - began
    return report


class _Run:
    """One ingestion: keeps the window of documents that await their commit."""

    def __init__(
        self,
        kb: KnowledgeBase,
        report: IngestReport,
        collection: str,
        tenant: str,
        groups: Collection[str] | None,
        max_file_bytes: int,
        progress: Callable[[IngestProgress], None] | None,
    ) -> None:
        self.kb, self.report = kb, report
        self.collection, self.tenant = collection, tenant
        self.groups = None if groups is None else checked_groups(groups)
        self.max_file_bytes = max_file_bytes
        self.progress = progress
        self.window: list[PendingDocument] = []
        self.since_maintained = 0
        self.unlisted: dict[str, tuple[str, ...]] | None = None

    def run(self, files: list[Path]) -> None:
        sizes = [_size(file) for file in files]
        ids = [document_id(self.tenant, self.collection, str(file)) for file in files]
        known = self.kb.ledger.get(ids)
        done_bytes = 0
        for number, (file, size, doc_id) in enumerate(zip(files, sizes, ids, strict=True), start=1):
            self._tell(number - 1, len(files), done_bytes, sum(sizes), file)
            try:
                self._add(file, doc_id, known.get(doc_id))
            except ReaderError as error:
                reason = f"{error.reason} ({error.hint})" if error.hint else error.reason
                self.report.failed.append({"path": _printable(str(file)), "reason": reason})
            if sum(len(item.chunks) for item in self.window) >= WINDOW_CHUNKS:
                self._flush()
            done_bytes += size
        self._flush()
        if files:
            self._tell(len(files), len(files), done_bytes, sum(sizes), files[-1])

    def _tell(self, files: int, total_files: int, done: int, total: int, path: Path) -> None:
        if self.progress:
            self.progress(IngestProgress(files, total_files, done, total, self.report.chunks, str(path)))

    def _add(self, file: Path, doc_id: str, known: DocumentRecord | None) -> None:
        """Reads and cuts one file, unless the ledger says that its bytes and settings are those already stored."""
        from .chunkers import chunk_document
        from .readers import read_document

        if str(file) != _printable(str(file)):
            raise ReaderError(str(file), "its name is not valid UTF-8", hint="rename it")
        content_hash = _hash(file, self.max_file_bytes)
        fingerprint = self.kb.fingerprint
        groups = self._groups_of(doc_id, known)
        if known and (known.content_hash, known.fingerprint, known.groups) == (content_hash, fingerprint, groups):
            self.report.unchanged += 1
            return
        document = read_document(file)
        chunks = chunk_document(document, self.kb.embedder, self.kb.chunking)
        self.report.warnings += [{"path": str(file), "reason": warning} for warning in document.warnings]
        record = DocumentRecord(
            doc_id=doc_id,
            tenant=self.tenant,
            collection=self.collection,
            path=str(file),
            source=known.source if known else _shown(file),
            content_hash=content_hash,
            fingerprint=fingerprint,
            version=known.version + 1 if known else 1,
            chunks=len(chunks),
            bytes=file.stat().st_size if file.exists() else 0,
            format=document.format,
            title=document.title,
            warnings="\n".join(document.warnings),
            ingested_at=0.0,
            groups=groups,
        )
        metadata = json.dumps(document.metadata, ensure_ascii=False)
        self.window.append(
            PendingDocument(record, chunks, metadata, known is not None, bool(known and known.content_hash))
        )

    def _groups_of(self, doc_id: str, known: DocumentRecord | None) -> tuple[str, ...]:
        """Those that were asked for, or those that the document has: what is not said opens nothing."""
        if self.groups is not None:
            return self.groups
        return known.groups if known else self._unlisted_documents().get(doc_id, ())

    def _flush(self) -> None:
        """Commits the window: one commit for new documents, one for changed ones."""
        window, self.window = self.window, []
        if not window:
            return
        unlisted = self._unlisted_documents()
        fresh = [item for item in window if not item.known and item.record.doc_id not in unlisted]
        stale = [item for item in window if item.known or item.record.doc_id in unlisted]
        stored = stored_vectors(self.kb, [item.record.doc_id for item in stale])
        rows, embedded = build_rows(self.kb, [*fresh, *stale], stored)
        self.kb.ledger.begin([item.record for item in window])
        fresh_rows = sum(len(item.chunks) for item in fresh)
        if fresh:
            self.kb.table.append(rows.slice(0, fresh_rows))
        if stale:
            self.kb.table.replace_documents([item.record.doc_id for item in stale], rows.slice(fresh_rows))
        self.kb.ledger.finish([item.record for item in window])
        self.report.added += sum(not item.visible for item in window)
        self.report.updated += sum(item.visible for item in window)
        self.report.chunks += rows.num_rows
        self.report.embedded += embedded
        self.since_maintained += rows.num_rows
        if self.since_maintained >= MAINTAIN_EVERY:
            self.kb.table.maintain()
            self.since_maintained = 0

    def _unlisted_documents(self) -> dict[str, tuple[str, ...]]:
        """Documents that the store holds and the ledger does not know, with their groups: somebody removed a damaged
        ledger.
        """
        if self.unlisted is None:
            listed = {record.doc_id for record in self.kb.ledger.all()}
            rows = self.kb.table.snapshot().rows(columns=["doc_id"])
            stored = set(rows["doc_id"].unique().to_pylist()) - listed
            where = where_in("doc_id", sorted(stored))
            found = self.kb.table.snapshot().rows(where, ["doc_id", "groups"]).to_pylist() if stored else []
            self.unlisted = {row["doc_id"]: tuple(each for each in row["groups"] if each != EVERYONE) for row in found}
        return self.unlisted


def _prune(kb: KnowledgeBase, roots: Sequence[Path], tenant: str, collection: str, report: IngestReport) -> None:
    """Removes documents whose files vanished under the given paths, and no others."""
    gone = [
        record.doc_id
        for record in kb.ledger.all(tenant=tenant, collection=collection)
        if is_under(record.path, roots) and not Path(record.path).exists()
    ]
    delete_documents(kb, gone)
    report.deleted += len(gone)


def delete_documents(kb: KnowledgeBase, doc_ids: list[str]) -> None:
    """Chunks first, ledger second: cut off in between, the ledger still knows what to delete."""
    if doc_ids:
        kb.table.delete(where_in("doc_id", doc_ids))
        kb.ledger.delete(doc_ids)


def document_id(tenant: str, collection: str, path: str) -> str:
    """A document's identity: who may see it, which source it belongs to, where its file lies."""
    return hashlib.sha256("\0".join((tenant, collection, path)).encode(errors="surrogateescape")).hexdigest()[:32]


def _hash(file: Path, max_bytes: int) -> str:
    try:
        size = file.stat().st_size
        if size > max_bytes:
            reason = f"is {size / 2**20:.0f} MB large, over the limit of {max_bytes / 2**20:.0f} MB"
            raise ReaderError(str(file), reason, hint="raise the limit with --max-file-mb")
        if not file.is_file():
            raise ReaderError(str(file), "is not a regular file")
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise ReaderError(str(file), "no such file (or it vanished while being read)") from error
    except PermissionError as error:
        raise ReaderError(str(file), "permission denied") from error
    except OSError as error:
        raise ReaderError(str(file), str(error.strerror or error).lower()) from error


def _printable(path: str) -> str:
    """The path with bytes that are no text shown as such."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _shown(file: Path) -> str:
    """The path as people see it: relative to the working folder where the file lies below it."""
    try:
        return file.relative_to(Path.cwd()).as_posix()
    except ValueError:
        return file.as_posix()
