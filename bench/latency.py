"""Query latency at 10,000 and 100,000 chunks, and what the approximate index misses.

Chunks are those of the judged sets (`ragloom eval retrieval` builds and keeps their indexes) with their real vectors.
Where 100,000 are wanted and fewer there are, copies follow: three words in ten replaced by words drawn as often as they
occur in all texts, and the vector mixed with that of another chunk. Queries are the sets' own, embedded anew for each
retrieval; the tables and modes take turns query by query, so that a busy machine slows all alike. Both tables
are kept in bench/cache.
"""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, SEED, embedder, has, options, publish, say, table, verdict

from ragloom.evals.datasets import load_retrieval_set
from ragloom.evals.indexing import index_set
from ragloom.retrieval import KnowledgeBase

SETS = ("scifact", "npl", "cacm", "cisi")
SIZES = (10_000, 100_000)
MODES = ("default", "bm25", "dense")
QUERIES, DEPTH, WINDOW = 300, 5, 5_000


def real_chunks(data: Path) -> tuple[list[dict[str, Any]], np.ndarray, list[str]]:
    """Rows without vectors, vectors, queries."""
    rows: list[dict[str, Any]] = []
    vectors, queries = [], []
    for name in SETS:
        if has(data, name):
            found = load_retrieval_set(data / name)
            stored = index_set(found)[0].table.snapshot().rows()
            dimension = stored.schema.field("vector").type.list_size
            vectors.append(np.asarray(stored["vector"].combine_chunks().flatten(), np.float32).reshape(-1, dimension))
            rows += stored.drop_columns(["vector"]).to_pylist()
            queries += list(found.queries.values())
    return rows, np.concatenate(vectors) if vectors else np.zeros((0, 0)), queries


def build(size: int, rows: list[dict[str, Any]], vectors: np.ndarray) -> KnowledgeBase:
    """A knowledge base of `size` chunks, kept."""
    import pyarrow as pa

    from ragloom.retrieval.store.schema import schema

    folder = CACHE / f"latency-{size}"
    kb = KnowledgeBase(folder, embedder=embedder())
    if kb.exists and len(kb.table.snapshot()) == size:
        return kb
    shutil.rmtree(folder, ignore_errors=True)
    kb = KnowledgeBase(folder, embedder=embedder())
    chance, dice = np.random.default_rng(SEED), random.Random(SEED)
    words = [word for row in rows for word in row["content"].split()]  # drawn from it, words keep their frequency
    order = chance.permutation(len(rows))
    with kb.writing():
        kb.prepare()
        for start in range(0, size, WINDOW):
            made, mixed = [], []
            for number in range(start, min(start + WINDOW, size)):
                at = int(order[number % len(rows)])
                row, vector = dict(rows[at]), vectors[at]
                if number >= len(rows):
                    text = [dice.choice(words) if dice.random() < 0.3 else word for word in row["content"].split()]
                    row |= {"content": " ".join(text), "body_at": 0, "id": f"{row['id']}-{number}"}
                    row |= {"doc_id": f"{row['doc_id']}-{number}", "embed_key": f"{number}"}
                    vector = vector + 0.5 * vectors[int(chance.integers(len(vectors)))]
                made.append(row)
                mixed.append((vector / np.linalg.norm(vector)).tolist())
            columns = {name: [row[name] for row in made] for name in made[0]} | {"vector": mixed}
            arrow = schema(kb.table.dimension)
            kb.table.append(pa.Table.from_pydict(columns, schema=arrow))
        kb.table.maintain()
    say(f"built {size:,} chunks, {min(size, len(rows)):,} of them real")
    return kb


