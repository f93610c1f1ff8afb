"""Rows: what the recipes train on, one JSON object a line, each with its origin.

    evaluator, reranker  {question, passage, label}        label 1 relevant, 0 not; between them for distillation
    support              {claim, passage, label}           label fully, partially or none; `question` may stand beside
    utility              {question, answer, label}         label 1 (useless) to 5
    retrieve             {question, label}                 label yes or no: must anything be looked up?
    router               {text, label}                     label any text
    injection            {text, kind, label}               kind message or passage; label injection or benign
    embedder             {query, positive, negatives}      negatives a list, may be empty
    drafter, reader      {question, passages, rationale, answer, answerable}
    reflective           {question, segments, utility}     segments {retrieve, passage, relevance, text, support}

Every row also has `origin`: {set, id, document, licence}. `document` is what parts are split by, so that no text is in
two of them. A file of rows that a user wrote may leave `origin` out, or name the `document` alone; without any, the
rows about one passage are a document (of questions the one that answers), or else those of one question.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from ...errors import UsageError
from ...evals.jsonl import Problem, Row, scan_jsonl
from ...evals.text_metrics import normalize
from ...models.specs import TrainedRole
from .parts import document_of

__all__ = ("COLUMNS", "Origin", "TrainingRow", "read_rows", "validate", "write_rows")

GOLD = 0.5
"""A label from which on a passage answers its question."""
ROWS = "rows"
"""What the documents of rows without a name of one are named after."""
TrainingRow = dict[str, Any]
"""The columns of its role, and `origin`."""


class Origin(TypedDict):
    """Where a row comes from."""

    set: str
    """Name of the data set."""
    id: str
    """Of the record there."""
    document: str
    """What it is split by (`parts.document_of`): the article, the book, the paper. The same title is the same document
    in every set; other names begin with the set's name."""
    licence: str


def _text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _any_text(value: object) -> bool:
    return isinstance(value, str)


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(_text(item) for item in value)


def _passages(value: object) -> bool:
    return _texts(value) and bool(value)


def _share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _one_of(*known: object) -> Callable[[object], bool]:
    return lambda value: not isinstance(value, bool) and value in known


def _segments(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) and "text" in item for item in value)


_DRAFTS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "question": (_text, "a text"),
    "passages": (_passages, "a list of texts"),
    "rationale": (_any_text, "a text"),
    "answer": (_any_text, "a text"),
    "answerable": (lambda value: isinstance(value, bool), "true or false"),
}

COLUMNS: Mapping[TrainedRole, Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "evaluator": {
        "question": (_text, "a text"),
        "passage": (_text, "a text"),
        "label": (_share, "a number from 0 to 1"),
    },
    "reranker": {
        "question": (_text, "a text"),
        "passage": (_text, "a text"),
        "label": (_share, "a number from 0 to 1"),
    },
    "support": {
        "claim": (_text, "a text"),
        "passage": (_text, "a text"),
        "label": (_one_of("fully", "partially", "none"), "'fully', 'partially' or 'none'"),
    },
    "utility": {
        "question": (_text, "a text"),
        "answer": (_text, "a text"),
        "label": (_one_of(1, 2, 3, 4, 5), "a whole number from 1 to 5"),
    },
    "retrieve": {"question": (_text, "a text"), "label": (_one_of("yes", "no"), "'yes' or 'no'")},
    "router": {"text": (_text, "a text"), "label": (_text, "a text")},
    "injection": {
        "text": (_text, "a text"),
        "kind": (_one_of("message", "passage"), "'message' or 'passage'"),
        "label": (_one_of("injection", "benign"), "'injection' or 'benign'"),
    },
    "embedder": {
        "query": (_text, "a text"),
        "positive": (_text, "a text"),
        "negatives": (_texts, "a list of texts"),
    },
    "drafter": _DRAFTS,
    "reader": _DRAFTS,
    "reflective": {
        "question": (_text, "a text"),
        "segments": (_segments, "a list of segments"),
        "utility": (_one_of(1, 2, 3, 4, 5), "a whole number from 1 to 5"),
    },
}
"""Column to its check and what it must be, for each role."""

