"""The reranker over `default` retrieval, by `ragloom eval retrieval --reranker`: `python bench/finetune_reranker.py`.

Judged sets and HotpotQA whole: nothing was trained on them. Of answer sets that were trained on, the questions of
documents that were not (the test part of the split by document), among all passages of the set.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from common import CACHE, SEED, ended_well, has, opened, options, publish, say, table, verdict

JUDGED = {"cacm": "", "cisi": "", "npl": "", "scifact": "test"}
ANSWERS = ("squad", "qed", "nq_gold", "fairytaleqa", "covidqa", "hotpotqa_100", "clapnq")
UNTRAINED = ("hotpotqa_100",)
LIMIT = 100


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--reranker", default="reranker:bundled", help="the artifact")
    parser.add_argument("--limit", type=int, default=LIMIT, help=f"questions of each answer set ({LIMIT})")


def evaluate(folder: Path, split: str, reranker: str, mark: str) -> list[dict[str, Any]]:
    """The line without, and the line with the reranker. Kept by `mark` and version: a run that was cut off goes on."""
    kept = CACHE / "reranked" / f"{mark}-{version('ragloom')}-{folder.name}-{folder.parent.name}.jsonl"
    if kept.is_file():
        say(f"  from an earlier run: {kept.name}")
        return [json.loads(line) for line in kept.read_text(encoding="utf-8").splitlines()]
    ragloom = [sys.executable, "-m", "ragloom.cli", "eval", "retrieval", str(folder), "--mode", "default"]
    given = ["--reranker", reranker, "--seed", str(SEED), "--json", *(["--split", split] if split else [])]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAGLOOM_")}
    environment["RAGLOOM_CONFIG"] = os.devnull
    done = subprocess.run([*ragloom, *given], stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"ragloom eval retrieval ended with {done.returncode}")
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_text(done.stdout, encoding="utf-8")
    return [json.loads(line) for line in done.stdout.splitlines()]


def unseen(data: Path, name: str, limit: int) -> Path | None:
    """A copy of an answer set with the questions of its test part."""
    from ragloom.evals.answer_sets import load_answer_set, share_of
    from ragloom.evals.jsonl import find_jsonl
    from ragloom.finetune.data.parts import document_of, part_of

    found = load_answer_set(data / name)
    kept = [
        item
        for item in found.questions
        if item.answerable
        and item.gold
        and (name in UNTRAINED or part_of(document_of(name, found.documents[item.gold[0]][0], item.gold[0])) == "test")
    ]
    if not kept:
        say(f"SKIPPED {name}: no question of its test part")
        return None
    kept = sorted(kept, key=lambda item: share_of(item.id, seed=SEED))[:limit]
    folder = CACHE / f"unseen-{limit}" / name
    folder.mkdir(parents=True, exist_ok=True)
    corpus = find_jsonl(data / name, "passages", "documents")
    assert corpus
    (folder / corpus.name).write_bytes(corpus.read_bytes())
    lines = [
        {"id": item.id, "question": item.question, "answers": list(item.answers), "passage_ids": list(item.gold)}
        for item in kept
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def milliseconds(data: Path, spec: str) -> str:
    """What 50 passages cost that were never read before: median over 5 questions, each with passages of its own."""
    from ragloom.evals.answer_sets import load_judged_set
    from ragloom.models import load_reranker

    found = load_judged_set(data / "cisi")
    texts = [text for _, text in found.documents.values() if len(text.split()) > 100]
    queries = list(found.queries.values())
    reranker = load_reranker(spec)
    reranker.score(queries[0], texts[-50:])
    spent = []
    for number in range(5):
        began = time.perf_counter()
        reranker.score(queries[number], texts[50 * number : 50 * (number + 1)])
        spent.append(1000 * (time.perf_counter() - began))
    words = statistics.mean(len(text.split()) for text in texts[:250])
    return (
        f"50 passages that were not read before ({words:.0f} words each): {statistics.median(spent):.0f} ms. "
        "In the table passages that came up before cost nothing again, as in use."
    )


def main() -> None:
    """nDCG@10 without and with, the paired difference, and what it costs."""
    given = options(__doc__, add_options)
    mark = str(opened(given.reranker, "reranker").fingerprint).rpartition("@")[2]
    folders = [(given.data / name, split) for name, split in JUDGED.items() if has(given.data, name)]
    folders += [
        (folder, "") for name in ANSWERS if has(given.data, name) and (folder := unseen(given.data, name, given.limit))
    ]
    if not folders:
        return
    rows = []
    for folder, split in folders:
        say(f"{folder.name}")
        without, with_it = evaluate(folder, split, given.reranker, mark)
        gain = with_it["versus_baseline"]["ndcg@10"]
        rows.append(
            {
                "set": folder.name,
                "n": without["n"],
                "default": without["ndcg@10"],
                "reranked": with_it["ndcg@10"],
                "gain": gain["mean"],
                "low": gain["low"],
                "high": gain["high"],
                "ms": with_it["ms_per_query"] - without["ms_per_query"],
            }
        )
    lines = [
        (
            row["set"],
            row["n"],
            f"{row['default']:.3f}",
            f"{row['reranked']:.3f}",
            f"{row['gain']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
            f"{row['ms']:.0f}",
        )
        for row in rows
    ]
    mean = sum(row["gain"] for row in rows) / len(rows)
    head = ("set", "queries", "default", "reranked", "difference, paired 95 % interval", "ms more a query")
    targets = [
        verdict("reranker: nDCG@10 gained, mean over sets", mean, 0.0),
        verdict(
            "reranker: sets where it is significantly worse", sum(row["high"] < 0 for row in rows), 0, at_most=True
        ),
    ]
    title = "The reranker over `default` retrieval, 50 passages a query"
    parts = [table(head, lines)]
    if has(given.data, "cisi"):
        parts.append(milliseconds(given.data, given.reranker))
    publish("finetune_reranker", title, parts, {"rows": rows}, targets)


if __name__ == "__main__":
    ended_well(main)
