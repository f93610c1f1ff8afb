"""The knowledge base: one folder with a chunk table, a ledger and the settings both were made with.

kb.json          embedder, dimension, table in use
ledger.sqlite    documents: hash, settings, version
store/           LanceDB
write.lock       held by the one process that writes
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..access import AccessScope, scope_from
from ..errors import ArtifactError, StoreError, UsageError
from ..models.specs import anchored
from .chunkers import ChunkSettings
from .ingest import MAX_FILE_BYTES, IngestProgress, IngestReport, delete_documents, ingest_paths
from .ledger import DocumentRecord, Ledger
from .manifest import FORMAT, Manifest, manifest_stamp, read_manifest, write_manifest
from .readers import READER_VERSION
from .search import Fusion, Mode
from .write_lock import write_lock

if TYPE_CHECKING:
    import numpy as np
    from llama_index.core.vector_stores.types import MetadataFilters
    from numpy.typing import NDArray

    from ..models.protocols import Embedder
    from .retriever import KnowledgeBaseRetriever
    from .store import ChunkTable

__all__ = ("KnowledgeBase",)

DEFAULT_EMBEDDER = "bundled:minilm"


class KnowledgeBase:
    """Documents in, passages out.

    Args:
        folder: where it lives; made by the first `ingest`.
        embedder: a spec (`bundled:minilm`, `st:...`) or an embedder. None: what the knowledge base was made with.
            Another one than it was made with takes effect at the next `ingest`, which embeds everything anew.
        chunking: likewise; documents are cut anew when they are next ingested.
        requires_scope: whoever reads it must say who asks, else `UsageError`. Kept by the next `ingest`, for everybody
            and for good: opening it without is no way around it.

    Opening costs nothing but reading a small file: the embedder is loaded when a dense search or an ingestion of
    changed files needs it.

        >>> kb = KnowledgeBase("kb")  # doctest: +SKIP
        >>> kb.ingest(["handbook/"]).added  # doctest: +SKIP
        14
        >>> kb.retriever(top_k=3).retrieve("How many days of leave?")[0].metadata["source"]  # doctest: +SKIP
        'handbook/leave.pdf'
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        embedder: str | Embedder | None = None,
        chunking: ChunkSettings | None = None,
        requires_scope: bool = False,
    ) -> None:
        self.folder = Path(folder).expanduser()
        self._lock = threading.RLock()
        self._wanted_embedder = anchored(embedder) if isinstance(embedder, str) else embedder
        self._wanted_chunking = chunking
        self._wanted_scope = requires_scope
        self._embedder: Embedder | None = None if isinstance(embedder, str) else embedder
        self._table: ChunkTable | None = None
        self._ledger: Ledger | None = None
        self._stamp: int | None = None
        self._manifest: Manifest | None = None
        self.fetch_progress: Callable[[int, int | None], None] | None = None
        """Told (bytes so far, bytes in all) while the embedder's weights are fetched."""
        self._reload()

    @classmethod
    def open(cls, folder: str | Path, *, embedder: str | Embedder | None = None) -> KnowledgeBase:
        """An existing knowledge base; `StoreError` where there is none."""
        kb = cls(folder, embedder=embedder)
        if not kb.exists:
            raise StoreError(f"there is no knowledge base at {str(folder)!r}", hint="make one: ragloom ingest PATH...")
        return kb

    # -- what it is made with -------------------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether anything was ever ingested here."""
        return self._manifest is not None

    @property
    def chunking(self) -> ChunkSettings:
        """How documents are cut."""
        return self._wanted_chunking or (self._manifest.chunking if self._manifest else ChunkSettings())

    @property
    def embedder_spec(self) -> str:
        """The embedder's name."""
        if isinstance(self._wanted_embedder, str):
            return self._wanted_embedder
        if self._wanted_embedder is not None:
            return str(getattr(self._wanted_embedder, "model_name", self._wanted_embedder.fingerprint))
        return self._manifest.embedder if self._manifest else DEFAULT_EMBEDDER

    @property
    def embedder(self) -> Embedder:
        """The embedder, loaded on first use."""
        with self._lock:
            if self._embedder is None:
                from ..models import load_embedder

                with self._telling_whose():
                    self._embedder = load_embedder(self.embedder_spec, progress=self.fetch_progress)
            return self._embedder

    def query_vector(self, query: str) -> NDArray[np.float32]:
        """A query's vector by the embedder of the stored vectors; `StoreError` where another one was named."""
        embedder = self.embedder
        stored = self._manifest
        # A folder of sentence-transformers that was copied has another stamp, and is still the same model.
        same_name = stored is not None and stored.embedder == self.embedder_spec
        trusted = same_name and not self.embedder_spec.startswith("embedder:")
        if stored and not trusted and stored.fingerprint != embedder.fingerprint:
            raise StoreError(
                f"the knowledge base at {str(self.folder)!r} was embedded with {stored.embedder!r} "
                f"({stored.fingerprint}), not with {self.embedder_spec!r} as it is now ({embedder.fingerprint})",
                hint="run ragloom ingest with this embedder, which embeds everything anew, or name the old one",
            )
        return embedder.embed_query(query)

    @property
    def embedder_fingerprint(self) -> str:
        """Changes when stored vectors would no longer fit; known without loading the model."""
        if self._embedder is not None:
            return self._embedder.fingerprint
        from ..models import embedder_fingerprint

        with self._telling_whose():
            return embedder_fingerprint(self.embedder_spec, progress=self.fetch_progress)

    @contextmanager
    def _telling_whose(self) -> Iterator[None]:
        """Nobody named the embedder now: the error says who remembers it, and what to do when it was moved."""
        try:
            yield
        except ArtifactError as error:
            if self._wanted_embedder is not None:
                raise
            raise StoreError(
                f"the knowledge base at {str(self.folder)!r} was embedded with {self.embedder_spec!r}, which does not "
                f"load: {error.message}",
                hint="bring it back, or name where it is now (--embedder embedder:PATH, or the setting embedder)",
            ) from error

    @property
    def requires_scope(self) -> bool:
        """Whether whoever reads it must say who asks."""
        with self._lock:
            self._reload()
            return self._wanted_scope or (self._manifest is not None and self._manifest.requires_scope)

    def visible_to(self, scope: AccessScope | None) -> str:
        """What this scope may see, as the store's own condition; every read goes through here.

        `UsageError` where the knowledge base requires a scope and there is none.
        """
        from .store.filters import visible_to

        self._check(scope)
        return visible_to(scope)

    def _check(self, scope: AccessScope | None) -> None:
        if scope is None and self.requires_scope:
            raise UsageError(
                "this knowledge base answers nobody without a scope",
                hint="say who asks: scope=AccessScope(tenant=..., user=..., groups=...), or --tenant and --group",
            )

    @property
    def fingerprint(self) -> str:
        """Everything that a stored chunk depends on beside the file's bytes."""
        return f"{READER_VERSION}|{self.chunking.fingerprint}|{self.embedder_fingerprint}"

    # -- parts ----------------------------------------------------------------------------------------------------

    @property
    def table(self) -> ChunkTable:
        """The chunk table in use. Follows a change of embedder made by another process."""
        with self._lock:
            self._reload()
            if self._table is None:
                from .store import ChunkTable

                manifest = self._manifest
                if manifest is None:
                    raise StoreError(f"there is no knowledge base at {str(self.folder)!r}", hint="ingest something")
                self._table = ChunkTable(self.folder / "store", manifest.dimension, name=manifest.table)
            return self._table

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        with self._lock:
            if self._ledger is None:
                if not self.folder.is_dir():
                    raise StoreError(f"there is no knowledge base at {str(self.folder)!r}", hint="ingest something")
                self._ledger = Ledger(self.folder / "ledger.sqlite")
            return self._ledger

    # -- what people do with it -----------------------------------------------------------------------------------

    def ingest(
        self,
        paths: Sequence[str | Path],
        *,
        collection: str = "",
        tenant: str = "",
        groups: Collection[str] | None = None,
        prune: bool = False,
        max_file_bytes: int = MAX_FILE_BYTES,
        wait: float | None = None,
        progress: Callable[[IngestProgress], None] | None = None,
        on_wait: Callable[[], None] | None = None,
    ) -> IngestReport:
        """Brings the knowledge base up to date with files and folders.

        Only callers of this `tenant` see the documents, and only members of one of the `groups`, where there are some.
        Other groups than before are an update. None leaves each document the groups that it has, and new ones have
        none; `groups=[]` takes them away.

        Unchanged files cost a hash. A file that cannot be read is in the report's `failed`; the others go on. `prune`
        removes documents whose files vanished under `paths`. `wait` bounds how long another writer is waited for
        (seconds; None: without end), `on_wait` is told when waiting begins.
        """
        with self.writing(wait=wait, on_wait=on_wait):
            self.prepare()
            return ingest_paths(
                self,
                [Path(path) for path in paths],
                collection=collection,
                tenant=tenant,
                groups=groups,
                prune=prune,
                max_file_bytes=max_file_bytes,
                progress=progress,
            )

    def documents(
        self, *, scope: AccessScope | None = None, tenant: str | None = "", collection: str | None = None
    ) -> list[DocumentRecord]:
        """The documents that a scope may see, by source; `tenant` is short for a scope without groups.

        `tenant=None`: of all tenants and groups, for whoever owns the knowledge base. One that requires a scope refuses
        that as well.
        """
        if tenant is None:
            if scope is not None:
                raise UsageError("a scope sees one tenant", hint="leave tenant=None or the scope away")
            self._check(None)
            return self.ledger.all(collection=collection) if self.exists else []
        scope = scope_from(scope, tenant)
        self._check(scope)
        if not self.exists:
            return []
        records = self.ledger.all(tenant=scope.tenant if scope else "", collection=collection)
        return [each for each in records if (scope.allows(each.tenant, each.groups) if scope else not each.groups)]

    def delete(
        self,
        sources: Sequence[str],
        *,
        scope: AccessScope | None = None,
        tenant: str = "",
        collection: str | None = None,
    ) -> int:
        """Removes documents by source, path or id; returns how many there were. Others than the scope may see stay."""
        wanted = set(sources) | {os.path.abspath(source) for source in sources}
        with self.writing():
            gone = [
                record.doc_id
                for record in self.documents(scope=scope, tenant=tenant, collection=collection)
                if wanted & {record.doc_id, record.source, record.path}
            ]
            delete_documents(self, gone)
            if gone:
                self.table.maintain()
        return len(gone)

    def retriever(
        self,
        *,
        mode: Mode = "default",
        top_k: int = 5,
        alpha: float | None = None,
        fusion: Fusion | None = None,
        filters: MetadataFilters | None = None,
        scope: AccessScope | None = None,
        tenant: str = "",
        collection: str | None = None,
    ) -> KnowledgeBaseRetriever:
        """A LlamaIndex retriever over this knowledge base. It sees what `scope` may see, fail-closed; `tenant` is short
        for a scope without groups.
        """
        from .retriever import KnowledgeBaseRetriever

        return KnowledgeBaseRetriever(
            self,
            mode=mode,
            top_k=top_k,
            alpha=alpha,
            fusion=fusion,
            filters=filters,
            scope=scope,
            tenant=tenant,
            collection=collection,
        )

    # -- writing --------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self, *, wait: float | None = None, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
        """Holds the write lock; see `write_lock`."""
        with write_lock(self.folder, wait=wait, on_wait=on_wait):
            yield

    def prepare(self) -> None:
        """Writes the manifest of a new knowledge base, or moves an old one to another embedder (under the lock)."""
        self._reload()
        old = self._manifest
        if old and old.fingerprint == self.embedder_fingerprint:
            if self._described(old) != old:
                self._write(self._described(old))
            return
        if old is None:
            made = Manifest(
                FORMAT, self.embedder_spec, self.embedder_fingerprint, self.embedder.dimension, table="chunks"
            )
            self._write(self._described(made))
            return
        from .migrate import embed_anew

        table = embed_anew(self, old.table, old.dimension)
        moved = replace(
            old,
            embedder=self.embedder_spec,
            fingerprint=self.embedder.fingerprint,
            dimension=self.embedder.dimension,
            table=table,
        )
        self._write(self._described(moved))

    def _described(self, manifest: Manifest) -> Manifest:
        """The manifest with the chunk settings now in force, and the name under which its embedder is found now."""
        chunking = self.chunking
        return replace(
            manifest,
            embedder=self._wanted_embedder if isinstance(self._wanted_embedder, str) else manifest.embedder,
            chunk_strategy=chunking.strategy,
            chunk_size=chunking.size,
            chunk_overlap=chunking.overlap,
            chunk_context=chunking.context,
            requires_scope=manifest.requires_scope or self._wanted_scope,
        )

    def _write(self, manifest: Manifest) -> None:
        write_manifest(self.folder, manifest)
        self._reload()

    def _reload(self) -> None:
        """Reads the manifest if it changed since it was last read."""
        stamp = manifest_stamp(self.folder)
        if stamp is None or stamp == self._stamp:
            return
        manifest = read_manifest(self.folder)
        before, self._manifest, self._stamp = self._manifest, manifest, stamp
        if before and (before.table, before.fingerprint) != (manifest.table, manifest.fingerprint):
            self._table = None
            if self._wanted_embedder is None:
                self._embedder = None
