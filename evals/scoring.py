"""From records to numbers: the metrics of one record, and the summary of all. docs/metrics.md has the definitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from langchain_core.documents import Document

from ..errors import MissingExtraError
from ..graphs.common.support import OverlapCritic, SupportCritic
from ..sentences import sentence_spans
from .records import METRICS, Difference, Record, Summary, Timing
from .statistics import mean_interval, paired_difference
from .text_metrics import bleu, contains, exact_match, f1, rouge_l

__all__ = ("missing_metrics", "score_record", "summarise")

_TEXT: dict[str, Callable[[str, Sequence[str]], float]] = {
    "em": exact_match,
    "f1": f1,
    "contains": contains,
    "rouge_l": rouge_l,
    "bleu": bleu,
}
_SHARES = ("abstained", "answered_unanswerable", "abstained_answerable")
_CANNOT_CITE = frozenset({"closed-book"})
"""A failed record holds nothing that tells whether its strategy would have retrieved, so these are known by name."""


def missing_metrics() -> list[str]:
    """The metrics that stay None because the extra `evals` is not installed."""
    try:
        rouge_l("", [""])
        bleu("", [""])
    except MissingExtraError:
        return ["rouge_l", "bleu"]
    return []


def score_record(record: Record | Mapping[str, Any], *, critic: SupportCritic | None = None) -> dict[str, float | None]:
    """Every one of METRICS for one record; None where it is not defined.

    A failed record scores 0 wherever a metric is defined for its question. `critic` judges support; default
    `OverlapCritic`. The record's own `metrics` are not looked at.

        >>> record = {
        ...     "strategy": "naive", "answers": ["25 days"], "gold": ["leave.md"], "answerable": True, "failed": None,
        ...     "question": "How many days of leave?", "answer": "25 days of leave.", "abstained": False, "steps": [],
        ...     "citations": [{"sentence": "25 days of leave.", "id": "c1", "source": "leave.md", "quote": ""}],
        ...     "documents": [{"id": "c1", "source": "leave.md", "title": "", "text": "Staff get 25 days of leave."}],
        ... }
        >>> scores = score_record(record)
        >>> scores["contains"], scores["citation_recall"], scores["support"], scores["abstain_accuracy"]
        (1.0, 1.0, 1.0, 1.0)
    """
    scores: dict[str, float | None] = dict.fromkeys(METRICS)
    answered = not record["abstained"] and not record["failed"]
    if record["answerable"] and record["answers"]:
        scores |= _text_scores(record["answer"] if answered else None, record["answers"])
    if _can_cite(record):
        if record["answerable"] and record["gold"]:
            scores |= _gold_scores(record, answered)
        if answered:
            scores["support"] = _support(record, critic or OverlapCritic())
    scores["abstain_accuracy"] = float(not record["failed"] and record["abstained"] != record["answerable"])
    return scores


def _text_scores(answer: str | None, right: Sequence[str]) -> dict[str, float | None]:
    unknown = dict.fromkeys(missing_metrics())
    return {
        name: None if name in unknown else 0.0 if answer is None else metric(answer, right)
        for name, metric in _TEXT.items()
    }


def _can_cite(record: Record | Mapping[str, Any]) -> bool:
    if record["failed"]:
        return record["strategy"] not in _CANNOT_CITE
    return bool(record["documents"]) or any(step["node"] == "retrieve" for step in record["steps"])


def _gold_scores(record: Record | Mapping[str, Any], answered: bool) -> dict[str, float | None]:
    gold = set(record["gold"])
    # Gold names a passage by its id, or a document by its source: a chunk of the document then counts as gold.
    cited = [{item["id"], item["source"]} & gold for item in record["citations"]] if answered else []
    read = any({item["id"], item["source"]} & gold for item in record["documents"])
    return {
        "gold_retrieved": float(read and not record["failed"]),
        "citation_precision": sum(map(bool, cited)) / len(cited) if cited else None,
        "citation_recall": len(set().union(*cited)) / len(gold),
    }


def _support(record: Record | Mapping[str, Any], critic: SupportCritic) -> float | None:
    answer = record["answer"]
    spans = [span for span in sentence_spans(answer) if any(char.isalnum() for char in answer[slice(*span)])]
    if not spans:
        return None
    texts = {item["id"]: item for item in record["documents"]}
    cited: list[tuple[int, int, Document]] = []
    for item in record["citations"]:
        start = answer.find(item["sentence"])
        if start >= 0:
            # Of a passage that the record does not hold, the quote is all there is to judge by.
            found = texts.get(item["id"], {})
            passage = Document(found.get("text", item["quote"]), metadata={"title": found.get("title", "")})
            cited.append((start, start + len(item["sentence"]), passage))
    supported = 0
    for start, end in spans:
        # What the strategy took for a sentence may be more or less than ours: it counts for all that it overlaps.
        passages = [passage for left, right, passage in cited if left < end and start < right]
        found = critic.support(answer[start:end], record["question"], passages) if passages else []
        supported += any(item.score >= critic.threshold for item in found)
    return supported / len(spans)


def summarise(
    records: Iterable[Record],
    timings: Iterable[Timing],
    *,
    llm: str,
    seed: int,
    baseline: str | None = None,
) -> list[Summary]:
    """One summary per set and strategy, in the order in which they first appear.

    Takes each record's `metrics` as they are. `baseline` names the strategy that the others are compared with, question
    by question; in a set that it did not run on, `baseline` is None and there are no differences.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record["set"], record["strategy"]), []).append(record)
    times = {(item["set"], item["strategy"], item["id"]): item for item in timings}
    summaries = []
    for (name, strategy), group in groups.items():
        others = groups.get((name, baseline)) if baseline else None
        mine = [times[key] for item in group if not item["failed"] and (key := (name, strategy, item["id"])) in times]
        versus: dict[str, Difference] = {}
        if others and strategy != baseline:
            versus = _differences(_columns(group), _columns(others), seed=seed)
        summaries.append(_summary(group, mine, versus, llm=llm, seed=seed, baseline=baseline if others else None))
    return summaries


