"""What an answer evaluation keeps: one record and one timing per question, one summary per set and strategy.

A run is a folder:

    run.json         what was asked for: sets, strategies, model, seed, settings, versions
    records.jsonl    a `Record` a line, in the order of set, strategy and question; the same for every run of the
                     same question to the same model, so that two runs can be compared byte by byte
    timings.jsonl    a `Timing` a line, in the same order: what differs from run to run
    summary.json     a list of `Summary`
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from ..types import Citation

__all__ = ("METRICS", "CitedDocument", "Difference", "Record", "Summary", "Timing")

METRICS = (
    *("em", "f1", "contains", "rouge_l", "bleu"),  # the answer beside the right ones
    *("gold_retrieved", "citation_precision", "citation_recall", "support"),  # where it comes from
    "abstain_accuracy",  # whether it answered where it should, and only there
)
"""Every quality metric, 0 to 1, more is better. docs/metrics.md has the definitions."""


class CitedDocument(TypedDict):
    """A passage that was read."""

    id: str
    source: str
    page: int
    title: str
    score: float | None
    text: str


class Record(TypedDict):
    """One question, one strategy."""

    set: str
    strategy: str
    id: str
    question: str
    answers: list[str]
    gold: list[str]
    answerable: bool
    answer: str
    abstained: bool
    citations: list[Citation]
    documents: list[CitedDocument]
    steps: list[dict[str, Any]]
    """Steps of the graph: {node, decision, reason, scores?, details?}; times are in the timing."""
    calls: int
    tokens_in: int
    tokens_out: int
    metrics: dict[str, float | None]
    """Every one of METRICS; None where it is not defined (no gold passages, an abstention's citations, ...)."""
    false_answer: NotRequired[str]
    """What a counterfactual passage claims, under stress."""
    failed: str | None
    """Why there is no answer: an error in one line. Such a record scores 0 wherever a metric is defined."""


class Timing(TypedDict):
    """What one answer took, in seconds."""

    set: str
    strategy: str
    id: str
    seconds: float
    """From question to answer. Where the model's output came from the cache: with the time it took at first."""
    first_token_s: float | None
    """From question to the model's first token of the last call; None where no model was asked."""
    cached: bool
    """Every output of the model came from the cache."""
    step_ms: list[float]


class Difference(TypedDict):
    """A paired difference: this strategy minus the baseline, over the questions that both have."""

    mean: float
    low: float
    """95 % paired bootstrap interval."""
    high: float
    n: int


class Summary(TypedDict):
    """One strategy on one set, as `ragloom eval answers --json` prints it (see design.md for the stable keys)."""

    set: str
    strategy: str
    llm: str
    n: int
    seed: int
    em: float | None
    f1: float | None
    contains: float | None
    rouge_l: float | None
    bleu: float | None
    gold_retrieved: float | None
    citation_precision: float | None
    citation_recall: float | None
    support: float | None
    abstained: float
    """Share of all questions."""
    abstain_accuracy: float | None
    answered_unanswerable: float | None
    """Share of the unanswerable questions that were answered all the same."""
    abstained_answerable: float | None
    """Share of the answerable questions on which it abstained."""
    calls: float
    """Mean per question, as are tokens_in and tokens_out."""
    tokens_in: float
    tokens_out: float
    p50_s: float
    p95_s: float
    first_token_p50_s: float | None
    repeated_false: NotRequired[float]
    """Under counterfactual stress: share of the questions with a false passage whose answer repeats what it claims."""
    failed: int
    """Records without an answer; they count as 0 in every metric that is defined for the question."""
    counts: dict[str, int]
    """Questions for which each metric is defined."""
    ci95: dict[str, tuple[float, float]]
    """Bootstrap intervals of the means."""
    baseline: str | None
    versus_baseline: dict[str, Difference]
    """Differences to the baseline row of the same set (empty for the baseline itself)."""
