"""How the `default` mode was chosen: fusions and feedback compared on judged sets, over the same two rankings.

Rankings are ragloom's own: the first 200 chunks by BM25 and by cosine, fused by `ragloom.retrieval.fusion`; documents
score as their best chunk. Weak feedback (`ragloom.retrieval.feedback`) reorders what was found, with nearest neighbours
(score regularisation) or without. The other feedback variants search a second time: Rocchio moves the query's vector
towards the first passages (weighted by their score), RM3 adds their 20 most telling words to the query. Of each set at
most 300 queries, chosen by hash; of SciFact the training half, since the other half is for measuring.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, embedder, has, judged, options, publish, say, table

from ragloom.evals.datasets import RetrievalSet
from ragloom.evals.indexing import index_set
from ragloom.evals.retrieval import DEPTH, score_runs
from ragloom.retrieval.feedback import feedback
from ragloom.retrieval.fusion import reciprocal_rank_fusion, relative_score_fusion

SETS = "cacm,cisi,npl,scifact:train,nq_gold,squad,hotpotqa_100,qqp_pairs"
LIMIT = 300
WEAK = ((0.1, 0.0), (0.2, 0.0), (0.3, 0.0), (0.2, 0.1), (0.2, 0.2), (0.2, 0.3))
"""Weights of the centroid, and of the nearest neighbours."""
POOL, ALPHAS, BEST = 200, (0.5, 0.6, 0.7), 0.6
ROCCHIO = ((3, 0.3), (3, 0.6), (5, 0.4), (5, 0.8), (10, 0.5))
RM3 = ((3, 0.3), (5, 0.3), (10, 0.3))
Ranking = dict[int, float]


@dataclass
class Searches:
    """The two rankings of each query, and what searches again."""

    snapshot: Any
    queries: list[str]
    query_vectors: list[np.ndarray]
    lexical: list[Ranking]
    dense: list[Ranking]
    row_at: dict[int, int]
    contents: list[str]
    matrix: np.ndarray
    idf: dict[str, float]


def words(text: str) -> list[str]:
    """Lower-case words."""
    return re.findall(r"[a-z0-9]{2,}", text.lower())


def search_all(found: RetrievalSet) -> tuple[Searches, list[str]]:
    """Both rankings of all queries; and each row's document."""
    snapshot = index_set(found)[0].table.snapshot()
    stored = snapshot._table.search().select(["source", "content", "vector"]).with_row_id(True).limit(len(snapshot))
    rows = stored.to_arrow()
    contents = rows["content"].to_pylist()
    counts = Counter(word for text in contents for word in set(words(text)))
    queries = list(found.queries.values())
    vectors = list(embedder().embed(queries))
    searches = Searches(
        snapshot=snapshot,
        queries=queries,
        query_vectors=vectors,
        lexical=[snapshot.search_text(text, POOL) for text in queries],
        dense=[snapshot.search_vector(vector, POOL) for vector in vectors],
        row_at={row: at for at, row in enumerate(rows["_rowid"].to_pylist())},
        contents=contents,
        matrix=np.asarray(rows["vector"].combine_chunks().flatten(), np.float32).reshape(len(contents), -1),
        idf={word: math.log(1 + (len(contents) - n + 0.5) / (n + 0.5)) for word, n in counts.items()},
    )
    return searches, rows["source"].to_pylist()


def by_maximum(lexical: Ranking, dense: Ranking, alpha: float = BEST) -> Ranking:
    """The fusion of `default`."""
    return relative_score_fusion([lexical, dense], weights=[1 - alpha, alpha], floors=[False, len(dense) == POOL])


def by_range(lexical: Ranking, dense: Ranking, alpha: float = BEST) -> Ranking:
    """Minimum to 0, maximum to 1; missing counts 0."""

    def scaled(ranking: Ranking) -> Ranking:
        low = min(ranking.values(), default=0.0) if len(ranking) == POOL else 0.0
        return {key: value - low for key, value in ranking.items()}

    return relative_score_fusion([scaled(lexical), scaled(dense)], weights=[1 - alpha, alpha])


def trusted(found: Searches, at: int, passages: int) -> tuple[list[int], np.ndarray]:
    """The first passages of the fused ranking, and their weights."""
    fused = list(by_maximum(found.lexical[at], found.dense[at]).items())[:passages]
    weights = np.array([score for _, score in fused])
    return [found.row_at[row] for row, _ in fused], weights / weights.sum()


def weak(found: Searches, at: int, centroid: float, neighbours: float) -> Ranking:
    """Fusion, then the weak feedback of `default`, here with the weight given; then score regularisation."""
    fused = by_maximum(found.lexical[at], found.dense[at])
    return regularised(found, feedback(found.snapshot, fused, weight=centroid), neighbours)


def regularised(found: Searches, ranking: Ranking, weight: float) -> Ranking:
    """Scores pulled towards those of the ten nearest passages (score regularisation, Diaz, CIKM 2005)."""
    rows = list(ranking)[:POOL]
    if not weight or len(rows) < 2:
        return ranking
    matrix = found.matrix[[found.row_at[row] for row in rows]]
    score = np.array([ranking[row] for row in rows])
    near = np.clip(matrix @ matrix.T, 0.0, None) ** 4  # a neighbour counts little unless it is near
    np.fill_diagonal(near, 0.0)
    count = min(10, len(rows) - 1)
    near[near < np.partition(near, -count, axis=1)[:, [-count]]] = 0.0
    around = (near @ score) / (near.sum(axis=1) + 1e-9)
    mixed = (1 - weight) * score + weight * around * (score.max() / max(around.max(), 1e-9))
    return {rows[index]: float(mixed[index]) for index in np.argsort(-mixed, kind="stable")}


