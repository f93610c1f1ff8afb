"""Claims with their evidence and a label, as the groundedness sets have them: one reader for each layout.

    BEGIN, Q2, FaithBench, QAGS   {context, response | claim, grounded}
    WiCE                          {claim, evidence_sentences, supporting_sentence_sets, label}
    Climate-FEVER                 {claim, evidence: [{text, label}], label}
    SciFact                       {claim, evidence: [{doc_id, label, sentences}], cited_doc_ids}, texts in the corpus
    HaluEval-QA                   {question, context, right_answer, hallucinated_answers}
    MTRAG human evaluation        {question, contexts, response, faithfulness_median}

What contradicts the evidence and what is not in it are both `none`: neither is supported.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ...evals.jsonl import Problem, Row, find_jsonl, scan_jsonl
from .sources import Source

__all__ = ("LabelledClaim", "Label", "read_claims")

Label = Literal["fully", "partially", "none"]
FAITHFUL, UNFAITHFUL = 3.5, 2.0
"""Median of human ratings from 1 to 4: from here on fully supported; up to here not. Between them: partially."""


@dataclass(frozen=True, slots=True)
class LabelledClaim:
    """A claim and its evidence, as labelled by people (HaluEval: by construction)."""

    id: str
    claim: str
    sentences: tuple[str, ...]
    """The evidence; one text where it is not cut into sentences."""
    label: Label
    document: str
    """What it is split by, without the set's name."""
    question: str = ""
    key: tuple[int, ...] = ()
    """Indices of the sentences that decide, where the set says so."""


def read_claims(source: Source, problems: list[Problem]) -> Iterator[LabelledClaim]:
    """The usable claims of a file; what cannot be used is added to `problems`, with its line."""
    reader: Callable[[Row], list[LabelledClaim]] | None = None
    abstracts: dict[str, tuple[str, ...]] | None = None
    for row in scan_jsonl(source.path, problems):
        if "cited_doc_ids" in row.fields:
            abstracts = _abstracts(source.path.parent) if abstracts is None else abstracts
            reader = partial(_scifact, abstracts)
        else:
            reader = _reader(row)
        if reader is None:
            problems.append(row.problem("neither context nor evidence: left out"))
            continue
        try:
            claims = reader(row)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            what = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
            problems.append(row.problem(f"{what}: left out"))
            continue
        for claim in claims:
            if claim.claim.strip() and any(text.strip() for text in claim.sentences):
                yield claim
            else:
                problems.append(row.problem("the claim or its evidence is empty: left out"))


def _reader(row: Row) -> Callable[[Row], list[LabelledClaim]] | None:
    columns = set(row.fields)
    layouts: list[tuple[set[str], Callable[[Row], list[LabelledClaim]]]] = [
        ({"right_answer", "hallucinated_answers", "context"}, _halueval),
        ({"contexts", "response", "faithfulness_median"}, _mtrag),
        ({"claim", "evidence_sentences", "label"}, _wice),
        ({"claim", "evidence", "label"}, _climate),
        ({"context", "grounded"}, _context),
    ]
    return next((reader for needed, reader in layouts if needed <= columns), None)


def _context(row: Row) -> list[LabelledClaim]:
    grounded = row.fields["grounded"]
    if not isinstance(grounded, bool):
        raise ValueError(f"'grounded' is {grounded!r}, neither true nor false")
    claim = row.text("claim") or row.text("response")
    context = row.text("context")
    topic = row.text("topic") or _digest(context)
    label: Label = "fully" if grounded else "none"
    return [LabelledClaim(_key(row), claim, (context,), label, topic)]


def _wice(row: Row) -> list[LabelledClaim]:
    labels: dict[str, Label] = {"supported": "fully", "partially_supported": "partially", "not_supported": "none"}
    label = labels.get(row.text("label"))
    if label is None:
        raise ValueError(f"label {row.text('label')!r} is none of {', '.join(labels)}")
    sentences = tuple(str(item) for item in row.fields["evidence_sentences"])
    sets = row.fields.get("supporting_sentence_sets") or []
    key = tuple(sorted({int(index) for index in sets[0] if int(index) < len(sentences)})) if sets else ()
    return [LabelledClaim(_key(row), row.text("claim"), sentences, label, _digest(" ".join(sentences[:3])), key=key)]


def _climate(row: Row) -> list[LabelledClaim]:
    """One claim with each sentence that decides; DISPUTED ones have sentences of both kinds and are read one by one."""
    labels: dict[str, Label] = {"SUPPORTS": "fully", "REFUTES": "none", "NOT_ENOUGH_INFO": "none"}
    claims = []
    for number, item in enumerate(row.fields["evidence"]):
        label = labels.get(str(item["label"]))
        if label is None:
            raise ValueError(f"label {item['label']!r} is none of {', '.join(labels)}")
        claims.append(LabelledClaim(f"{_key(row)}.{number}", row.text("claim"), (str(item["text"]),), label, _key(row)))
    return claims


def _scifact(abstracts: dict[str, tuple[str, ...]], row: Row) -> list[LabelledClaim]:
    """One claim with each abstract that is cited for it."""
    verdicts = {str(item["doc_id"]): item for item in row.fields["evidence"]}
    claims = []
    for document in map(str, row.fields["cited_doc_ids"]):
        if document not in abstracts:
            raise ValueError(f"abstract {document!r} is in neither abstract_sentences nor corpus")
        verdict = verdicts.get(document)
        label: Label = "fully" if verdict and verdict["label"] == "SUPPORT" else "none"
        key = tuple(int(index) for index in verdict["sentences"]) if verdict else ()
        claims.append(
            LabelledClaim(f"{_key(row)}.{document}", row.text("claim"), abstracts[document], label, document, key=key)
        )
    return claims


def _halueval(row: Row) -> list[LabelledClaim]:
    """The right answer against one that a model made up; the question stands beside, as the answer needs it."""
    context, question = row.text("context"), row.text("question")
    answers: list[tuple[str, Label]] = [(row.text("right_answer"), "fully")]
    answers += [(str(answer), "none") for answer in row.fields["hallucinated_answers"]]
    return [
        LabelledClaim(f"{_key(row)}.{number}", answer, (context,), label, _digest(context), question)
        for number, (answer, label) in enumerate(answers)
    ]


def _mtrag(row: Row) -> list[LabelledClaim]:
    median = float(row.fields["faithfulness_median"])
    label: Label = "fully" if median >= FAITHFUL else "none" if median <= UNFAITHFUL else "partially"
    contexts = tuple(str(item["text"]) for item in row.fields["contexts"])
    if not contexts:
        return []
    conversation = _key(row).split("<::>")[0]
    return [LabelledClaim(_key(row), row.text("response"), contexts, label, conversation, row.text("question"))]


def _abstracts(folder: Path) -> dict[str, tuple[str, ...]]:
    known: dict[str, tuple[str, ...]] = {}
    sentences = find_jsonl(folder, "abstract_sentences")
    for row in scan_jsonl(sentences, []) if sentences else ():
        known[str(row.key)] = row.texts("sentences")
    if not known and (corpus := find_jsonl(folder, "corpus")):
        known = {str(row.key): (row.text("text"),) for row in scan_jsonl(corpus, [])}
    return known


def _key(row: Row) -> str:
    return row.key or str(row.line)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:16]
