"""Follow-ups made whole, beside what people wrote: python bench/follow_ups.py [--llm SPEC ...] [--sample 60]

Three sets. CAsT 2019 and MTRAG, where people rewrote each turn: of the turns with a history the share of the content
words that the human rewrite adds which ours adds too, how many of ours are among them, ROUGE-L and the cosine of the
bundled embedder to the human rewrite. And conversations made of SQuAD's questions (`squad_conversations`), where the
passage that answers is known: the share of turns for which retrieval finds it, and nDCG@10. The rules were tuned on
CAsT; nothing was chosen on the other two. Models (--llm) rewrite a sample of each set, for which all ways are measured.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
from common import CACHE, SEED, embedder, ended_well, has, options, paired_interval, publish, read_jsonl, say, table
from prompted import model_name
from squad_conversations import conversations

SETS = ("cast2019", "mtrag_rewrite", "squad")
TOP_K = 10
ALONE = "last turn alone"


@dataclass(frozen=True)
class Turn:
    """What was said, and what it meant."""

    history: list[str]
    question: str
    rewrite: str
    passage: str = ""


Way = Callable[[list[str], str], str]
PLAIN: dict[str, Way] = {
    ALONE: lambda history, question: question,
    "last two turns": lambda history, question: " ".join([*history[-1:], question]),
    "last three turns": lambda history, question: " ".join([*history[-2:], question]),
    "rules": lambda history, question: resolved(history, question),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--llm", action="append", default=[], help="a chat model that rewrites; repeatable")
    parser.add_argument("--sample", type=int, default=60, help="turns of each set that models rewrite")


def resolved(history: list[str], question: str, llm: Any = None) -> str:
    """By `resolve_question`."""
    from ragloom.agents.conversation import resolve_question

    return resolve_question(history, question, llm).question


def rewriter(spec: str) -> Way:
    """A chat model's rewrites, checked as in the assistant; kept in bench/cache."""
    from ragloom.models import load_chat_model

    model = functools.cache(lambda: load_chat_model(spec, temperature=0.0))
    kept = CACHE / f"follow-ups-{hashlib.sha256(model_name(spec).encode()).hexdigest()[:12]}.jsonl"
    known: dict[str, str] = {}
    if kept.exists():
        known = {row["key"]: row["rewrite"] for row in map(json.loads, kept.read_text(encoding="utf-8").splitlines())}

    def rewrite(history: list[str], question: str) -> str:
        key = json.dumps([history, question])
        if key not in known:
            known[key] = resolved(history, question, model())
            with kept.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"key": key, "rewrite": known[key]}) + "\n")
        return known[key]

    return rewrite


def turns_of(data: Path, name: str) -> list[Turn]:
    """Turns with a history."""
    if name == "squad":
        made = conversations(data / name)
        return [Turn(each.history, each.question, each.original, each.passage) for each in made]
    rows = read_jsonl(data / name / "items.jsonl")
    return [Turn(row["history"], row["question"], row["rewrite"]) for row in rows if row["history"]]


def likeness(name: str, turns: Sequence[Turn], way: str, given: Sequence[str]) -> list[Any]:
    """Words, ROUGE-L and cosine of the rewrites to those of people."""
    from ragloom.agents.conversation.phrases import terms_of
    from ragloom.evals.text_metrics import rouge_l

    common = wanted = added = 0
    for turn, ours in zip(turns, given, strict=True):
        said = terms_of(turn.question)
        own, right = terms_of(ours) - said, terms_of(turn.rewrite) - said
        common, wanted, added = common + len(own & right), wanted + len(right), added + len(own)
    vectors = [np.stack([_vector(text) for text in texts]) for texts in (given, [turn.rewrite for turn in turns])]
    cosine = float((vectors[0] * vectors[1]).sum(axis=1).mean())
    like = mean(rouge_l(ours, [turn.rewrite]) for turn, ours in zip(turns, given, strict=True))
    precision = f"{common / added:.3f}" if added else ""
    return [name, len(turns), way, f"{common / wanted:.3f}", precision, f"{like:.3f}", f"{cosine:.3f}"]


@functools.cache
def _vector(text: str) -> Any:
    return _embedder().embed_query(text)


@functools.cache
def _embedder() -> Any:
    return embedder()


@functools.cache
def _squad(data: Path) -> Any:
    from ragloom.evals.answer_sets import load_answer_set
    from ragloom.evals.indexing import index_set

    return index_set(load_answer_set(data / "squad").retrieval_set())[0].retriever(top_k=TOP_K)


def found(data: Path, turns: Sequence[Turn], given: Sequence[str]) -> tuple[list[int | None], list[float]]:
    """Of each turn the rank of its passage for the rewrite, None below the first ten, and nDCG@10."""
    ranks = []
    for turn, query in zip(turns, given, strict=True):
        ids = [each.node.ref_doc_id or each.node.node_id for each in _squad(data).retrieve(query)]
        ranks.append(next((at for at, key in enumerate(dict.fromkeys(ids), 1) if key == turn.passage), None))
    return ranks, [0.0 if rank is None else 1 / float(np.log2(rank + 1)) for rank in ranks]


def places_of(data: Path, turns: Sequence[Turn], rewrites: dict[str, list[str]]) -> list[list[Any]]:
    """A row for each way: how often the passage is found, and nDCG@10 beside that of the last turn alone."""
    measured = {way: found(data, turns, given) for way, given in rewrites.items()}
    rows = []
    for way, (ranks, ndcg) in measured.items():
        cells = [mean(float(rank is not None and rank <= most) for rank in ranks) for most in (1, 5, TOP_K)]
        gain = paired_interval(ndcg, measured[ALONE][1])
        told = "" if way == ALONE else "{:+.3f} [{:+.3f}, {:+.3f}]".format(*gain)
        rows.append([len(turns), way, *(f"{cell:.3f}" for cell in (*cells, mean(ndcg))), told])
    return rows


def main() -> None:
    """Tables of all turns by the rules, and of the sample with models."""
    given = options(__doc__, add_options)
    sets = {name: turns_of(given.data, name) for name in SETS if has(given.data, name)}
    drawn = {name: random.Random(SEED).sample(turns, min(given.sample, len(turns))) for name, turns in sets.items()}
    models = {model_name(spec): rewriter(spec) for spec in given.llm}
    head = ("set", "turns", "rewritten by", "added words recovered", "of ours right", "ROUGE-L", "cosine")
    hits = ("turns", "rewritten by", "found first", "in 5", f"in {TOP_K}", f"nDCG@{TOP_K}", "over the last turn (95 %)")
    parts, data = [], {}
    for title, chosen, ways in (("All turns", sets, PLAIN), ("A sample, with models", drawn, {**PLAIN, **models})):
        if chosen is drawn and not models:
            continue
        rows: list[list[Any]] = []
        places: list[list[Any]] = []
        for name, turns in chosen.items():
            said: dict[str, list[str]] = {}
            for way, rewrite in ways.items():
                said[way] = [rewrite(turn.history, turn.question) for turn in turns]
                rows.append(likeness(name, turns, way, said[way]))
                say(f"{title}: {name}: {way}")
            if name == "squad":
                places = places_of(given.data, turns, {**said, "as it was asked": [turn.rewrite for turn in turns]})
        parts += [f"## {title}", table(head, rows)]
        if places:
            parts += ["The passage that answers, in conversations made of SQuAD's questions:", table(hits, places)]
        data[title] = {"rows": rows, "retrieval": places}
    publish("follow_ups", "Follow-ups made whole", parts, data, [])


if __name__ == "__main__":
    ended_well(main)
