"""Answer sets: questions with their right answers and gold passages.

questions.jsonl[.gz]                           {id, question, answers, passage_ids | doc_ids, answerable}
passages.jsonl[.gz] or documents.jsonl[.gz]    {id, title, text}; none where the user's knowledge base is asked

    >>> found = load_answer_set(Path("shared/data/squad"))  # doctest: +SKIP
    >>> found.limited(200, seed=0).questions[0].answers  # doctest: +SKIP
    ('Amazonia',)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..errors import UsageError
from .datasets import Documents, RetrievalSet, load_documents, load_retrieval_set
from .jsonl import Problem, find_jsonl, scan_jsonl

__all__ = ("AnswerSet", "Question", "load_answer_set", "load_judged_set", "share_of")


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what is known about its answer."""

    id: str
    question: str
    answers: tuple[str, ...]
    """Right answers, any of which will do; empty where the question cannot be answered, or none is known."""
    gold: tuple[str, ...]
    """Ids of the passages (or documents) that hold the answer."""
    answerable: bool = True


@dataclass(frozen=True, slots=True)
class AnswerSet:
    """Questions over a corpus; `documents` is empty where the corpus is a knowledge base of the user."""

    name: str
    documents: Documents = field(repr=False)
    questions: tuple[Question, ...] = field(repr=False)
    problems: tuple[Problem, ...] = field(default=(), repr=False)
    """What was left out or taken with reserve while reading, with file and line."""

    def limited(self, limit: int | None, *, seed: int = 0) -> AnswerSet:
        """At most `limit` questions, chosen by hash of seed and id, in the order of that hash: always the same ones."""
        chosen = sorted(self.questions, key=lambda item: share_of(item.id, seed=seed))
        return replace(self, questions=tuple(chosen[:limit]))

    def part(self, name: str, *, dev: float = 0.5) -> AnswerSet:
        """The `dev` or `test` half: by the hash of the question's id alone, so that it never depends on the run."""
        if name not in ("dev", "test"):
            raise UsageError(f"unknown part {name!r}", hint="use dev or test")
        keep: Callable[[Question], bool] = lambda item: (share_of(item.id, salt="split") < dev) == (name == "dev")  # noqa: E731
        return replace(self, questions=tuple(item for item in self.questions if keep(item)))

    def retrieval_set(self) -> RetrievalSet:
        """Its answerable questions with gold passages as judged queries."""
        judged = [item for item in self.questions if item.answerable and item.gold]
        queries = {item.id: item.question for item in judged}
        qrels = {item.id: dict.fromkeys(item.gold, 1) for item in judged}
        return RetrievalSet(self.name, self.documents, queries, qrels, self.problems)

    def fingerprint(self) -> str:
        """SHA-256 over questions and documents: two sets of one name are told apart."""
        digest = hashlib.sha256()
        for item in self.questions:
            digest.update(repr(item).encode())
        for key, (title, text) in self.documents.items():
            digest.update(f"\0{key}\0{title}\0{text}".encode("utf-8", "replace"))
        return digest.hexdigest()


def share_of(key: str, *, seed: int = 0, salt: str = "") -> float:
    """A number in [0, 1) that only the key, the seed and the salt decide."""
    digest = hashlib.sha256(f"{salt}\0{seed}\0{key}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def load_answer_set(folder: Path) -> AnswerSet:
    """Reads an answer set; a file instead of a folder is taken as its questions.

    A record that cannot be used is left out and named in `problems`. Raises `UsageError` where there is no questions
    file or no usable question.
    """
    problems: list[Problem] = []
    questions_file = folder if folder.is_file() else find_jsonl(folder, "questions")
    if questions_file is None:
        what = f"{str(folder)!r} has no questions.jsonl" if folder.is_dir() else f"there is no folder {str(folder)!r}"
        raise UsageError(what, hint="an answer set is a folder with questions.jsonl and passages.jsonl")
    corpus_file = None if folder.is_file() else find_jsonl(folder, "passages", "documents")
    documents = load_documents(corpus_file, problems) if corpus_file else {}
    questions = _questions(questions_file, documents, problems)
    if not questions:
        first = f"first problem: {problems[0]}" if problems else "the file is empty"
        raise UsageError(f"{str(questions_file)!r} has no usable question", hint=first)
    name = folder.resolve().name if folder.is_dir() else questions_file.name.split(".")[0]
    return AnswerSet(name, documents, tuple(questions.values()), tuple(problems))


def load_judged_set(folder: Path, *, split: str | None = None) -> RetrievalSet:
    """Judged queries of either layout: corpus, queries and qrels, or an answer set whose questions name their passages.

    `split` as in `load_retrieval_set`; an answer set has none. Raises `UsageError` where a file is missing or no query
    has a gold passage in the corpus.
    """
    if not folder.is_dir() or find_jsonl(folder, "corpus", "queries") or not find_jsonl(folder, "questions"):
        return load_retrieval_set(folder, split=split)
    if split is not None:
        raise UsageError(f"{str(folder)!r} is an answer set, without split {split!r}", hint="leave --split out")
    answers = load_answer_set(folder)
    if not answers.documents:
        hint = "add passages.jsonl or documents.jsonl, as ragloom eval make-questions does"
        raise UsageError(f"{str(folder)!r} has questions, but no passages to search", hint=hint)
    found = answers.retrieval_set()
    if not found.queries:
        raise UsageError(f"no question of {str(folder)!r} names its passage", hint="give passage_ids (or doc_ids)")
    return found


def _questions(path: Path, documents: Documents, problems: list[Problem]) -> dict[str, Question]:
    questions: dict[str, Question] = {}
    for row in scan_jsonl(path, problems):
        try:
            answers = tuple(answer for answer in row.texts("answers", "answer") if answer.strip())
            gold = row.texts("passage_ids", "doc_ids")
        except ValueError as error:
            problems.append(row.problem(f"{error}: left out"))
            continue
        answerable = row.fields.get("answerable")
        if answerable is None:
            answerable = True
        if not isinstance(answerable, bool):
            problems.append(row.problem(f"'answerable' is {answerable!r}, neither true nor false: left out"))
            continue
        unknown = [key for key in gold if documents and key not in documents]
        if row.key is None or not row.text("question").strip():
            problems.append(row.problem("no 'id'" if row.key is None else "no 'question'"))
            continue
        if row.key in questions:
            problems.append(row.problem(f"duplicate id {row.key!r}: the first one counts"))
            continue
        if answerable and not answers:
            problems.append(row.problem("answerable, but no answers: left out"))
            continue
        if unknown:
            problems.append(row.problem(f"passage {unknown[0]!r} is not in the corpus: not counted as gold"))
        known = tuple(key for key in gold if key not in unknown)
        questions[row.key] = Question(row.key, row.text("question"), answers if answerable else (), known, answerable)
    return questions
