"""Question sets: answer sets and retrieval sets as one thing, with all that their records say beside the answers.

A question of an answer set belongs to the document (article, book, paper) of its first gold passage; one of a retrieval
set to itself, since its relevant documents are shared with others (`dedup` then keeps shared texts in one part).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...evals.answer_sets import Question, load_answer_set, share_of
from ...evals.datasets import Documents, RetrievalSet, load_retrieval_set
from ...evals.jsonl import Problem, find_jsonl, scan_jsonl
from .corpus import corpus_documents
from .parts import PARTS, Part, document_of, part_of
from .rows import Origin
from .sources import Source

__all__ = ("Asked", "QuestionSet", "read_questions")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, its answers and gold passages, and the document that decides its part."""

    id: str
    question: str
    answers: tuple[str, ...]
    gold: tuple[str, ...]
    """Ids of the passages that hold the answer; for an unanswerable question: of the one that it was written for."""
    answerable: bool
    document: str
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The record as it stands in the file."""

    @property
    def part(self) -> Part:
        """Its part."""
        return part_of(self.document)


@dataclass(frozen=True, slots=True)
class QuestionSet:
    """Questions over a corpus."""

    name: str
    licence: str
    documents: Documents = field(repr=False)
    questions: tuple[Asked, ...] = field(repr=False)
    sentences: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    """Sentences of a passage, where its record lists them."""
    belongs: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Document of a passage, where its record names one."""
    judged: bool = False
    """A retrieval set: relevance was judged, and there are no answers to look for in a passage."""

    def document(self, passage: str) -> str:
        """What a passage is split by."""
        return _document(self.name, passage, self.documents, self.belongs)

    def part(self, passage: str) -> Part:
        """The part of a passage."""
        return part_of(self.document(passage))

    def origin(self, key: str, document: str) -> Origin:
        """The origin of a row made of this set."""
        return Origin(set=self.name, id=key, document=document, licence=self.licence)

    def drawn(self, limit: int | None, *, seed: int, parts: Collection[Part] = PARTS) -> list[Asked]:
        """At most `limit` questions of these parts, always the same ones, in the order of the file."""
        own = [item for item in self.questions if item.part in parts]
        chosen = sorted(own, key=lambda item: share_of(item.id, seed=seed))[:limit]
        kept = {item.id for item in chosen}
        return [item for item in own if item.id in kept]

    def corpus(self) -> RetrievalSet:
        """Its passages as what `evals.indexing` indexes."""
        return RetrievalSet(self.name, self.documents, {}, {})


def read_questions(source: Source, problems: list[Problem]) -> QuestionSet:
    """Reads an answer set, a retrieval set, or a corpus alone. What is left out is added to `problems`, with file and
    line.

    Raises `UsageError` where nothing is usable.
    """
    read = {"retrieval": _judged_set, "corpus": _corpus}.get(source.kind, _answer_set)
    return read(source, problems)


def _answer_set(source: Source, problems: list[Problem]) -> QuestionSet:
    found = load_answer_set(source.path)
    problems += found.problems
    is_file = source.path.is_file()
    fields = _fields(source.path if is_file else find_jsonl(source.path, "questions"))
    corpus = None if is_file else find_jsonl(source.path, "passages", "documents")
    documents, sentences = _texts(corpus, found.documents, problems)
    belongs = _documents_of(corpus)
    documents = documents or _facts(fields)
    if not documents:
        what = "no passages beside the questions (passages.jsonl, documents.jsonl): nothing that learns from passages"
        problems.append(Problem(str(source.path), 0, f"{what} learns from them"))
    asked = []
    for item in found.questions:
        gold = tuple(key for key in item.gold if key in documents)
        if not gold and item.id in documents and not found.documents:
            gold = (item.id,)
        record = fields.get(item.id, {})
        asked.append(_asked(source.name, item, gold, documents, belongs, record))
    return QuestionSet(source.name, source.licence, documents, tuple(asked), sentences, belongs)


