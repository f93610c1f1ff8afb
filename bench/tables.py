"""Questions over tables, by reading, by SQL and by both: python bench/tables.py --llm gguf:PATH

WikiTableQuestions' dev questions, and of TAT-QA's those whose answer stands in the table alone; a fixed sample of each.
Each question gets as many sampled answers of both paths (`table_qa`, mixed); votes of fewer are counted from the same
samples, so that every way is compared at equal samples. Denotation accuracy, as WikiTableQuestions' evaluator defines
it; TAT-QA's numbers are rounded to two decimals, as its evaluator does, but compared without their scale ("million"),
which stands above the tables. Replies are kept in bench/cache: what was cut off goes on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import CACHE, SEED, ended_well, has, options, paired_interval, publish, read_jsonl, say, table
from prompted import model_name

SETS = "wikitablequestions,tatqa"
WAYS: dict[str, Callable[[int], tuple[int, int]]] = {
    "direct, 1 sample": lambda n: (1, 0),
    "SQL, 1 sample": lambda n: (0, 1),
    "direct, vote": lambda n: (n, 0),
    "SQL, vote": lambda n: (0, n),
    "mixed vote, as many samples": lambda n: (n // 2, n - n // 2),
    "mixed vote, twice as many": lambda n: (n, n),
}
"""How many samples of reading and of SQL vote, of n each."""


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", default=SETS)
    parser.add_argument("--llm", default="bundled:smollm2")
    parser.add_argument("--questions", type=int, default=60, help="of each set")
    parser.add_argument("--samples", type=int, default=4, help="of each path")


def wikitablequestions(folder: Path) -> list[dict[str, Any]]:
    """Questions with header and rows of their table."""
    tables = {row["id"]: row for row in read_jsonl(folder / "tables.jsonl")}
    return [
        {"id": row["id"], "question": row["question"], "answers": row["answers"], "title": own["title"] or "table"}
        | {"header": own["header"], "rows": own["rows"]}
        for row in read_jsonl(folder / "dev.jsonl")
        for own in [tables[row["table_id"]]]
    ]


def tatqa(folder: Path) -> list[dict[str, Any]]:
    """Those answered from the table alone; its first rows without a name are the header, joined by column."""
    contexts = {row["id"]: row["table"] for row in read_jsonl(folder / "contexts.jsonl")}
    found = []
    for row in read_jsonl(folder / "questions.jsonl"):
        if row["answer_from"] != "table":
            continue
        cells = contexts[row["context_id"]]
        heads = next((at for at, line in enumerate(cells) if line[0].strip()), 0) or 1
        header = [" ".join(filter(None, (line[at].strip() for line in cells[:heads]))) for at in range(len(cells[0]))]
        answer = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
        found.append({"id": row["id"], "question": row["question"], "answers": [str(each) for each in answer]})
        found[-1] |= {"title": "table", "header": [header[0] or "item", *header[1:]], "rows": cells[heads:]}
    return found


_NEGATIVE = re.compile(r"^\(\s*(?:[$€£]\s*)?([\d.,]+)\s*%?\s*\)$")
"""Accountants' way to write a number below zero."""
READERS = {"wikitablequestions": wikitablequestions, "tatqa": tatqa}


def right(name: str, wanted: Sequence[str], given: Sequence[str]) -> bool:
    """Whether an answer denotes what is wanted."""
    from ragloom.agents.tables import denotation, same_denotation

    if name != "tatqa":
        return same_denotation(wanted, given)
    rounded = [
        [f"{value.number:.2f}" if value.number is not None else value.text for value in denotation(plain, units=True)]
        for plain in ([_NEGATIVE.sub(r"-\1", text.strip()) for text in each] for each in (wanted, given))
    ]
    return same_denotation(*rounded)


