"""What the data folders and files are: each is recognised by its files and columns, and read once before training.

    tables      tables.jsonl or contexts.jsonl, and questions about each table (see `tables`)
    questions   questions.jsonl + passages.jsonl or documents.jsonl (or facts beside each question)
    retrieval   corpus.jsonl + queries.jsonl + qrels.jsonl, or BEIR's layout
    claims      claims with their evidence and a label, in the layouts of the groundedness sets (see `groundedness`)
    texts       {text, label} or {text, intent}
    attacks     attacks.jsonl {text, category} + contexts.jsonl {context}, as BIPIA has them: what is planted, and where
    traces      what `ragloom ask --json` printed, and records.jsonl of `ragloom eval answers`
    rows        rows of a role, as `rows` has them
    corpus      texts without questions, or a knowledge base (see `corpus`): titles and texts

A folder may be several of them (SciFact is a retrieval set and claims), or hold folders that are.

>>> load_sources([Path("squad"), Path("my_rows.jsonl")]).data_sources()  # doctest: +SKIP
(DataSource(name='squad', licence='CC BY-SA 4.0', rows=0, sha256='...'), ...)
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ...errors import UsageError
from ...evals.jsonl import Problem, find_jsonl, scan_jsonl
from ...models.artifacts import DataSource
from ...models.specs import TrainedRole
from ..options import Tell, no_tell
from .corpus import corpus_of, is_knowledge_base, knowledge_base_hash
from .licences import licence_of
from .rows import TrainingRow, read_rows
from .tables import read_tables, table_files

__all__ = ("Kind", "Source", "Sources", "load_sources", "roles_of")

Kind = Literal["questions", "tables", "retrieval", "claims", "texts", "attacks", "traces", "rows", "corpus"]

LAYOUTS = (
    "an answer set (questions, passages), tables with questions, a retrieval set (corpus, queries, qrels), labelled "
    "claims, labelled texts, attacks with contexts, traces, rows or a corpus (passages, documents, a knowledge base)"
)
BUILDER_VERSION = "7"
"""Raised whenever equal data and settings would give other rows than before."""


@dataclass(frozen=True, slots=True)
class Source:
    """One layout of one folder or file."""

    name: str
    """Of the set: the `set` of the origin of its rows."""
    kind: Kind
    path: Path
    """The folder of a question or retrieval set or of attacks, else the file."""
    licence: str
    sha256: str
    """Over its files."""


@dataclass(frozen=True, slots=True)
class Sources:
    """All that was found. `problems` grows while rows are built: `write_parts` reads it at the end."""

    found: tuple[Source, ...]
    problems: list[Problem] = field(default_factory=list)

    def of(self, kind: Kind) -> list[Source]:
        """Those of one kind."""
        return [source for source in self.found if source.kind == kind]

    def rows(
        self, role: TrainedRole, *, complaint: Callable[[TrainingRow], str] | None = None
    ) -> Iterator[TrainingRow]:
        """The rows of a role that stand in files of rows; where a row names no licence, it is under its file's.

        `complaint` says what is wrong with a row beyond its columns; such a row is left out and named in `problems`.
        """
        for source in self.of("rows"):
            if role not in roles_of(_columns(source.path, [])):
                continue
            for row in read_rows(source.path, role, [], name=source.name):
                origin = row["origin"]
                if complaint and (wrong := complaint(row)):
                    self.problems.append(Problem(str(source.path), 0, f"row {origin['id']}: {wrong}: left out"))
                    continue
                yield {**row, "origin": {**origin, "licence": origin["licence"] or source.licence}}

    def data_sources(self) -> tuple[DataSource, ...]:
        """One for each set, for the manifest; `write_parts` counts their rows."""
        merged: dict[str, list[Source]] = {}
        for source in self.found:
            merged.setdefault(source.name, []).append(source)
        return tuple(
            DataSource(name=name, licence=group[0].licence, rows=0, sha256=_joined(item.sha256 for item in group))
            for name, group in merged.items()
        )

    def key(self, *settings: object) -> str:
        """A hash of the data and of the settings of a builder: rows with an equal key need not be made again."""
        parts = [BUILDER_VERSION, *(f"{item.name}|{item.kind}|{item.sha256}|{item.licence}" for item in self.found)]
        return _joined([*parts, *(repr(setting) for setting in settings)])


def load_sources(data: Sequence[Path], *, tell: Tell = no_tell) -> Sources:
    """Recognises folders and files, and reads each once, so that what is wrong with it is known before any training.

    What can be used is used, the rest is in `problems`. Raises `UsageError` where a path does not exist, is of no known
    layout, or has nothing that can be used.
    """
    if not data:
        raise UsageError("no data was given", hint=f"give a folder or a file: {LAYOUTS}")
    problems: list[Problem] = []
    found: list[Source] = []
    for number, path in enumerate(data):
        tell("reading data", number, len(data))
        if not path.exists():
            raise UsageError(f"there is no {str(path)!r}", hint="give a folder or a file with data")
        layouts = list(_layouts(path, problems))
        if not layouts:
            # Where the first line itself cannot be read, that is what has to be said.
            hint = f"first problem: {problems[-1]}" if problems and problems[-1].file.startswith(str(path)) else ""
            raise UsageError(f"{str(path)!r} is of no layout that is known", hint=hint or f"known: {LAYOUTS}")
        for kind, where in layouts:
            source = Source(_name(where), kind, where, licence_of(where), _hash(where))
            if any(other.sha256 == source.sha256 and other.kind == kind for other in found):
                problems.append(Problem(str(where), 0, "the same data was given twice: read once"))
                continue
            if any(other.name == source.name and _home(other.path) != _home(where) for other in found):
                source = replace(source, name=f"{_home(where).parent.name}-{source.name}")
            found.append(source)
            _check(source, problems)
    tell("reading data", len(data), len(data))
    return Sources(tuple(found), problems)


_ROLE_COLUMNS: dict[TrainedRole, frozenset[str]] = {
    "evaluator": frozenset({"question", "passage", "label"}),
    "reranker": frozenset({"question", "passage", "label"}),
    "support": frozenset({"claim", "passage", "label"}),
    "utility": frozenset({"question", "answer", "label"}),
    "retrieve": frozenset({"question", "label"}),
    "embedder": frozenset({"query", "positive"}),
    "drafter": frozenset({"question", "passages", "answer", "answerable"}),
    "reader": frozenset({"question", "passages", "answer", "answerable"}),
    "reflective": frozenset({"question", "segments"}),
    "injection": frozenset({"text", "kind", "label"}),
}
_CLAIM_COLUMNS = (
    {"context", "response", "grounded"},
    {"context", "claim", "grounded"},
    {"claim", "evidence", "label"},
    {"claim", "evidence_sentences", "label"},
    {"question", "context", "right_answer", "hallucinated_answers"},
    {"contexts", "response", "faithfulness_median"},
)


def roles_of(columns: Collection[str]) -> list[TrainedRole]:
    """The roles whose rows have these columns, those that need most of them first.

    >>> roles_of({"question", "passage", "label"})
    ['evaluator', 'reranker']
    """
    fitting = [role for role, needed in _ROLE_COLUMNS.items() if needed <= set(columns)]
    most = max((len(_ROLE_COLUMNS[role]) for role in fitting), default=0)
    return [role for role in fitting if len(_ROLE_COLUMNS[role]) == most]


def _layouts(path: Path, problems: list[Problem]) -> Iterator[tuple[Kind, Path]]:
    if path.is_file():
        kind = _kind(path, problems) or ("corpus" if corpus_of(path) else None)
        if kind:
            yield kind, path
        return
    if is_knowledge_base(path):
        yield "corpus", path
        return
    tables = set(table_files(path))
    if tables:
        yield "tables", path
    taken = set(tables)
    questions = find_jsonl(path, "questions")
    if questions and questions not in tables and _columns(questions, problems) >= {"question"}:
        yield "questions", path
        taken |= {file for file in (questions, find_jsonl(path, "passages", "documents")) if file}
    corpus, queries = find_jsonl(path, "corpus"), find_jsonl(path, "queries")
    if corpus and queries and (find_jsonl(path, "qrels") or (path / "qrels").is_dir()):
        yield "retrieval", path
        taken |= {file for file in (corpus, queries, find_jsonl(path, "qrels")) if file}
    attacks, contexts = find_jsonl(path, "attacks"), find_jsonl(path, "contexts")
    if attacks and contexts and _columns(attacks, problems) >= {"text", "category"}:
        yield "attacks", path
        taken |= {attacks, contexts}
    for file in sorted([*path.glob("*.jsonl"), *path.glob("*.jsonl.gz")]):
        kind = None if file in taken else _kind(file, problems)
        if kind and not (kind == "questions" and taken - tables):
            taken.add(file)
            yield kind, file
    if not taken and (alone := corpus_of(path)):
        yield "corpus", alone
    elif not taken:
        for folder in sorted(item for item in path.iterdir() if item.is_dir()):
            inner = list(_layouts(folder, problems))
            if not inner and any(folder.glob("*.jsonl*")):
                problems.append(Problem(str(folder), 0, "of no layout that is known: left out"))
            yield from inner


def _kind(file: Path, problems: list[Problem]) -> Kind | None:
    columns = _columns(file, problems)
    if {"question", "answer", "documents", "citations"} <= columns:
        return "traces"
    if any(needed <= columns for needed in _CLAIM_COLUMNS):
        return "claims"
    if roles_of(columns):
        return "rows"
    if "text" in columns and columns & {"label", "intent"}:
        return "texts"
    if "question" in columns and columns & {"answers", "answer"}:
        return "questions"
    return None


def _columns(file: Path, problems: list[Problem]) -> set[str]:
    """Of the first record that can be read."""
    seen: list[Problem] = []
    first = next(iter(scan_jsonl(file, seen)), None)
    if first is None:
        problems += seen[:1] or [Problem(str(file), 0, "no records")]
        return set()
    return set(first.fields)


def _role_of(path: Path) -> TrainedRole:
    """The role of a file of rows. Columns may fit several; the first record's values then tell."""
    from .rows import validate

    first = next(iter(scan_jsonl(path, []))).fields
    fitting = roles_of(first)
    return next((role for role in fitting if not validate(role, first)), fitting[0])


