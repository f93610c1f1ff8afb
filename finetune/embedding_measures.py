"""How well an embedder finds passages: nDCG@10 and recall@10 of exact search among all passages of a set."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..evals.answer_sets import share_of
from ..evals.statistics import mean_interval, paired_difference
from .data.rows import TrainingRow

__all__ = ("METRICS", "Judged", "compare", "evaluator_of", "judged", "measure")

METRICS = ("ndcg@10", "recall@10")
DEPTH = 100
_QUERIES = 512  # of one block of the score matrix

PerQuery = dict[str, dict[str, float]]
"""query to metric to value."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Queries with their right passages, and everything that they are looked for in."""

    queries: dict[str, str]
    passages: dict[str, str]
    relevant: dict[str, set[str]]

    def limited(self, queries: int, passages: int) -> Judged:
        """At most so many queries, and so many passages besides the right ones; chosen by hash."""
        kept = sorted(self.queries, key=share_of)[:queries]
        needed = {key for query in kept for key in self.relevant[query]}
        others = sorted((key for key in self.passages if key not in needed), key=share_of)[:passages]
        return Judged(
            {key: self.queries[key] for key in kept},
            {key: self.passages[key] for key in (*sorted(needed), *others)},
            {key: self.relevant[key] for key in kept},
        )


def judged(rows: Iterable[TrainingRow], passages: Iterable[str]) -> Judged:
    """The rows' queries over `passages` and their own texts; one that stands in several rows has several right ones.

    >>> found = judged([{"query": "q", "positive": "p", "negatives": []}], ["p", "other"])
    >>> len(found.passages), found.relevant
    (2, {'q0': {'p0'}})
    """
    ids = {text: f"p{number}" for number, text in enumerate(dict.fromkeys(passages))}
    queries: dict[str, str] = {}
    relevant: dict[str, set[str]] = {}
    for row in rows:
        for text in (row["positive"], *row["negatives"]):
            ids.setdefault(text, f"p{len(ids)}")
        key = queries.setdefault(row["query"], f"q{len(queries)}")
        relevant.setdefault(key, set()).add(ids[row["positive"]])
    return Judged({key: text for text, key in queries.items()}, {key: text for text, key in ids.items()}, relevant)


def evaluator_of(dev: Judged, model: Any) -> Any:
    """sentence-transformers' own evaluator, for the training."""
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator

    at: Any = [10]
    queries: Any = dev.queries
    passages: Any = dev.passages
    return InformationRetrievalEvaluator(
        queries,
        passages,
        dev.relevant,
        name="dev",
        mrr_at_k=at,
        ndcg_at_k=at,
        accuracy_at_k=at,
        precision_recall_at_k=at,
        map_at_k=at,
        main_score_function=model.similarity_fn_name,
        write_csv=False,
    )


def measure(model: Any, found: Judged) -> PerQuery:
    """nDCG@10 and recall@10 of every query, by trec_eval's definitions; the prompts of the model are used."""
    import ir_measures
    from ir_measures import R, nDCG

    passages = model.encode_document(list(found.passages.values()), normalize_embeddings=True, show_progress_bar=False)
    queries = model.encode_query(list(found.queries.values()), normalize_embeddings=True, show_progress_bar=False)
    runs = _rankings(list(found.queries), queries, list(found.passages), passages)
    judgements = {key: dict.fromkeys(right, 1) for key, right in found.relevant.items()}
    names = {nDCG @ 10: "ndcg@10", R @ 10: "recall@10"}
    values = {key: dict.fromkeys(METRICS, 0.0) for key in found.queries}
    for each in ir_measures.iter_calc(list(names), judgements, runs):
        values[each.query_id][names[each.measure]] = float(each.value)
    return values


def compare(before: PerQuery, after: PerQuery, *, seed: int = 0) -> dict[str, Any]:
    """Means with 95 % intervals before and after, and the paired difference of each metric."""
    told: dict[str, Any] = {"n": len(after)}
    for metric in METRICS:
        old, new = ({key: row[metric] for key, row in values.items()} for values in (before, after))
        difference = paired_difference(new, old, seed=seed)
        base = float(np.mean(list(old.values())))
        told[metric] = {
            "base": round(base, 4),
            "trained": round(float(np.mean(list(new.values()))), 4),
            "ci95": [round(end, 4) for end in mean_interval(list(new.values()), seed=seed)],
            "difference": {
                "n": difference["n"],
                "mean": round(difference["mean"], 4),
                "low": round(difference["low"], 4),
                "high": round(difference["high"], 4),
            },
            "relative": round(difference["mean"] / base, 4) if base else None,
        }
    return told


def _rankings(
    queries: Sequence[str], asked: np.ndarray[Any, Any], passages: Sequence[str], texts: np.ndarray[Any, Any]
) -> dict[str, dict[str, float]]:
    runs: dict[str, dict[str, float]] = {}
    depth = min(DEPTH, len(passages))
    for start in range(0, len(queries), _QUERIES):
        scores = asked[start : start + _QUERIES] @ texts.T
        best = np.argpartition(-scores, depth - 1, axis=1)[:, :depth]
        for key, row, places in zip(queries[start : start + _QUERIES], scores, best, strict=True):
            runs[key] = {passages[int(at)]: float(row[int(at)]) for at in places}
    return runs
