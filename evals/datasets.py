"""Retrieval sets: corpus, queries, judgements, in our layout or BEIR's.

corpus.jsonl[.gz]    {id, title, text}            BEIR: _id
queries.jsonl[.gz]   {id, text}                   BEIR: _id
qrels.jsonl[.gz]     {query_id, doc_id, relevance} BEIR: qrels/SPLIT.tsv
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UsageError
from .jsonl import Problem, Row, find_jsonl, scan_jsonl

__all__ = ("Documents", "RetrievalSet", "load_documents", "load_retrieval_set")

Documents = dict[str, tuple[str, str]]
"""id to (title, text)."""


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    """A corpus with judged queries."""

    name: str
    documents: Documents
    queries: dict[str, str]
    """Judged queries only."""
    qrels: dict[str, dict[str, int]]
    """query id to {document id: relevance}."""
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    """What was left out while reading, with file and line."""

    def limited(self, limit: int | None) -> RetrievalSet:
        """The set with at most `limit` queries, chosen by the hash of their ids: always the same ones."""
        if limit is None or limit >= len(self.queries):
            return self
        return self.only(
            sorted(self.queries, key=lambda key: hashlib.sha256(key.encode("utf-8", "replace")).hexdigest())[:limit]
        )

    def only(self, keys: list[str]) -> RetrievalSet:
        """The set with these queries."""
        queries = {key: self.queries[key] for key in keys}
        qrels = {key: self.qrels[key] for key in keys}
        return RetrievalSet(self.name, self.documents, queries, qrels, self.problems)


def load_retrieval_set(folder: Path, *, split: str | None = None) -> RetrievalSet:
    """Reads a retrieval set. `split` keeps the queries or judgements (or reads the BEIR qrels file) of one split.

    A record that cannot be used is left out and named in `problems`. Raises `UsageError` where a file is missing or
    nothing usable is left.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {str(folder)!r}", hint="a retrieval set is a folder with corpus.jsonl")
    problems: list[Problem] = []
    documents = load_documents(_needed(folder, "corpus"), problems)
    texts: dict[str, str] = {}
    for row in scan_jsonl(_needed(folder, "queries"), problems):
        if row.fields.get("split", split) not in (split, None) and split is not None:
            continue
        if row.key is None or not row.text("text").strip():
            problems.append(row.problem("no 'id'" if row.key is None else "no 'text'"))
        elif row.key in texts:
            problems.append(row.problem(f"duplicate id {row.key!r}: the first one counts"))
        else:
            texts[row.key] = row.text("text")
    qrels: dict[str, dict[str, int]] = {}
    judged: dict[tuple[str, str], int] = {}
    for row, query, document, relevance in _qrels(folder, split, problems):
        if (known := judged.setdefault((query, document), relevance)) != relevance:
            problems.append(row.problem(f"relevance {relevance}, but {known} before: the first one counts"))
        elif query in texts and relevance > 0:
            if document not in documents:
                problems.append(row.problem(f"document {document!r} is not in the corpus: counted as never found"))
            qrels.setdefault(query, {})[document] = relevance
    queries = {key: text for key, text in texts.items() if key in qrels}
    if not documents or not queries:
        missing = "documents" if not documents else f"judged queries{f' in split {split!r}' if split else ''}"
        first = f"first problem: {problems[0]}" if problems else "see docs/evals.md for the layout"
        raise UsageError(f"{str(folder)!r} has no {missing}", hint=first)
    return RetrievalSet(folder.resolve().name, documents, queries, qrels, tuple(problems))


def load_documents(path: Path, problems: list[Problem]) -> Documents:
    """The documents or passages of a file, {id, title, text} a line."""
    documents: Documents = {}
    for row in scan_jsonl(path, problems):
        if row.key is None:
            problems.append(row.problem("no 'id'"))
        elif row.key in documents:
            problems.append(row.problem(f"duplicate id {row.key!r}: the first one counts"))
        else:
            documents[row.key] = (row.text("title"), row.text("text"))
    return documents


def _needed(folder: Path, stem: str) -> Path:
    path = find_jsonl(folder, stem)
    if path is None:
        raise UsageError(f"{str(folder)!r} has no {stem}.jsonl", hint="needed: corpus, queries and qrels")
    return path


def _qrels(folder: Path, split: str | None, problems: list[Problem]) -> Iterator[tuple[Row, str, str, int]]:
    rows = _tsv_rows(folder, split) if (folder / "qrels").is_dir() else scan_jsonl(_needed(folder, "qrels"), problems)
    for row in rows:
        found = row.fields
        if split is not None and found.get("split", split) != split:
            continue
        query, document = (found.get(name, found.get(beir)) for name, beir in _QREL_NAMES)
        relevance = _whole(found.get("relevance", found.get("score")))
        if query is None or document is None or relevance is None:
            problems.append(row.problem("needs query_id, doc_id and a whole number as relevance"))
        else:
            yield row, str(query), str(document), relevance


def _whole(value: object) -> int | None:
    """A whole number; None for anything else, such as 1.5."""
    try:
        return int(str(value))
    except ValueError:
        return None


_QREL_NAMES = (("query_id", "query-id"), ("doc_id", "corpus-id"))


def _tsv_rows(folder: Path, split: str | None) -> Iterator[Row]:
    path = folder / "qrels" / f"{split or 'test'}.tsv"
    if not path.exists():
        raise UsageError(f"there is no {str(path)!r}", hint="choose another --split")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as stream:
        rows = csv.DictReader(stream, delimiter="\t")
        try:
            for number, fields in enumerate(rows, start=2):
                yield Row(dict(fields), str(path), number)
        except csv.Error as error:
            hint = "is a quotation mark left open?"
            raise UsageError(f"{str(path)!r} is damaged at line {rows.line_num}: {error}", hint=hint) from error
