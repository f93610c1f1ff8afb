"""The embedder fine-tuned on a corpus, on its unseen documents and on general sets: python bench/finetune_embedder.py

A corpus is split by document; the adapter is trained on one part and measured on another, among all passages of the
set, beside the base. What it does to retrieval elsewhere is measured on the general sets, dense and hybrid. Artifacts
are kept in bench/cache and go on where they were.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, DTYPE, SEED, ended_well, has, judged, options, paired_interval, publish, say, table, verdict

SETS = "squad,covidqa"
GENERAL = "cacm,cisi,npl,scifact:test"
REPLAY = "hotpotqa_100,qed"
MODES = ("dense", "default")
BASE = "bundled:minilm"
WANTED = 0.05
"""Relative gain of nDCG@10 on unseen documents: the least that LlamaIndex claims for this step."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", default=SETS, help="answer sets to train on, each alone")
    parser.add_argument("--general", default=GENERAL, help="retrieval sets that were not trained on")
    parser.add_argument("--replay", default=REPLAY, help="corpora whose titles and texts are replayed; '' for none")
    parser.add_argument("--method", default="lora", choices=["lora", "full", "freeze"])
    parser.add_argument("--limit", type=int, help="rows to train on")
    parser.add_argument("--steps", type=int, help="optimiser steps")
    parser.add_argument("--queries", type=int, help="queries of each general set")
    parser.add_argument("--documents", type=int, help="documents of each general set besides the relevant ones")


def train(data: Path, name: str, given: Any) -> Any:
    """The artifact of one set."""
    from ragloom.finetune import finetune

    told = [name, given.method, *(f"{key}{value}" for key in ("limit", "steps") if (value := getattr(given, key)))]
    replayed = [each for each in given.replay.split(",") if each and each != name and has(data, each)]
    settings = {"method": given.method, "limit": given.limit, "max_steps": given.steps, "seed": SEED}

    def tell(text: str, done: int, total: int | None) -> None:
        if total and done % max(1, total // 10) == 0:
            say(f"{name}: {text} {done}/{total}")

    return finetune(
        "embedder",
        [data / name],
        CACHE / f"finetune-embedder-{'-'.join(told)}{'-replay' if replayed else ''}",
        tell=tell,
        command=f"bench/finetune_embedder.py --sets {name}",
        base=BASE,
        replay_data=tuple(data / each for each in replayed),
        **{key: value for key, value in settings.items() if value is not None},
    )


def fewer(found: Any, given: Any) -> Any:
    """A retrieval set within the limits of the command."""
    from ragloom.evals.datasets import RetrievalSet

    found = found.limited(given.queries)
    if given.documents is None:
        return found
    relevant = {key for query in found.qrels.values() for key in query}
    others = [key for key in found.documents if key not in relevant][: given.documents]
    kept = {key: text for key, text in found.documents.items() if key in relevant or key in {*others}}
    return RetrievalSet(f"{found.name}-{given.documents}", kept, found.queries, found.qrels, found.problems)


def retrieve(found: Any, spec: str) -> dict[str, Any]:
    """Mode to result, with the knowledge base of this embedder."""
    from ragloom.evals.indexing import index_set, set_base
    from ragloom.evals.retrieval import evaluate_retrieval
    from ragloom.models import load_embedder

    kb, seconds = index_set(found, kb=set_base(found, embedder=load_embedder(spec, dtype=DTYPE)))
    return {mode: evaluate_retrieval(kb, found, mode, index_seconds=seconds, seed=SEED) for mode in MODES}


def general_rows(data: Path, artifacts: dict[str, Any], given: Any) -> list[dict[str, Any]]:
    """The change of every general set under every artifact."""
    rows = []
    for name in given.general.split(","):
        if not name or not has(data, name):
            continue
        found = fewer(judged(data, name), given)
        say(f"{name}: {len(found.queries)} queries, {len(found.documents)} documents")
        before = retrieve(found, BASE)
        for trained_on, artifact in artifacts.items():
            after = retrieve(found, f"embedder:{artifact.folder}")
            for mode in MODES:
                old, new = (result[mode].column("ndcg@10") for result in (before, after))
                gain, low, high = paired_interval(new, old)
                row = {"set": name, "trained on": trained_on, "mode": mode, "n": len(old), "gain": gain}
                rows.append(
                    {**row, "low": low, "high": high, "base": float(np.mean(old)), "trained": float(np.mean(new))}
                )
    return rows


def own_rows(artifacts: dict[str, Any]) -> list[Sequence[Any]]:
    """The unseen documents of each set, as the artifacts' manifests have them."""
    rows = []
    for name, artifact in artifacts.items():
        told = artifact.manifest.metrics
        for metric in ("ndcg@10", "recall@10"):
            found = told["test"][metric]
            gain = found["difference"]
            interval = f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
            share = "" if found["relative"] is None else f"{found['relative']:+.1%}"
            counts = (told["test"]["n"], told["passages"])
            rows.append((name, metric, *counts, f"{found['base']:.4f}", f"{found['trained']:.4f}", interval, share))
    return rows


def cost_of(name: str, artifact: Any) -> Sequence[Any]:
    """What the training took, and how far it went."""
    told = artifact.manifest.settings
    kept = (f"{told['seconds'] / 60:.1f}", f"{told['strength']:.0%}", artifact.manifest.metrics["general"]["cosine"])
    return name, sum(told["trained_rows"].values()), told["steps"], *kept


def main() -> None:
    """Two tables: the unseen documents of the corpus itself, and the general sets."""
    given = options(__doc__, add_options)
    names = [name for name in given.sets.split(",") if has(given.data, name)]
    if not names:
        return
    artifacts = {name: train(given.data, name, given) for name in names}
    general = general_rows(given.data, artifacts, given)
    own = table(
        ("set", "metric", "queries", "passages", "base", "trained", "difference (95 %)", "relative"),
        own_rows(artifacts),
    )
    change = table(
        ("set", "trained on", "mode", "queries", "base nDCG@10", "trained", "difference (95 %)"),
        [
            (
                *(row[key] for key in ("set", "trained on", "mode", "n")),
                *(f"{row[key]:.4f}" for key in ("base", "trained")),
                f"{row['gain']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]",
            )
            for row in general
        ],
    )
    costs = table(
        ("set", "training rows", "steps", "minutes", "change kept", "cosine to the base's vectors"),
        [cost_of(name, each) for name, each in artifacts.items()],
    )
    publish(
        "finetune_embedder",
        "The embedder, fine-tuned on a corpus",
        [
            f"## Unseen documents of the same corpus\n\nExact search among all passages of the set.\n\n{own}",
            f"## Training\n\n{costs}",
            f"## Sets that were not trained on\n\n{change}",
        ],
        {"manifests": {name: each.manifest.model_dump() for name, each in artifacts.items()}, "general": general},
        [
            verdict(
                f"relative gain of nDCG@10 on unseen documents of {name}",
                each.manifest.metrics["test"]["ndcg@10"]["relative"] or 0.0,
                WANTED,
            )
            for name, each in artifacts.items()
        ],
    )


if __name__ == "__main__":
    ended_well(main)