def _check(source: Source, problems: list[Problem]) -> None:
    from .attacks import read_attacks
    from .groundedness import read_claims
    from .question_sets import read_questions
    from .routes import read_texts
    from .traces import read_traces

    before = len(problems)
    usable: Iterator[Any]
    if source.kind in ("questions", "retrieval"):
        usable = iter(read_questions(source, problems).questions)
    elif source.kind == "tables":
        usable = iter(read_tables(source.path, problems)[1])
    elif source.kind == "corpus":
        usable = iter(read_questions(source, problems).documents.values())
    elif source.kind == "claims":
        usable = read_claims(source, problems)
    elif source.kind == "attacks":
        usable = read_attacks(source, problems)
    elif source.kind == "texts":
        usable = read_texts(source, problems)
    elif source.kind == "traces":
        usable = read_traces(source, problems)
    else:
        usable = read_rows(source.path, _role_of(source.path), problems)
    labels: Counter[str] = Counter(_label(item) for item in usable)
    if not labels:
        first = f"first problem: {problems[before]}" if len(problems) > before else "it is empty"
        raise UsageError(f"{str(source.path)!r} has nothing that can be used", hint=first)
    if len(labels) == 1 and (only := next(iter(labels))) and labels.total() > 1:
        problems.append(Problem(str(source.path), 0, f"all {labels.total():,} records have the label {only!r}"))


def _label(item: Any) -> str:
    """Of a claim, a text or a row; empty where it has none."""
    label = item.get("label") if isinstance(item, dict) else getattr(item, "label", None)
    return "" if label is None else str(label)


def _name(path: Path) -> str:
    # items.jsonl of a folder is the folder's set; a file of its own is named by itself.
    if path.is_file() and path.name.split(".")[0] not in _PLAIN_NAMES:
        return path.name.split(".")[0]
    return _home(path).name


_PLAIN_NAMES = frozenset(
    {"items", "claims", "train_partial_tokens", "records", "rows", "data", "train", "dev", "test"}
    | {"corpus", "passages", "documents"}
)


def _home(path: Path) -> Path:
    return (path.parent if path.is_file() else path).resolve()


def _hash(path: Path) -> str:
    if is_knowledge_base(path):
        return knowledge_base_hash(path)
    files = [path] if path.is_file() else sorted(item for item in path.glob("*.jsonl*") if item.is_file())
    files += sorted((path / "qrels").glob("*.tsv")) if path.is_dir() else []
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            digest.update(json.dumps(file.name).encode())
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _joined(parts: Any) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
