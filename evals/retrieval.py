"""Retrieval evaluation: nDCG@10, recall@100 and reciprocal rank, with bootstrap intervals, per mode.

Metrics are `ir-measures`' (trec_eval definitions), over documents: a document scores as its best chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..retrieval.knowledge_base import KnowledgeBase
from ..retrieval.search import Mode
from .datasets import RetrievalSet

__all__ = ("METRICS", "RetrievalResult", "bootstrap_interval", "evaluate_retrieval")

METRICS = ("ndcg@10", "recall@100", "rr@10")
DEPTH = 100
CHUNKS_PER_DOCUMENT = 3
"""How many chunks are asked for per document wanted, since several may be of one document."""


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """One mode on one set."""

    set: str
    mode: Mode
    n: int
    means: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    """95 % bootstrap intervals of the means."""
    ms_per_query: float
    """Median, the query's embedding included."""
    index_seconds: float
    seed: int
    per_query: dict[str, dict[str, float]] = field(repr=False)
    """query id to metric to value."""

    def to_dict(self) -> dict[str, Any]:
        """As `ragloom eval retrieval --json` prints it."""
        return {
            "set": self.set,
            "mode": self.mode,
            "n": self.n,
            **{name: round(value, 4) for name, value in self.means.items()},
            "ms_per_query": round(self.ms_per_query, 2),
            "index_seconds": round(self.index_seconds, 1),
            "seed": self.seed,
            "ci95": {name: [round(low, 4), round(high, 4)] for name, (low, high) in self.intervals.items()},
        }


def evaluate_retrieval(
    kb: KnowledgeBase,
    retrieval_set: RetrievalSet,
    mode: Mode,
    *,
    index_seconds: float = 0.0,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> RetrievalResult:
    """Runs every query of the set in one mode and scores the rankings."""
    retriever = kb.retriever(mode=mode, top_k=DEPTH * CHUNKS_PER_DOCUMENT)
    runs: dict[str, dict[str, float]] = {}
    seconds = []
    retriever.retrieve("warm")  # loads model and index, which is no query's cost
    for number, (key, text) in enumerate(retrieval_set.queries.items(), start=1):
        began = time.perf_counter()
        found = retriever.retrieve(text)
        seconds.append(time.perf_counter() - began)
        best: dict[str, float] = {}
        for item in found:  # best first, so the first chunk of a document is its best
            best.setdefault(item.node.metadata["source"], float(item.score or 0.0))
        runs[key] = dict(list(best.items())[:DEPTH])
        if progress:
            progress(number, len(retrieval_set.queries))
    per_query = score_runs(runs, retrieval_set.qrels)
    columns = {name: np.array([per_query[key][name] for key in retrieval_set.queries]) for name in METRICS}
    return RetrievalResult(
        set=retrieval_set.name,
        mode=mode,
        n=len(retrieval_set.queries),
        means={name: float(values.mean()) for name, values in columns.items()},
        intervals={name: bootstrap_interval(values, seed=seed) for name, values in columns.items()},
        ms_per_query=float(np.median(seconds)) * 1000,
        index_seconds=index_seconds,
        seed=seed,
        per_query=per_query,
    )


def score_runs(runs: dict[str, dict[str, float]], qrels: dict[str, dict[str, int]]) -> dict[str, dict[str, float]]:
    """query id to metric to value; a query that found nothing scores 0."""
    import ir_measures
    from ir_measures import RR, R, nDCG

    names = {nDCG @ 10: "ndcg@10", R @ 100: "recall@100", RR @ 10: "rr@10"}
    per_query = {key: dict.fromkeys(METRICS, 0.0) for key in runs}
    judged = {key: qrels[key] for key in runs}
    for found in ir_measures.iter_calc(list(names), judged, {key: run for key, run in runs.items() if run}):
        per_query[found.query_id][names[found.measure]] = float(found.value)
    return per_query


def bootstrap_interval(values: Sequence[float] | np.ndarray[Any, Any], *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean (2,000 resamples)."""
    from scipy.stats import bootstrap

    sample = np.asarray(values, dtype=float)
    if len(sample) < 2 or float(np.ptp(sample)) == 0.0:
        return float(sample.mean()), float(sample.mean())
    found = bootstrap((sample,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(seed))
    return float(found.confidence_interval.low), float(found.confidence_interval.high)
