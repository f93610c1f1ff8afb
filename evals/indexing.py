"""An index of a retrieval set, kept in the cache and picked up where an interrupted run left it."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from ..models import Embedder, cache_folder
from ..retrieval.chunkers import ChunkSettings, chunk_document
from ..retrieval.ingest import WINDOW_CHUNKS
from ..retrieval.knowledge_base import KnowledgeBase
from ..retrieval.ledger import DocumentRecord
from ..retrieval.readers import Page, ParsedDocument
from ..retrieval.rows import PendingDocument, build_rows
from .datasets import RetrievalSet
from .files import write_whole

__all__ = ("index_set", "seconds_noted", "set_base")


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
        spent = seconds_noted(kb.folder)
        stored = set(kb.table.snapshot().rows(columns=["doc_id"])["doc_id"].to_pylist())
        # A document without a word has no chunk, and would be missing for ever.
        missing = {
            key: (title, text)
            for key, (title, text) in retrieval_set.documents.items()
            if key not in stored and (title.strip() or text.strip())
        }
        before = len(retrieval_set.documents) - len(missing)
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
                write_whole(meter, json.dumps(spent + time.perf_counter() - began))
                if progress:
                    progress(before + number, len(retrieval_set.documents))
        kb.table.maintain()
        spent += time.perf_counter() - began
        write_whole(meter, json.dumps(spent))
        return kb, spent


def seconds_noted(folder: Path) -> float:
    """What building the index in this folder took so far; 0 where nothing was noted, or the note is damaged."""
    try:
        spent = float(json.loads((folder / "seconds.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, OverflowError, RecursionError):
        return 0.0
    return spent if math.isfinite(spent) else 0.0


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
