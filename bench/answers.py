"""Closed book beside naive RAG, by `ragloom eval answers --reader none`: python bench/answers.py [--llm gguf:PATH]

Each model reads its own number of questions, since a larger one takes longer: 200 of each set with the bundled one,
60 with any other. Runs are kept in bench/cache and go on where they were; outputs are kept in the user's cache.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import CACHE, SEED, has, options, publish, say, table

SETS = ("squad", "nq_gold", "hotpotqa_100")
BUNDLED, LIMIT, OTHER_LIMIT = "bundled:smollm2", 200, 60
QUALITY = {"em": "EM", "f1": "F1", "contains": "contains", "rouge_l": "ROUGE-L", "bleu": "BLEU"}
SOURCES = {
    "gold_retrieved": "gold found",
    "citation_precision": "citation precision",
    "citation_recall": "citation recall",
    "support": "support",
    "abstain_accuracy": "abstain accuracy",
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--llm", action="append", help=f"chat model; repeatable (default {BUNDLED})")
    parser.add_argument("--limit", type=int, help=f"questions of each set ({LIMIT}; {OTHER_LIMIT} with other models)")


def evaluate(data: Path, llm: str, limit: int) -> list[dict[str, Any]]:
    """The summaries of one model, as the command prints them."""
    name = Path(llm.removeprefix("gguf:")).stem if llm.startswith("gguf:") else llm.replace(":", "-")
    folder = CACHE / f"answers-{name}-{limit}"
    ragloom = [sys.executable, "-m", "ragloom.cli", "eval", "answers"]
    sets = [str(data / name) for name in SETS if has(data, name)]
    # The chat model itself reads: what may read in its place was trained on some of these sets.
    given = ["--strategy", "closed-book,naive", "--llm", llm, "--reader", "none"]
    given += ["--limit", str(limit), "--seed", str(SEED)]
    command = [*ragloom, *sets, *given, "--out", str(folder), "--report", str(folder / "report.html"), "--json"]
    say(f"{llm}: {limit} questions of each of {len(sets)} sets")
    # Nothing of the user's own settings: the figures are those of the defaults.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAGLOOM_")}
    environment["RAGLOOM_CONFIG"] = os.devnull
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        sys.exit(f"ragloom eval answers ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def cell(row: dict[str, Any], metric: str) -> str:
    """A metric with its interval."""
    if row[metric] is None:
        return ""
    low, high = row["ci95"][metric]
    return f"{row[metric]:.3f} [{low:.2f}, {high:.2f}]"


def tables(rows: list[dict[str, Any]]) -> str:
    """Answers, sources and cost of one model."""
    named = [(row["set"], row["strategy"], row["n"]) for row in rows]
    head = ("set", "strategy", "n")
    parts = [
        table(
            (*head, *names.values()),
            [(*who, *(cell(row, name) for name in names)) for who, row in zip(named, rows, strict=True)],
        )
        for names in (QUALITY, SOURCES)
    ]
    cost = [
        (
            *who,
            f"{row['abstained']:.2f}",
            "" if row["answered_unanswerable"] is None else f"{row['answered_unanswerable']:.2f}",
            f"{row['calls']:.1f}",
            f"{row['tokens_in']:.0f}",
            f"{row['tokens_out']:.0f}",
            f"{row['p50_s']:.1f}",
            f"{row['p95_s']:.1f}",
            "" if row["first_token_p50_s"] is None else f"{row['first_token_p50_s']:.1f}",
            row["failed"],
        )
        for who, row in zip(named, rows, strict=True)
    ]
    columns = ("abstained", "answered though unanswerable", "calls", "tokens in", "tokens out")
    parts.append(table((*head, *columns, "p50 s", "p95 s", "first token p50 s", "failed"), cost))
    gains = []
    for row in rows:
        for metric in ("f1", "contains"):
            found = row["versus_baseline"].get(metric)
            if found:
                interval = f"{found['mean']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"
                gains.append((row["set"], f"{row['strategy']} minus {row['baseline']}", metric, found["n"], interval))
    parts.append(table(("set", "difference", "metric", "n", "paired 95 % interval"), gains))
    return "\n\n".join(parts)


def main() -> None:
    """Three tables and the differences, for each model."""
    given = options(__doc__, add_options)
    if not any(has(given.data, name) for name in SETS):
        return
    parts, data = [], {}
    for llm in given.llm or [BUNDLED]:
        limit = given.limit or (LIMIT if llm == BUNDLED else OTHER_LIMIT)
        rows = evaluate(given.data, llm, limit)
        data[rows[0]["llm"]] = rows
        parts.append(f"## {rows[0]['llm']}\n\n{tables(rows)}")
    publish("answers", "Answers of naive RAG beside the model alone", parts, {"rows": data}, [])


if __name__ == "__main__":
    main()
