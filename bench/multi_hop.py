"""Several retrievals beside one, at equal passages: python bench/multi_hop.py --llm gguf:PATH

HotpotQA's two-hop questions, and SQuAD's single facts (of documents that no shipped adapter has seen), where several
steps may only do harm. Evidence recall: the share of a question's gold passages among those that were read. Answers of
the model are kept, so that a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from typing import Any

from common import CACHE, SEED, ended_well, has, options, paired_interval, publish, say, table
from prompted import model_name
from strategy_mix import mix

SETS = ("hotpotqa_100", "squad")
PASSAGES = 10
PER_ROUND = 4
SINGLE = "single step"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--llm", default="bundled:smollm2")
    parser.add_argument("--questions", type=int, default=30, help="of each set, at most those of the strategies' mix")


def systems() -> list[Any]:
    """One search for as many passages as several together, IRCoT, and sub-questions that wait for each other."""
    from ragloom.evals.systems import System

    return [
        System("naive", {}, label=SINGLE),
        System("multi-hop", {"most_passages": PASSAGES, "per_round": PER_ROUND}, label="multi-hop (IRCoT)"),
        System("decompose", {"most_passages": PASSAGES}, label="decompose"),
    ]


def recall(record: Any) -> float:
    """Share of the gold passages that were read."""
    read = {item[name] for item in record["documents"] for name in ("id", "source")}
    return len(read & set(record["gold"])) / len(record["gold"])


def measured(given: Any, sets: Sequence[Any]) -> list[Any]:
    """The records of all systems on all sets."""
    from ragloom.evals.answers import evaluate_answers
    from ragloom.evals.indexing import index_set
    from ragloom.evals.run_folder import read_run
    from ragloom.models import load_chat_model

    def retriever(answer_set: Any) -> Any:
        kb, _ = index_set(answer_set.retrieval_set())
        return kb.retriever(top_k=PASSAGES)

    def tell(done: Any) -> None:
        if done.done % 10 == 0:
            say(f"{done.done} of {done.total}, {done.failed} failed")

    folder = CACHE / f"multi-hop-{model_name(given.llm)}-{given.questions}".replace(":", "-")
    llm = load_chat_model(given.llm)
    evaluate_answers(sets, systems(), llm, retriever=retriever, folder=folder, baseline=None, seed=SEED, progress=tell)
    return list(read_run(folder)[1])


def row(name: str, system: str, records: Sequence[Any], single: Sequence[Any]) -> list[Any]:
    """One system on one set, and its gains over the single step, question by question."""
    cells: list[Any] = [name, system, len(records)]
    for value in (recall, lambda record: record["metrics"]["f1"] or 0.0):
        own, other = [value(each) for each in records], [value(each) for each in single]
        gain, low, high = paired_interval(own, other)
        cells += [f"{mean(own):.3f}", "" if system == SINGLE else f"{gain:+.3f} [{low:+.3f}, {high:+.3f}]"]
    calls, tokens = (mean(each[key] for each in records) for key in ("calls", "tokens_in"))
    return [*cells, f"{mean(len(each['documents']) for each in records):.1f}", f"{calls:.1f}", f"{tokens:.0f}"]


def main() -> None:
    """One table."""
    given = options(__doc__, add_options)
    sets = [
        replace(each, questions=each.questions[: given.questions])
        for each in mix(given.data, [name for name in SETS if has(given.data, name)], answerable=True)
    ]
    if not sets:
        return
    records = measured(given, sets)
    rows = []
    for each in sets:
        of = {
            system.label: [
                record for record in records if (record["set"], record["strategy"]) == (each.name, system.label)
            ]
            for system in systems()
        }
        rows += [row(each.name, system, own, of[SINGLE]) for system, own in of.items()]
    head = ("set", "system", "questions", "evidence recall", "gain (95 %)", "F1", "gain (95 %)")
    parts = [
        f"With {model_name(given.llm)}; every system reads at most {PASSAGES} passages, of several rounds {PER_ROUND} "
        "new ones each.",
        table((*head, "passages read", "calls", "tokens in"), rows),
    ]
    publish("multi_hop", "Several retrievals beside one", parts, {"rows": rows, "llm": model_name(given.llm)}, [])


if __name__ == "__main__":
    ended_well(main)