def latencies(bases: dict[int, KnowledgeBase], queries: list[str]) -> dict[str, dict[str, list[float]]]:
    """mode to size to milliseconds; `... found` is the same query again, its vector remembered by the embedder."""
    seconds: dict[str, dict[str, list[float]]] = {}
    for mode in MODES:
        retrievers = {size: kb.retriever(mode=mode, top_k=DEPTH) for size, kb in bases.items()}
        for retriever in retrievers.values():
            for query in queries[:20]:
                retriever.retrieve(query)
        # More queries than the embedder remembers, in the same order: each is embedded anew.
        for query in queries:
            for size, retriever in retrievers.items():
                for kind in (mode, f"{mode}, vector known"):
                    began = time.perf_counter()
                    retriever.retrieve(query)
                    spent = (time.perf_counter() - began) * 1000
                    seconds.setdefault(kind, {}).setdefault(str(size), []).append(spent)
        say(f"{mode} done")
    return seconds


def ann_recall(kb: KnowledgeBase, queries: list[str]) -> dict[str, float]:
    """Share of the exact first 5, 10 and 100 that the approximate search finds, and where they agree with numpy."""
    snapshot = kb.table.snapshot()
    stored = snapshot._table.search().select(["vector"]).with_row_id(True).limit(len(snapshot)).to_arrow()
    ids = np.asarray(stored["_rowid"])
    matrix = np.asarray(stored["vector"].combine_chunks().flatten(), np.float32).reshape(len(ids), -1)
    hits: dict[int, list[float]] = {5: [], 10: [], 100: []}
    for query in queries:
        vector = kb.embedder.embed_query(query)
        true = ids[np.argsort(-(matrix @ vector), kind="stable")[:100]].tolist()
        found = list(snapshot.search_vector(vector, 100))
        for depth, shares in hits.items():
            shares.append(len(set(true[:depth]) & set(found)) / depth)
    return {f"recall@100 of the true top {depth}": float(np.mean(shares)) for depth, shares in hits.items()}


def main() -> None:
    """Both tables."""
    data = options(__doc__).data
    rows, vectors, queries = real_chunks(data)
    if not rows:
        return
    queries = random.Random(SEED).sample(sorted(set(queries)), min(QUERIES, len(set(queries))))
    bases = {size: build(size, rows, vectors) for size in SIZES}
    seconds = latencies(bases, queries)
    shown, ratios = [], {}
    for kind, by_size in seconds.items():
        middle = [float(np.percentile(by_size[str(size)], 50)) for size in SIZES]
        late = [float(np.percentile(by_size[str(size)], 95)) for size in SIZES]
        ratios[kind] = middle[1] / middle[0]
        shown.append((kind, *(f"{a:.1f} / {b:.1f}" for a, b in zip(middle, late, strict=True)), f"{ratios[kind]:.2f}"))
    head = ("mode", *(f"{size:,} chunks, p50 / p95 ms" for size in SIZES), "ratio at p50")
    recall = ann_recall(bases[SIZES[-1]], queries)
    index = ", ".join(index.name for index in bases[SIZES[-1]].table._table.list_indices())
    note = (
        f"{len(queries)} queries, top {DEPTH}; {min(len(rows), SIZES[-1]):,} chunks are real, the rest varied copies. "
    )
    note += "The second line of a mode is the same query at once again, its vector remembered: the search alone."
    parts = [
        f"{note}\n\n{table(head, shown)}",
        f"## Approximate against exact search at {SIZES[-1]:,} chunks\n\nIndexes: {index}.\n\n"
        + table(("", "share"), [(name, f"{share:.4f}") for name, share in recall.items()]),
    ]
    targets = [verdict(f"{mode}: p50 at 100,000 over 10,000", ratios[mode], 3, at_most=True) for mode in MODES]
    targets += [verdict(f"{mode}, search alone", ratios[f"{mode}, vector known"], 3, at_most=True) for mode in MODES]
    values = {kind: {size: [round(v, 2) for v in vs] for size, vs in by.items()} for kind, by in seconds.items()}
    publish(
        "latency", "Query latency", parts, {"n": len(queries), "ratios": ratios, "ann": recall, "ms": values}, targets
    )


if __name__ == "__main__":
    main()
