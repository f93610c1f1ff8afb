"""Retrieval beside LlamaIndex: the same chunks, the same vectors, the same embedder for queries.

ragloom's four modes; LlamaIndex's BM25Retriever, its dense VectorStoreIndex retriever, and QueryFusionRetriever
(reciprocal rank fusion of the two, 100 deep each, no generated queries) over plain nodes, text and vector. Then this
fusion over nodes that carry their source as metadata: LlamaIndex fuses by a hash of text and metadata, so plain nodes
of equal text (documents that are only a title) melt into one, and with metadata they do not; and this once more 10
deep. All systems take turns query by query, so that a busy machine slows all alike, and each embeds the query itself.
Metrics over documents (a document scores as its best chunk), by ir-measures, with 95 % bootstrap intervals. What is
done is kept in bench/cache.
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
from common import CACHE, SEED, embedder, has, judged, options, paired_interval, publish, say, table, verdict

from ragloom.evals.indexing import index_set
from ragloom.evals.retrieval import CHUNKS_PER_DOCUMENT, DEPTH, METRICS, bootstrap_interval, score_runs
from ragloom.retrieval import KnowledgeBase
from ragloom.retrieval.search import MODES

SETS = "cacm,cisi,npl,scifact:test"
"""SciFact's test half has the 300 claims that BEIR reports on."""
OURS = [f"ragloom {mode}" for mode in MODES]
THEIRS = ["LlamaIndex BM25", "LlamaIndex dense", "LlamaIndex fused"]
DEFAULT, FUSED = "ragloom default", "LlamaIndex fused"
DISTINCT, SHALLOW = "LlamaIndex fused, with metadata", "LlamaIndex fused, with metadata, 10 deep"
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
    plain = [TextNode(id_=row["id"], text=row["content"], embedding=row["vector"]) for row in rows]
    told = [node.model_copy(deep=True) for node in plain]
    for node, row in zip(told, rows, strict=True):
        node.metadata["source"] = row["source"]
        node.excluded_embed_metadata_keys.append("source")
        node.excluded_llm_metadata_keys.append("source")

    def lexical(nodes: list[Any], top_k: int) -> Any:
        return BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=top_k, verbose=False)

    def dense(nodes: list[Any], top_k: int) -> Any:
        return VectorStoreIndex(nodes, embed_model=embedder()).as_retriever(similarity_top_k=top_k)

    def fused(nodes: list[Any], top_k: int) -> Any:
        return QueryFusionRetriever(
            [lexical(nodes, top_k), dense(nodes, top_k)],
            similarity_top_k=top_k,
            num_queries=1,
            mode="reciprocal_rerank",
            use_async=False,
            llm=MockLLM(),
        )

    alone = (lexical(plain, depth), dense(plain, depth), fused(plain, depth))
    return dict(zip((*THEIRS, DISTINCT, SHALLOW), (*alone, fused(told, depth), fused(told, 10)), strict=True))


def measure(data: Path, name: str, limit: int | None, depth: int) -> Measured:
    """Every system on every query of a set."""
    found = judged(data, name).limited(limit)
    kept = CACHE / f"retrieval-{name.replace(':', '-')}-{len(found.queries)}-{depth}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    kb, _ = index_set(found)
    stored = kb.table.snapshot().rows(columns=["id", "source"]).to_pylist()
    source_of = {row["id"]: row["source"] for row in stored}
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
                best.setdefault(source_of[item.node.node_id], float(len(items) - rank))
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
    for system in (*OURS, *THEIRS, DISTINCT, SHALLOW):
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
    compared = (DEFAULT, *THEIRS, DISTINCT, SHALLOW)
    mean = {system: float(np.mean(column(measured, system, "ndcg@10"))) for system in compared}
    best = max(THEIRS, key=mean.__getitem__)
    gain, low, high = paired_interval(column(measured, DEFAULT, "ndcg@10"), column(measured, DISTINCT, "ndcg@10"))
    return {
        "set": name,
        "default": mean[DEFAULT],
        "fused": mean[FUSED],
        "to_fused": mean[DEFAULT] / mean[FUSED],
        "best": best,
        "to_best": mean[DEFAULT] / mean[best],
        "to_distinct": mean[DEFAULT] / mean[DISTINCT],
        "gain": gain,
        "gain ci95": [low, high],
        "to_shallow": mean[DEFAULT] / mean[SHALLOW],
    }


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", default=SETS, help=f"default: {SETS}; also sets with passages and questions")
    parser.add_argument("--name", default="retrieval", help="of the result files")
    parser.add_argument("--limit", type=int, default=None, help="at most so many queries of each set")
    parser.add_argument("--depth", type=int, default=100, help="depth of LlamaIndex's rankings")


def main() -> None:
    """A table for each set, then the comparison."""
    given = options(__doc__, add_options)
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    parts, compared, data = [], [], {}
    for name in given.sets.split(","):
        if has(given.data, name):
            measured = measure(given.data, name, given.limit, given.depth)
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
            f"{each['to_best']:.3f} ({each['best'].removeprefix('LlamaIndex ')})",
            f"{each['to_distinct']:.3f}",
            "{:+.3f} [{:+.3f}, {:+.3f}]".format(each["gain"], *each["gain ci95"]),
            f"{each['to_shallow']:.3f}",
        )
        for each in compared
    ]
    mean = {key: statistics.mean(each[key] for each in compared) for key in compared[0] if key.startswith("to_")}
    least = {key: min(each[key] for each in compared) for key in mean}
    averages = (statistics.mean(each[side] for each in compared) for side in ("default", "fused"))
    rows.append(
        (
            "mean",
            *(f"{value:.3f}" for value in averages),
            f"**{mean['to_fused']:.3f}**",
            f"least {least['to_best']:.3f}",
            f"{mean['to_distinct']:.3f}",
            "",
            f"{mean['to_shallow']:.3f}",
        )
    )
    head = (
        "set",
        "default",
        "fused",
        "default / fused",
        "default / best of the three",
        "default / fused with metadata",
        "gain over it, paired 95 % interval",
        "default / the same 10 deep",
    )
    parts.insert(0, f"## ragloom `default` against LlamaIndex, nDCG@10\n\n{table(head, rows)}")
    whose = "all sets" if given.name == "retrieval" else "sets that nothing was chosen on"
    targets = [
        verdict(f"default / best of the three, least of {whose}", least["to_best"], 0.99),
        verdict(f"default / fused with metadata, least of {whose}", least["to_distinct"], 0.99),
    ]
    if given.name == "retrieval":  # on sets where all find nearly everything, nothing can be 4 % better
        targets = [
            verdict("default / fused, mean over sets", mean["to_fused"], 1.04),
            verdict("default / fused with metadata, mean over sets", mean["to_distinct"], 1.04),
            *targets,
        ]
    values = {"n": {name: each["n"] for name, each in data.items()}, "sets": data, "compared": compared}
    title = "Retrieval on judged sets" if given.name == "retrieval" else "Retrieval on sets that nothing was chosen on"
    publish(given.name, title, parts, values, targets)


if __name__ == "__main__":
    main()