def _columns(group: Sequence[Record]) -> dict[str, dict[str, float | None]]:
    """Measure to question id to value: METRICS and the shares of abstentions."""
    columns: dict[str, dict[str, float | None]] = {name: {} for name in (*METRICS, *_SHARES)}
    for record in group:
        abstained = record["abstained"] and not record["failed"]
        answered = not record["abstained"] and not record["failed"]
        values = {
            **{name: record["metrics"].get(name) for name in METRICS},
            "abstained": float(abstained),
            "answered_unanswerable": None if record["answerable"] else float(answered),
            "abstained_answerable": float(abstained) if record["answerable"] else None,
        }
        for name, value in values.items():
            columns[name][record["id"]] = value
    return columns


def _differences(
    left: Mapping[str, Mapping[str, float | None]], right: Mapping[str, Mapping[str, float | None]], *, seed: int
) -> dict[str, Difference]:
    found = {name: paired_difference(left[name], right[name], seed=seed) for name in left}
    return {name: difference for name, difference in found.items() if difference["n"]}


def _summary(
    group: Sequence[Record],
    times: Sequence[Timing],
    versus: dict[str, Difference],
    *,
    llm: str,
    seed: int,
    baseline: str | None,
) -> Summary:
    columns = _columns(group)
    defined = {name: [value for value in column.values() if value is not None] for name, column in columns.items()}
    means = {name: float(np.mean(values)) if values else None for name, values in defined.items()}
    seconds = [item["seconds"] for item in times]
    first = [item["first_token_s"] for item in times if item["first_token_s"] is not None]
    summary = Summary(
        set=group[0]["set"],
        strategy=group[0]["strategy"],
        llm=llm,
        n=len(group),
        seed=seed,
        em=means["em"],
        f1=means["f1"],
        contains=means["contains"],
        rouge_l=means["rouge_l"],
        bleu=means["bleu"],
        gold_retrieved=means["gold_retrieved"],
        citation_precision=means["citation_precision"],
        citation_recall=means["citation_recall"],
        support=means["support"],
        abstained=means["abstained"] or 0.0,
        abstain_accuracy=means["abstain_accuracy"],
        answered_unanswerable=means["answered_unanswerable"],
        abstained_answerable=means["abstained_answerable"],
        calls=float(np.mean([item["calls"] for item in group])),
        tokens_in=float(np.mean([item["tokens_in"] for item in group])),
        tokens_out=float(np.mean([item["tokens_out"] for item in group])),
        p50_s=float(np.percentile(seconds, 50)) if seconds else 0.0,
        p95_s=float(np.percentile(seconds, 95)) if seconds else 0.0,
        first_token_p50_s=float(np.percentile(first, 50)) if first else None,
        failed=sum(bool(item["failed"]) for item in group),
        counts={name: len(defined[name]) for name in METRICS},
        ci95={name: mean_interval(values, seed=seed) for name, values in defined.items() if values},
        baseline=baseline,
        versus_baseline=versus,
    )
    if false := [item for item in group if item.get("false_answer")]:
        repeated = [contains(item["answer"], [item.get("false_answer", "")]) for item in false if not item["abstained"]]
        summary["repeated_false"] = sum(repeated) / len(false)
    return summary