_LEFT_OUT: Mapping[TrainedRole, Mapping[str, Any]] = {
    "embedder": {"negatives": []},
    "drafter": {"rationale": ""},
    "reader": {"rationale": ""},
}
"""Columns that a file may leave out, and what then stands for them."""
_ANSWERS = {"answers": (_texts, "a list of texts")}
_OPTIONAL: Mapping[TrainedRole, Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "drafter": _ANSWERS,
    "reader": _ANSWERS,
}
_WHOLE: Mapping[TrainedRole, str] = {"utility": "label", "reflective": "utility"}
"""Columns of whole numbers: pandas writes 5.0 where a column had a gap once."""


def validate(role: TrainedRole, row: Mapping[str, Any]) -> str:
    """What is wrong with a row, in one line; empty where nothing is."""
    for name, (fits, kind) in COLUMNS[role].items():
        if name not in row:
            return f"column {name!r} is missing"
        if not fits(row[name]):
            return f"{name!r} must be {kind}, not {_shown(row[name])}"
    for name, (fits, kind) in _OPTIONAL.get(role, {}).items():
        if row.get(name) is not None and not fits(row[name]):
            return f"{name!r} must be {kind}, not {_shown(row[name])}"
    if role in _OPTIONAL and row["answerable"] and not row["answer"].strip():
        return "'answer' is empty, though 'answerable' is true"
    return ""


def read_rows(path: Path, role: TrainedRole, problems: list[Problem], *, name: str = "") -> Iterator[TrainingRow]:
    """The usable rows of a file, one by one; what cannot be used goes to `problems`, with its line.

    `name` is the set's, where rows have no origin; by default the file's.
    """
    golds = _gold_passages(path) if role in ("evaluator", "reranker") else {}
    for found in scan_jsonl(path, problems):
        fields = {**_LEFT_OUT.get(role, {}), **found.fields}
        complaint = validate(role, fields)
        if complaint:
            problems.append(found.problem(f"{complaint}: left out"))
        else:
            if role in _WHOLE:
                fields[_WHOLE[role]] = int(fields[_WHOLE[role]])
            yield {**fields, "origin": _origin(found, name or path.name.split(".")[0], golds)}


def write_rows(path: Path, rows: Iterable[TrainingRow]) -> int:
    """Writes rows as JSON lines, whole or not at all; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    count = 0
    try:
        with partial.open("w", encoding="utf-8") as stream:
            for row in rows:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
                count += 1
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror or error}") from error
    partial.replace(path)
    return count


def _origin(row: Row, name: str, golds: Mapping[str, str]) -> Origin:
    given = row.fields.get("origin")
    if isinstance(given, dict) and _text(given.get("document")):
        return Origin(
            set=str(given.get("set", "")),
            id=str(given.get("id", "")),
            document=str(given["document"]),
            licence=str(given.get("licence", "")),
        )
    # Without the file's name: what was trained on in one file must not be measured on in another.
    document = document_of(ROWS, row.text("document"), _subject(row, golds))
    return Origin(set=name, id=row.key or str(row.line), document=document, licence=row.text("licence"))


def _gold_passages(path: Path) -> dict[str, str]:
    """Question to its first relevant passage, as hashes: questions about one passage must not part, and those of one
    question must not either.
    """
    found: dict[str, str] = {}
    for row in scan_jsonl(path, []):
        label: Any = row.fields.get("label")
        if _share(label) and label >= GOLD and row.text("passage"):
            found.setdefault(_digest(row.text("question")), _digest(row.text("passage")))
    return found


def _subject(row: Row, golds: Mapping[str, str]) -> str:
    """What a row without a document is split by: the passage that answers, where that is known; else its question."""
    told = ("passage",) if "claim" in row.fields else ("positive", "question", "query", "text")
    key = _digest(next((row.text(name) for name in told if name in row.fields), ""))
    return golds.get(key, key) or str(row.line)


def _digest(text: str) -> str:
    words = normalize(text)
    return hashlib.blake2b(words.encode("utf-8", "replace"), digest_size=8).hexdigest() if words else ""


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
