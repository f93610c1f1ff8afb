"""Rows out of what our own graphs did: the lines of `ragloom ask --json`, and records.jsonl of `ragloom eval answers`.

A line may carry "thumbs": "up" or "down", as an assistant's users gave it. An evaluation's record has none, and counts
as up where its answer holds a right one. Only answers that are known to be good teach relevance and drafting; a cited
sentence teaches support, since a critic let it through, unless the answer is known to be bad. What is known to be good
or bad teaches utility: 5, or 2 (1 of a refusal).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...evals.jsonl import Problem, Row, scan_jsonl
from ...models.specs import TrainedRole
from .parts import document_of
from .rows import Origin, TrainingRow
from .sources import Source, Sources
from .texts import holds_answer

__all__ = ("Trace", "TracePassage", "read_traces", "trace_rows")


@dataclass(frozen=True, slots=True)
class TracePassage:
    """A passage that was read."""

    id: str
    text: str
    title: str
    source: str


@dataclass(frozen=True, slots=True)
class Trace:
    """One question that a graph answered, or declined to."""

    id: str
    question: str
    answer: str
    abstained: bool
    passages: tuple[TracePassage, ...]
    cited: tuple[tuple[str, str, str], ...]
    """(sentence, passage id, quote) of each citation."""
    good: bool | None
    """By thumbs, or by the right answers of an evaluation; None where nobody said."""
    answers: tuple[str, ...] = ()
    gold: tuple[str, ...] = ()
    """Right answers and ids of gold passages, as an evaluation's record has them."""

    def read(self, *, cited: bool) -> list[TracePassage]:
        """The passages that were cited, or those that were not."""
        named = {passage for _, passage, _ in self.cited}
        return [passage for passage in self.passages if (passage.id in named) == cited]

    def needless(self) -> list[TracePassage]:
        """The passages that were read for nothing. One that was not cited may say the same as one that was: those that
        are gold, hold a right answer or support a cited sentence are left out.
        """
        from langchain_core.documents import Document

        from ...graphs.common.support import OverlapCritic

        critic = OverlapCritic()
        sentences = [sentence for sentence, _, _ in self.cited]
        return [
            passage
            for passage in self.read(cited=False)
            if passage.id not in self.gold
            and not holds_answer(passage.text, self.answers)
            and not any(critic.support(sentence, "", [Document(passage.text)]) for sentence in sentences)
        ]


def read_traces(source: Source, problems: list[Problem]) -> Iterator[Trace]:
    """The usable traces of a file; what cannot be used is added to `problems`, with its line."""
    for row in scan_jsonl(source.path, problems):
        try:
            trace = _trace(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"column {error} is missing" if isinstance(error, KeyError) else str(error)
            problems.append(row.problem(f"no trace of a graph: {what}: left out"))
            continue
        if trace is not None:
            yield trace


def trace_rows(role: TrainedRole, sources: Sources) -> Iterator[TrainingRow]:
    """Rows of a role out of all traces; none for roles that traces say nothing about."""
    makers = {
        "evaluator": _relevance,
        "reranker": _relevance,
        "support": _support,
        "embedder": _pair,
        "drafter": _draft,
        "utility": _rating,
    }
    make = makers.get(role)
    for source in sources.of("traces") if make else ():
        # Checked when the sources were loaded: named there.
        for trace in read_traces(source, []):
            for row in make(trace) if make else ():
                yield {**row, "origin": _origin(source, trace)}


def _trace(row: Row) -> Trace | None:
    if row.fields.get("failed"):
        return None
    question = row.text("question")
    if not question.strip():
        raise ValueError("no 'question'")
    passages = tuple(
        TracePassage(str(item["id"]), str(item["text"]), str(item.get("title") or ""), str(item.get("source") or ""))
        for item in row.fields["documents"]
        if str(item["text"]).strip()
    )
    cited = tuple(
        (str(item["sentence"]), str(item["id"]), str(item.get("quote") or "")) for item in row.fields["citations"]
    )
    abstained = bool(row.fields.get("abstained"))
    key = f"{row.text('strategy')}/{row.key}" if row.key else str(row.line)
    answers, gold = (tuple(map(str, row.fields.get(name) or ())) for name in ("answers", "gold"))
    return Trace(key, question, row.text("answer"), abstained, passages, cited, _good(row.fields), answers, gold)


def _good(fields: Mapping[str, Any]) -> bool | None:
    thumbs = fields.get("thumbs")
    if thumbs not in (None, "", "up", "down"):
        raise ValueError(f"'thumbs' is {thumbs!r}, neither 'up' nor 'down'")
    if thumbs:
        return bool(thumbs == "up")
    metrics = fields.get("metrics")
    held = metrics.get("contains") if isinstance(metrics, dict) else None
    return None if held is None else bool(held >= 1)


def _relevance(trace: Trace) -> Iterator[TrainingRow]:
    cited = trace.read(cited=True)
    if not trace.good or trace.abstained or not cited:
        return
    for passages, label in ((cited, 1.0), (trace.needless(), 0.0)):
        for passage in passages:
            yield {"question": trace.question, "passage": passage.text, "title": passage.title, "label": label}


def _pair(trace: Trace) -> Iterator[TrainingRow]:
    if not trace.good or trace.abstained:
        return
    negatives = [passage.text for passage in trace.needless()]
    for passage in trace.read(cited=True):
        yield {"query": trace.question, "positive": passage.text, "negatives": negatives}


def _support(trace: Trace) -> Iterator[TrainingRow]:
    if trace.good is False or trace.abstained:
        return
    texts = {passage.id: passage.text for passage in trace.passages}
    needless = trace.needless()
    for sentence, key, _ in trace.cited:
        if key not in texts:
            continue
        row = {"claim": sentence, "question": trace.question, "made": "trace"}
        yield {**row, "passage": texts[key], "label": "fully"}
        if needless:
            yield {**row, "passage": needless[0].text, "label": "none"}


def _draft(trace: Trace) -> Iterator[TrainingRow]:
    if not trace.good or not trace.passages:
        return
    yield {
        "question": trace.question,
        "passages": [passage.text for passage in trace.passages],
        "rationale": " ".join(dict.fromkeys(quote for _, _, quote in trace.cited if quote)),
        "answer": "" if trace.abstained else trace.answer,
        "answerable": not trace.abstained,
    }


def _rating(trace: Trace) -> Iterator[TrainingRow]:
    if trace.good is None or not trace.answer.strip() or (trace.good and trace.abstained):
        return
    label = 5 if trace.good else 1 if trace.abstained else 2
    yield {"question": trace.question, "answer": trace.answer, "label": label, "made": "trace"}


def _origin(source: Source, trace: Trace) -> Origin:
    read = [*trace.read(cited=True), *trace.passages]
    about = read[0].source or read[0].title or read[0].id if read else trace.question
    document = document_of(source.name, "", about)
    return Origin(set=source.name, id=trace.id, document=document, licence=source.licence)