def _corpus(source: Source, problems: list[Problem]) -> QuestionSet:
    found = corpus_documents(source.path, problems)
    if source.path.is_dir():  # a knowledge base, whose documents are what there is to split by
        return QuestionSet(source.name, source.licence, found, (), belongs={key: key for key in found})
    documents, sentences = _texts(source.path, found, problems)
    return QuestionSet(source.name, source.licence, documents, (), sentences)


def _asked(
    name: str,
    item: Question,
    gold: tuple[str, ...],
    documents: Documents,
    belongs: Mapping[str, str],
    record: Mapping[str, Any],
) -> Asked:
    document = _document(name, gold[0], documents, belongs) if gold else document_of(name, "", item.id)
    return Asked(item.id, item.question, item.answers, gold, item.answerable, document, record)


def _document(name: str, passage: str, documents: Documents, belongs: Mapping[str, str]) -> str:
    told = belongs.get(passage, "")
    if told:
        return told if told.startswith("title:") else f"{name}:{told}"
    return document_of(name, documents[passage][0], passage)


def _documents_of(path: Any) -> dict[str, str]:
    """Passage to its `document`; in what `ragloom eval make-questions` wrote (with a page), to its `source`."""
    found: dict[str, str] = {}
    for row in scan_jsonl(path, []) if path else ():
        told = row.text("document") or (row.text("source") if "page" in row.fields else "")
        if row.key is not None and told:
            found.setdefault(row.key, told)
    return found


def _judged_set(source: Source, problems: list[Problem]) -> QuestionSet:
    splits = _splits(source)
    found = load_retrieval_set(source.path, split="train" if "train" in splits else None)
    problems += found.problems
    if "train" in splits and len(splits) > 1:
        others = " and ".join(sorted(splits - {"train"}))
        problems.append(Problem(str(source.path), 0, f"queries of split {others} are left for measuring"))
    documents, _ = _texts(find_jsonl(source.path, "corpus"), found.documents, problems, titles=True)
    asked = []
    for key, text in found.queries.items():
        gold = tuple(doc for doc in found.qrels[key] if doc in documents)
        if gold:
            asked.append(Asked(key, text, (), gold, True, document_of(source.name, "", f"query {key}")))
    return QuestionSet(source.name, source.licence, documents, tuple(asked), judged=True)


def _splits(source: Source) -> set[str]:
    folder = source.path / "qrels"
    if folder.is_dir():
        return {path.stem for path in folder.glob("*.tsv")}
    qrels = find_jsonl(source.path, "qrels")
    return {str(row.fields["split"]) for row in scan_jsonl(qrels, []) if "split" in row.fields} if qrels else set()


def _fields(path: Any) -> dict[str, Mapping[str, Any]]:
    fields: dict[str, Mapping[str, Any]] = {}
    for row in scan_jsonl(path, []):
        if row.key is not None:
            fields.setdefault(row.key, row.fields)
    return fields


def _facts(fields: Mapping[str, Mapping[str, Any]]) -> Documents:
    """Where there are no passages but facts beside each question (StrategyQA): the facts as its passage."""
    return {
        key: (str(record.get("term") or ""), " ".join(map(str, record["facts"])))
        for key, record in fields.items()
        if isinstance(record.get("facts"), list) and record["facts"]
    }


def _texts(
    path: Any, documents: Documents, problems: list[Problem], *, titles: bool = False
) -> tuple[Documents, dict[str, tuple[str, ...]]]:
    """The passages that have a text (with `titles`: or a title), and the sentences that they list."""
    kept: Documents = {}
    sentences: dict[str, tuple[str, ...]] = {}
    damaged = 0
    for row in scan_jsonl(path, []) if path else ():
        key = row.key
        if key is None or key in kept or key not in documents:
            continue
        title, text = documents[key]
        if not text.strip() and not (titles and title.strip()):
            problems.append(row.problem(f"passage {key!r} is empty: left out"))
            continue
        if "\ufffd" in text:
            damaged += 1
            if damaged == 1:
                problems.append(row.problem("the text holds U+FFFD, the mark of a wrong encoding: used as it is"))
        kept[key] = (title, text)
        listed = row.fields.get("sentences")
        if isinstance(listed, list) and all(isinstance(item, str) for item in listed):
            sentences[key] = tuple(listed)
    return kept, sentences
