"""Retrieval sets: corpus, queries, judgements, in our layout or BEIR's.

corpus.jsonl[.gz]    {id, title, text}            BEIR: _id
queries.jsonl[.gz]   {id, text}                   BEIR: _id
qrels.jsonl[.gz]     {query_id, doc_id, relevance} BEIR: qrels/SPLIT.tsv
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

__all__ = ("RetrievalSet", "load_retrieval_set", "read_jsonl")


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """A corpus with judged queries."""

    name: str
    documents: dict[str, tuple[str, str]]
    """id to (title, text)."""
    queries: dict[str, str]
    """Judged queries only."""
    qrels: dict[str, dict[str, int]]
    """query id to {document id: relevance}."""

    def limited(self, limit: int | None) -> RetrievalSet:
        """The set with at most `limit` queries, chosen by the hash of their ids: always the same ones."""
        if limit is None or limit >= len(self.queries):
            return self
        chosen = sorted(self.queries, key=lambda key: hashlib.sha256(key.encode()).hexdigest())[:limit]
        return RetrievalSet(
            self.name,
            self.documents,
            {key: self.queries[key] for key in chosen},
            {key: self.qrels[key] for key in chosen},
        )


def load_retrieval_set(folder: Path, *, split: str | None = None) -> RetrievalSet:
    """Reads a retrieval set. `split` keeps the queries (or reads the BEIR qrels file) of one split.

    Raises `UsageError` naming the file and line that is wrong.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}", hint="a retrieval set is a folder with corpus.jsonl")
    documents = {
        _key(row, path, line): (str(row.get("title") or ""), str(row.get("text") or ""))
        for row, path, line in _rows(folder, "corpus")
    }
    texts: dict[str, str] = {}
    for row, path, line in _rows(folder, "queries"):
        if split is None or row.get("split", split) == split:
            texts[_key(row, path, line)] = str(row.get("text", ""))
    qrels: dict[str, dict[str, int]] = {}
    for query, document, relevance in _qrels(folder, split):
        if query in texts and relevance > 0:
            qrels.setdefault(query, {})[document] = relevance
    queries = {key: text for key, text in texts.items() if key in qrels}
    if not documents or not queries:
        raise UsageError(f"{str(folder)!r} has no {'documents' if not documents else 'judged queries'}")
    return RetrievalSet(folder.resolve().name, documents, queries, qrels)


def _key(row: dict[str, Any], path: Path, line: int) -> str:
    key = row.get("id", row.get("_id"))
    if key is None:
        raise UsageError(f"{str(path)!r} line {line}: no 'id'")
    return str(key)


def _rows(folder: Path, stem: str) -> Iterator[tuple[dict[str, Any], Path, int]]:
    for name in (f"{stem}.jsonl", f"{stem}.jsonl.gz"):
        if (folder / name).exists():
            yield from read_jsonl(folder / name)
            return
    raise UsageError(f"{str(folder)!r} has no {stem}.jsonl", hint="needed: corpus, queries and qrels")


def read_jsonl(path: Path) -> Iterator[tuple[dict[str, Any], Path, int]]:
    """(object, path, 1-based line) of each line. Lines end at line feeds only: texts may hold other separators."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise UsageError(f"{str(path)!r} line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise UsageError(f"{str(path)!r} line {number} is not a JSON object")
            yield row, path, number


def _qrels(folder: Path, split: str | None) -> Iterator[tuple[str, str, int]]:
    if (folder / "qrels").is_dir():
        path = folder / "qrels" / f"{split or 'test'}.tsv"
        if not path.exists():
            raise UsageError(f"there is no {str(path)!r}", hint="choose another --split")
        with path.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t"):
                yield row["query-id"], row["corpus-id"], int(row["score"])
        return
    for row, path, line in _rows(folder, "qrels"):
        try:
            yield str(row["query_id"]), str(row["doc_id"]), int(row["relevance"])
        except (KeyError, ValueError) as error:
            raise UsageError(f"{str(path)!r} line {line}: needs query_id, doc_id and relevance ({error})") from error