def rocchio(found: Searches, at: int, passages: int, beta: float) -> Ranking:
    """A second dense search, with the query's vector moved towards the first passages."""
    rows, weights = trusted(found, at, passages)
    moved = found.query_vectors[at] + beta * (weights @ found.matrix[rows])
    return by_maximum(found.lexical[at], found.snapshot.search_vector(moved / np.linalg.norm(moved), POOL))


def rm3(found: Searches, at: int, passages: int, share: float, terms: int = 20) -> Ranking:
    """A second lexical search, with the first passages' most telling words added."""
    from lancedb.query import BooleanQuery, MatchQuery, Occur

    rows, weights = trusted(found, at, passages)
    added: Counter[str] = Counter()
    for row, weight in zip(rows, weights, strict=True):
        text = words(found.contents[row])
        for word, count in Counter(text).items():
            added[word] += float(weight) * count / len(text) * found.idf[word]
    best = added.most_common(terms)
    total = sum(value for _, value in best) or 1.0
    own = Counter(words(found.queries[at]))
    boosts = {word: (1 - share) * count / sum(own.values()) for word, count in own.items()}
    for word, value in best:
        boosts[word] = boosts.get(word, 0.0) + share * value / total
    parts = [(Occur.SHOULD, MatchQuery(word, "content", boost=boost)) for word, boost in boosts.items()]
    search = found.snapshot._table.search(BooleanQuery(parts), query_type="fts")
    return by_maximum(found.snapshot._scores(search, "_score", POOL, None), found.dense[at])


def variants() -> dict[str, Callable[[Searches, int], Ranking]]:
    """Name to ranking of a query."""
    named: dict[str, Callable[[Searches, int], Ranking]] = {
        "BM25": lambda found, at: found.lexical[at],
        "dense": lambda found, at: found.dense[at],
        "rank fusion (k 60)": lambda found, at: reciprocal_rank_fusion([found.lexical[at], found.dense[at]]),
    }
    for alpha in ALPHAS:
        named[f"scores by maximum, alpha {alpha}"] = lambda found, at, alpha=alpha: by_maximum(
            found.lexical[at], found.dense[at], alpha
        )
    named[f"scores by range, alpha {BEST}"] = lambda found, at: by_range(found.lexical[at], found.dense[at])
    for centroid, neighbours in WEAK:
        extra = f", neighbours {neighbours}" if neighbours else ""
        named[f"{BEST} and weak feedback {centroid}{extra}"] = lambda found, at, c=centroid, n=neighbours: weak(
            found, at, c, n
        )
    for passages, beta in ROCCHIO:
        named[f"{BEST} and Rocchio, {passages} passages, beta {beta}"] = lambda found, at, p=passages, b=beta: rocchio(
            found, at, p, b
        )
    for passages, share in RM3:
        named[f"{BEST} and RM3, {passages} passages, share {share}"] = lambda found, at, p=passages, s=share: rm3(
            found, at, p, s
        )
    return named


def study(data: Path, name: str) -> dict[str, dict[str, float]]:
    """Variant to mean metrics, on one set; kept."""
    kept = CACHE / f"fusion-{name.replace(':', '-')}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    found = judged(data, name).limited(LIMIT)
    searches, sources = search_all(found)
    say(f"{name}: {len(found.queries)} queries, {len(sources)} chunks")
    means = {}
    for variant, rank in variants().items():
        runs: dict[str, dict[str, float]] = {}
        for at, key in enumerate(found.queries):
            best: dict[str, float] = {}
            for row, score in rank(searches, at).items():
                best.setdefault(sources[searches.row_at[row]], score)
            runs[key] = dict(list(best.items())[:DEPTH])
        scored = list(score_runs(runs, found.qrels).values())
        means[variant] = {metric: float(np.mean([each[metric] for each in scored])) for metric in scored[0]}
        means[variant]["n"] = len(scored)
    kept.write_text(json.dumps(means))
    return means


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", default=SETS, help=f"default: {SETS}")


def main() -> None:
    """One table for nDCG@10, one for recall."""
    given = options(__doc__, add_options)
    measured = {name: study(given.data, name) for name in given.sets.split(",") if has(given.data, name)}
    if not measured:
        return
    parts = []
    for metric, title in (("ndcg@10", "nDCG@10"), ("recall@100", "R@100")):
        rows = []
        for variant in variants():
            values = [means[variant][metric] for means in measured.values()]
            rows.append((variant, *(f"{value:.3f}" for value in values), f"{np.mean(values):.4f}"))
        parts.append(f"## {title}\n\n{table(('variant', *measured, 'mean'), rows)}")
    counts = {name: next(iter(means.values()))["n"] for name, means in measured.items()}
    parts.insert(0, "Queries: " + ", ".join(f"{name} {count}" for name, count in counts.items()) + f"; pool {POOL}.")
    publish("fusion_study", "Fusion and feedback on development queries", parts, {"n": counts, "sets": measured}, [])


if __name__ == "__main__":
    main()