def answered(question: dict[str, Any], llm: Any, given: Any, kept: Path) -> list[dict[str, Any]]:
    """What each sample said, {path, values, trouble}, direct ones first: from the cache, or asked now."""
    from ragloom.agents.tables import Tables, table_qa
    from ragloom.types import Budget

    told = [question["question"], question["header"], question["rows"], given.llm, given.samples, SEED]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()
    if kept.exists():
        for line in kept.read_text(encoding="utf-8").splitlines():
            if (known := json.loads(line))["key"] == key:
                return list(known["ballots"])
    rows = [[*row, *[""] * (len(question["header"]) - len(row))][: len(question["header"])] for row in question["rows"]]
    tables = Tables.of({question["title"]: (question["header"], rows)})
    budget = Budget(llm_calls=4 * given.samples, tokens=200_000, seconds=900)
    graph = table_qa(tables, llm, ways="mixed", samples=given.samples, budget=budget, seed=SEED)
    ballots: list[dict[str, Any]] = []
    for update in graph.stream({"question": question["question"]}, stream_mode="updates"):
        for change in update.values():
            ballots = list((change or {}).get("ballots") or ballots)
    said = [{name: ballot[name] for name in ("path", "values", "trouble")} for ballot in ballots]
    with kept.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps({"key": key, "ballots": said}, ensure_ascii=False) + "\n")
    return said


def shuffled(ballots: Sequence[dict[str, Any]], question: str) -> list[dict[str, Any]]:
    """In an order of its own for each question: statements that failed and were written anew come last as they are."""
    return random.Random(f"{SEED}:{question}").sample(list(ballots), len(ballots))


def voted(ballots: Iterable[dict[str, Any]], direct: int, sql: int) -> list[str]:
    """The answer of the first samples of each path; empty where none has one."""
    from langchain_core.documents import Document

    from ragloom.agents.tables.voting import counted

    nothing = Document("")
    left = {"direct": direct, "sql": sql}
    chosen = []
    for ballot in ballots:
        if left[ballot["path"]] > 0:
            left[ballot["path"]] -= 1
            chosen.append({**ballot, "document": nothing})
    found = counted(chosen)  # type: ignore[arg-type]
    return list(found[0].ballots[0]["values"]) if found else []


def measured(data: Path, name: str, llm: Any, given: Any) -> list[list[Any]]:
    """A row for each way."""
    questions = READERS[name](data / name)
    drawn = random.Random(SEED).sample(questions, min(given.questions, len(questions)))
    kept = CACHE / f"tables-{hashlib.sha256(model_name(given.llm).encode()).hexdigest()[:12]}.jsonl"
    scores: dict[str, list[float]] = {way: [] for way in WAYS}
    silent: dict[str, int] = dict.fromkeys(WAYS, 0)
    failed = 0
    for number, question in enumerate(drawn, start=1):
        ballots = shuffled(answered(question, llm, given, kept), question["id"])
        failed += sum(ballot["path"] == "sql" and bool(ballot["trouble"]) for ballot in ballots)
        for way, counts in WAYS.items():
            values = voted(ballots, *counts(given.samples))
            silent[way] += not values
            scores[way].append(float(bool(values) and right(name, question["answers"], values)))
        if number % 10 == 0:
            say(f"{name}: {number} of {len(drawn)}: " + ", ".join(f"{w} {np.mean(s):.2f}" for w, s in scores.items()))
    say(f"{name}: {failed / len(drawn) / given.samples:.2f} of the statements gave no answer")
    rows = []
    for way, own in scores.items():
        mean, low, high = paired_interval(own, scores["direct, vote"])
        gain = "" if way == "direct, vote" else f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        rows.append([name, len(own), way, f"{np.mean(own):.3f}", silent[way], gain])
    return rows


def main() -> None:
    """One table."""
    from ragloom.models import load_chat_model

    given = options(__doc__, add_options)
    llm = load_chat_model(given.llm)
    names = [name for name in given.sets.split(",") if has(given.data, name)]
    rows = [row for name in names for row in measured(given.data, name, llm, given)]
    head = ("set", "questions", "way", "denotation accuracy", "without an answer", "minus direct vote (95 %)")
    parts = [
        f"With {model_name(given.llm)}, {given.samples} samples of each path at temperature 0.8; votes of fewer are of "
        "some of them, drawn by seed. A statement that failed was written anew once. Reading sees the whole table, or "
        "the rows that fit the model's window.",
        table(head, rows),
    ]
    publish("tables", "Questions over tables", parts, {"rows": rows, "llm": model_name(given.llm)}, [])


if __name__ == "__main__":
    ended_well(main)
