"""An index of a retrieval set, kept in the cache and picked up where an interrupted run left it."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable

from ..models import Embedder, cache_folder
from ..retrieval.chunkers import ChunkSettings, chunk_document
from ..retrieval.ingest import WINDOW_CHUNKS
from ..retrieval.knowledge_base import KnowledgeBase
from ..retrieval.ledger import DocumentRecord
from ..retrieval.readers import Page, ParsedDocument
from ..retrieval.rows import PendingDocument, build_rows
from .datasets import RetrievalSet

__all__ = ("index_set", "set_base")


def set_base(
    retrieval_set: RetrievalSet,
    *,
    embedder: str | Embedder | None = None,
    chunking: ChunkSettings | None = None,
) -> KnowledgeBase:
    """The knowledge base of a set in the cache folder, indexed or not yet.

    Its folder is named by the documents, the embedder and the chunking, so that equal ones are indexed once.
    """
    wanted = KnowledgeBase("", embedder=embedder, chunking=chunking)
    digest = hashlib.sha256(wanted.fingerprint.encode())
    for key, (title, text) in retrieval_set.documents.items():
        digest.update(f"\0{key}\0{title}\0{text}".encode("utf-8", "replace"))
    folder = cache_folder("evals") / f"{retrieval_set.name}-{digest.hexdigest()[:12]}"
    return KnowledgeBase(folder, embedder=embedder, chunking=chunking)


def index_set(
    retrieval_set: RetrievalSet,
    *,
    kb: KnowledgeBase | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[KnowledgeBase, float]:
    """The set's corpus as a knowledge base whose sources are document ids; and the seconds that building it took.

    Without `kb`, it is the one of `set_base` with the default embedder and chunking. `progress` gets (documents done,
    in all).
    """
    kb = kb or set_base(retrieval_set)
    with kb.writing():
        kb.prepare()
        meter = kb.folder / "seconds.json"
        spent: float = json.loads(meter.read_text()) if meter.exists() else 0.0
        stored = set(kb.table.snapshot().rows(columns=["doc_id"])["doc_id"].to_pylist())
        missing = {key: document for key, document in retrieval_set.documents.items() if key not in stored}
        if not missing:
            return kb, spent
        began = time.perf_counter()
        window: list[PendingDocument] = []
        # Long documents first would fill every window with texts of one length; any order will do, so keep theirs.
        for number, (key, (title, text)) in enumerate(missing.items(), start=1):
            window.append(_pending(kb, key, title, text))
            if sum(len(item.chunks) for item in window) >= WINDOW_CHUNKS or number == len(missing):
                rows, _ = build_rows(kb, window, {})
                kb.table.append(rows)
                window = []
                meter.write_text(json.dumps(spent + time.perf_counter() - began))
                if progress:
                    progress(len(stored) + number, len(retrieval_set.documents))
        kb.table.maintain()
        spent += time.perf_counter() - began
        meter.write_text(json.dumps(spent))
        return kb, spent


def _pending(kb: KnowledgeBase, key: str, title: str, text: str) -> PendingDocument:
    # A document that is only a title (half of CACM) is still a document.
    body = text if text.strip() else title
    document = ParsedDocument((Page(1, body),), "text", title if text.strip() else "")
    record = DocumentRecord(
        doc_id=key,
        tenant="",
        collection="",
        path=key,
        source=key,
        content_hash="",
        fingerprint="",
        version=1,
        chunks=0,
        bytes=len(text),
        format="text",
        title=title,
        warnings="",
        ingested_at=0.0,
    )
    return PendingDocument(record, chunk_document(document, kb.embedder, kb.chunking), "{}", False, False)
