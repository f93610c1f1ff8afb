"""Retrieval evaluation: nDCG@10, recall@100 and reciprocal rank, with bootstrap intervals, per mode.

Metrics are trec_eval's (through `ir-measures`), over documents: a document scores as its best chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..retrieval.knowledge_base import KnowledgeBase
from ..retrieval.reranked import RerankedRetriever
from ..retrieval.search import Mode
from .datasets import RetrievalSet
from .statistics import mean_interval, paired_difference

if TYPE_CHECKING:
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

    from .records import Difference

__all__ = (
    "DEPTH",
    "METRICS",
    "RetrievalResult",
    "bootstrap_interval",
    "differences",
    "evaluate_retrieval",
    "score_runs",
)

METRICS = ("ndcg@10", "recall@100", "rr@10")
DEPTH = 100
CHUNKS_PER_DOCUMENT = 3
"""How many chunks are asked for per document wanted, since several may be of one document."""


@dataclass(frozen=True, slots=True)
class RetrievalResult:
    """One mode on one set."""

    set: str
    mode: str
    """One of the modes; of a reranked one with the reranker behind it, `default + reranker:bundled`."""
    index_seconds: float
    seed: int
    """Of the bootstrap."""
    per_query: dict[str, dict[str, float]] = field(repr=False)
    """query id to metric to value."""
    ms: dict[str, float] = field(repr=False)
    """query id to milliseconds, the query's embedding included."""
    runs: dict[str, dict[str, float]] = field(default_factory=dict, repr=False)
    """query id to {document id: score}, best first, `DEPTH` deep; empty where the result was read from a file."""

    @property
    def n(self) -> int:
        """How many queries."""
        return len(self.per_query)

    @property
    def means(self) -> dict[str, float]:
        """metric to its mean over the queries."""
        return {name: float(np.mean(self.column(name))) for name in METRICS}

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """metric to the 95 % bootstrap interval of its mean."""
        return {name: bootstrap_interval(self.column(name), seed=self.seed) for name in METRICS}

    @property
    def ms_per_query(self) -> float:
        """The median."""
        return float(np.median(list(self.ms.values())))

    def column(self, metric: str) -> list[float]:
        """One metric's values, in the order of the queries."""
        return [values[metric] for values in self.per_query.values()]

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
    reranker: BaseNodePostprocessor | None = None,
    rerank_from: int = 50,
    name: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> RetrievalResult:
    """Runs every query of the set in one mode and scores the rankings.

    Args:
        kb: the set's corpus, as `index_set` makes it: the `source` of a passage is the id of its document.
        retrieval_set: queries and judgements.
        mode: how to retrieve.
        index_seconds: what building the index took, kept in the result.
        seed: of the bootstrap.
        reranker: reorders the first `rerank_from` passages of each query; the others stay behind them.
        rerank_from: how many.
        name: as the result calls it; default: the mode.
        progress: gets (queries done, in all).

    Example:
        >>> kb, seconds = index_set(found)  # doctest: +SKIP
        >>> evaluate_retrieval(kb, found, "hybrid", index_seconds=seconds).means["ndcg@10"]  # doctest: +SKIP
        0.4021
    """
    retriever: BaseRetriever = kb.retriever(mode=mode, top_k=DEPTH * CHUNKS_PER_DOCUMENT)
    if reranker:
        retriever = RerankedRetriever(retriever, reranker, rerank_from=rerank_from)
    runs: dict[str, dict[str, float]] = {}
    ms: dict[str, float] = {}
    retriever.retrieve("warm")  # loads model and index, which is no query's cost
    for number, (key, text) in enumerate(retrieval_set.queries.items(), start=1):
        began = time.perf_counter()
        found = retriever.retrieve(text)
        ms[key] = round((time.perf_counter() - began) * 1000, 3)  # as a run file keeps it
        best: dict[str, float] = {}
        level, last = float(len(found)), None
        for item in found:  # best first, so the first chunk of a document is its best
            score = float(item.score or 0.0)
            if reranker:  # behind the reranked passages stand scores of another kind: only order and ties count
                level, last = (level, last) if score == last else (level - 1, score)
            best.setdefault(item.node.metadata["source"], level if reranker else score)
        runs[key] = dict(list(best.items())[:DEPTH])
        if progress:
            progress(number, len(retrieval_set.queries))
    return RetrievalResult(
        set=retrieval_set.name,
        mode=name or mode,
        index_seconds=index_seconds,
        seed=seed,
        per_query=score_runs(runs, retrieval_set.qrels),
        ms=ms,
        runs=runs,
    )


def score_runs(
    runs: Mapping[str, Mapping[str, float]], qrels: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, float]]:
    """query id to metric to value, in the order of `runs`; a query that found nothing scores 0.

    Documents are ordered by score, and those of one score by id, the highest first, as trec_eval does.

        >>> score_runs({"q": {"a": 2.0, "b": 1.0}}, {"q": {"b": 1}})["q"]["rr@10"]
        0.5
    """
    import ir_measures
    from ir_measures import RR, R, nDCG

    # RR without a cutoff: with one, ir-measures takes it from another tool, which breaks ties the other way round.
    names = {nDCG @ 10: "ndcg@10", R @ 100: "recall@100", RR: "rr@10"}
    per_query = {key: dict.fromkeys(METRICS, 0.0) for key in runs}
    judged = {key: dict(qrels[key]) for key in runs}
    for found in ir_measures.iter_calc(list(names), judged, {key: dict(run) for key, run in runs.items() if run}):
        value = float(found.value)
        # A first hit below rank 10 counts nothing; ranks below 10 give less than 0.0910.
        per_query[found.query_id][names[found.measure]] = 0.0 if found.measure == RR and value < 0.095 else value
    return per_query


def differences(result: RetrievalResult, baseline: RetrievalResult) -> dict[str, Difference]:
    """metric to the paired difference `result` minus `baseline`, with its 95 % bootstrap interval.

    >>> differences(dense, bm25)["ndcg@10"]  # doctest: +SKIP
    {'mean': 0.021, 'low': -0.004, 'high': 0.046, 'n': 300}
    """
    return {
        name: paired_difference(
            dict(zip(result.per_query, result.column(name), strict=True)),
            dict(zip(baseline.per_query, baseline.column(name), strict=True)),
            seed=result.seed,
        )
        for name in METRICS
    }


def bootstrap_interval(values: Sequence[float] | np.ndarray[Any, Any], *, seed: int = 0) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean: `statistics.mean_interval`, by its older name."""
    return mean_interval(values, seed=seed)
