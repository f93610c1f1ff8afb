"""Retrieval beside LlamaIndex: the same chunks, the same vectors, the same embedder for queries.

ragloom's four modes; LlamaIndex's BM25Retriever, its dense VectorStoreIndex retriever, and QueryFusionRetriever
(reciprocal rank fusion of the two, 100 deep each, no generated queries; and once more 10 deep). All systems take turns
query by query, so that a busy machine slows all alike, and each embeds the query itself. Metrics over documents (a
document scores as its best chunk), by ir-measures, with 95 % bootstrap intervals. What is done is kept in bench/cache.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, SEED, embedder, has, options, paired_interval, publish, say, table, verdict

from ragloom.evals.datasets import load_retrieval_set
from ragloom.evals.indexing import index_set
from ragloom.evals.retrieval import CHUNKS_PER_DOCUMENT, DEPTH, METRICS, bootstrap_interval, score_runs
from ragloom.retrieval import KnowledgeBase
from ragloom.retrieval.search import MODES

SETS = ("cacm", "cisi", "npl", "scifact")
OURS = [f"ragloom {mode}" for mode in MODES]
THEIRS = ["LlamaIndex BM25", "LlamaIndex dense", "LlamaIndex fused"]
DEFAULT, FUSED, SHALLOW = "ragloom default", "LlamaIndex fused", "LlamaIndex fused, 10 deep"
Measured = dict[str, dict[str, dict[str, float]]]
"""System to query to metrics (and `ms`)."""


def llama_retrievers(kb: KnowledgeBase, depth: int) -> dict[str, Any]:
    """LlamaIndex over the chunks and vectors that the knowledge base holds. Each retriever embeds queries itself."""
    from llama_index.core import VectorStoreIndex
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import TextNode
    from llama_index.retrievers.bm25 import BM25Retriever

    rows = kb.table.snapshot().rows(columns=["id", "source", "content", "vector"]).to_pylist()
    nodes = [TextNode(id_=row["id"], text=row["content"], embedding=row["vector"]) for row in rows]
    for node, row in zip(nodes, rows, strict=True):
        node.metadata["source"] = row["source"]
        node.excluded_embed_metadata_keys.append("source")
        node.excluded_llm_metadata_keys.append("source")

    def lexical(top_k: int) -> Any:
        return BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=top_k, verbose=False)

    def dense(top_k: int) -> Any:
        return VectorStoreIndex(nodes, embed_model=embedder()).as_retriever(similarity_top_k=top_k)

    def fused(top_k: int) -> Any:
        return QueryFusionRetriever(
            [lexical(top_k), dense(top_k)],
            similarity_top_k=top_k,
            num_queries=1,
            mode="reciprocal_rerank",
            use_async=False,
            llm=MockLLM(),
        )

    return dict(zip((*THEIRS, SHALLOW), (lexical(depth), dense(depth), fused(depth), fused(10)), strict=True))


def measure(folder: Path, limit: int | None, depth: int) -> Measured:
    """Every system on every query of a set."""
    found = load_retrieval_set(folder).limited(limit)
    kept = CACHE / f"retrieval-{found.name}-{len(found.queries)}-{depth}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    kb, _ = index_set(found)
    systems = {
        # An embedder each: one remembers its last queries, which would make the second mode look faster.
        f"ragloom {mode}": KnowledgeBase(kb.folder, embedder=embedder()).retriever(
            mode=mode, top_k=DEPTH * CHUNKS_PER_DOCUMENT
        )
        for mode in MODES
    } | llama_retrievers(kb, depth)
    say(f"{found.name}: {len(kb.table.snapshot())} chunks, {len(found.queries)} queries")
    runs: dict[str, dict[str, dict[str, float]]] = {name: {} for name in systems}
    spent: dict[str, dict[str, float]] = {name: {} for name in systems}
    for retriever in systems.values():
        retriever.retrieve("warm up")
    for number, (key, text) in enumerate(found.queries.items(), start=1):
        for name, retriever in systems.items():
            began = time.perf_counter()
            items = retriever.retrieve(text)
            spent[name][key] = (time.perf_counter() - began) * 1000
            best: dict[str, float] = {}
            for rank, item in enumerate(items):  # by rank: scores of one list may be equal
                best.setdefault(item.node.metadata["source"], float(len(items) - rank))
            runs[name][key] = dict(list(best.items())[:DEPTH])
        if number % 100 == 0:
            say(f"{found.name}: {number} queries")
    scored = {name: score_runs(run, found.qrels) for name, run in runs.items()}
    for name, per_query in scored.items():
        for key, values in per_query.items():
            values["ms"] = spent[name][key]
    kept.write_text(json.dumps(scored))
    return scored


def column(measured: Measured, system: str, metric: str) -> list[float]:
    """One metric of a system, query by query in the same order for all."""
    return [measured[system][key][metric] for key in sorted(measured[system])]


def set_table(name: str, measured: Measured) -> tuple[str, dict[str, Any]]:
    """The table of one set and its numbers."""
    rows: list[Any] = []
    values: dict[str, Any] = {"n": len(measured[DEFAULT])}
    for system in (*OURS, *THEIRS, SHALLOW):
        cells = []
        values[system] = {"ms": statistics.median(column(measured, system, "ms"))}
        for metric in METRICS:
            sample = column(measured, system, metric)
            low, high = bootstrap_interval(sample, seed=SEED)
            values[system] |= {metric: float(np.mean(sample)), f"{metric} ci95": [low, high]}
            cells.append(f"{np.mean(sample):.3f} [{low:.3f}, {high:.3f}]")
        rows.append((system, *cells, f"{values[system]['ms']:.0f}"))
    head = ("system", "nDCG@10", "R@100", "RR@10", "ms/query")
    return f"## {name}: {len(measured[DEFAULT])} queries\n\n{table(head, rows)}", values


def compare(name: str, measured: Measured) -> dict[str, Any]:
    """`default` against the fused one and the best of the three."""
    mean = {system: float(np.mean(column(measured, system, "ndcg@10"))) for system in (DEFAULT, *THEIRS, SHALLOW)}
    best = max(THEIRS, key=mean.__getitem__)
    gain, low, high = paired_interval(column(measured, DEFAULT, "ndcg@10"), column(measured, FUSED, "ndcg@10"))
    return {
        "set": name,
        "default": mean[DEFAULT],
        "fused": mean[FUSED],
        "to_fused": mean[DEFAULT] / mean[FUSED],
        "gain": gain,
        "gain ci95": [low, high],
        "to_shallow": mean[DEFAULT] / mean[SHALLOW],
        "best": best,
        "to_best": mean[DEFAULT] / mean[best],
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=None, help="at most so many queries of each set")
    parser.add_argument("--depth", type=int, default=100, help="depth of LlamaIndex's rankings")


def main() -> None:
    """A table for each set, then the comparison."""
    given = options(__doc__, add_options)
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    parts, compared, data = [], [], {}
    for name in SETS:
        if has(given.data, name):
            measured = measure(given.data / name, given.limit, given.depth)
            part, data[name] = set_table(name, measured)
            parts.append(part)
            compared.append(compare(name, measured))
    if not compared:
        return
    rows = [
        (
            each["set"],
            f"{each['default']:.3f}",
            f"{each['fused']:.3f}",
            f"{each['to_fused']:.3f}",
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(each["gain"], *each["gain ci95"]),
            f"{each['to_best']:.3f} ({each['best'].removeprefix('LlamaIndex ')})",
            f"{each['to_shallow']:.3f}",
        )
        for each in compared
    ]
    ratio = statistics.mean(each["to_fused"] for each in compared)
    means = [statistics.mean(each[side] for each in compared) for side in ("default", "fused")]
    shallow = statistics.mean(each["to_shallow"] for each in compared)
    least = min(each["to_best"] for each in compared)
    rows.append(
        ("mean", f"{means[0]:.3f}", f"{means[1]:.3f}", f"**{ratio:.3f}**", "", f"least {least:.3f}", f"{shallow:.3f}")
    )
    head = (
        "set",
        "default",
        "fused",
        "default / fused",
        "gain, paired 95 % interval",
        "default / best of the three",
        "default / fused 10 deep",
    )
    parts.insert(0, f"## ragloom `default` against LlamaIndex, nDCG@10\n\n{table(head, rows)}")
    targets = [
        verdict("default / fused, mean over sets", ratio, 1.04),
        verdict("default / best of the three, least of all sets", least, 0.99),
    ]
    values = {"n": {name: each["n"] for name, each in data.items()}, "sets": data, "compared": compared}
    publish("retrieval", "Retrieval on judged sets", parts, values, targets)


if __name__ == "__main__":
    main()
