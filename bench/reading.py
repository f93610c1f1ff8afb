"""Naive RAG on the handbook's questions, and the overlap critic on sets with groundedness labels.

python bench/reading.py [--llm bundled:smollm2 --llm drafter:bundled --llm gguf:PATH]
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from common import ROOT, SEED, has, options, plain, publish, read_jsonl, table

THRESHOLDS = (0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)


def add_options(parser: argparse.ArgumentParser) -> None:
    told = "chat model; repeatable (default bundled:smollm2, and the reader and the drafter that ship)"
    parser.add_argument("--llm", action="append", help=told)


def shipped() -> list[str]:
    """The chat models that ship."""
    from ragloom.models.artifacts import bundled_artifacts

    return ["bundled:smollm2", *(f"{role}:bundled" for role in ("reader", "drafter") if role in bundled_artifacts())]


def handbook(llm: str) -> dict[str, Any]:
    """How naive RAG answers the handbook's questions with one model; a drafter by the prompt it was trained with."""
    from ragloom.evals.text_metrics import contains
    from ragloom.graphs import naive_rag
    from ragloom.models import load_chat_model
    from ragloom.retrieval import KnowledgeBase
    from ragloom.settings import load_settings

    questions = read_jsonl(ROOT / "examples" / "handbook_questions.jsonl")
    counts = {"right": 0, "right and cited": 0, "wrong": 0, "abstained": 0, "unanswerable abstained": 0}
    found, seconds = 0, []
    with tempfile.TemporaryDirectory() as folder:
        kb = KnowledgeBase(folder)
        kb.ingest([ROOT / "examples" / "handbook"])
        asked = load_settings(llm=llm).strategy_options("naive")
        graph = naive_rag(kb.retriever(), load_chat_model(llm), **asked)
        for question in questions:
            began = time.perf_counter()
            result = graph.invoke({"question": question["question"]})
            seconds.append(time.perf_counter() - began)
            if not question["answerable"]:
                counts["unanswerable abstained"] += result["abstained"]
                continue
            found += any(plain(question["evidence"]) in plain(each.page_content) for each in result["documents"])
            if result["abstained"]:
                counts["abstained"] += 1
            elif contains(result["answer"], question["answers"]):
                counts["right"] += 1
                counts["right and cited"] += any(
                    Path(citation["source"]).name == question["file"] for citation in result["citations"]
                )
            else:
                counts["wrong"] += 1
    answerable = sum(question["answerable"] for question in questions)
    name = Path(llm.removeprefix("gguf:")).name if llm.startswith("gguf:") else llm
    return {
        "llm": name,
        "answerable": answerable,
        "unanswerable": len(questions) - answerable,
        "evidence retrieved": found,
        **counts,
        "p50 seconds": round(statistics.median(seconds), 1),
    }


def critic_scores(data: Path) -> dict[str, list[tuple[float, bool]]]:
    """(score, is grounded) of every labelled sentence of each set."""
    from langchain_core.documents import Document

    from ragloom.graphs.common.support import OverlapCritic

    critic = OverlapCritic(threshold=0.01)

    def score(sentence: str, question: str, context: str) -> float:
        found = critic.support(sentence, question, [Document(context)])
        return found[0].score if found else 0.0

    scores: dict[str, list[tuple[float, bool]]] = {}
    if has(data, "halueval_qa"):
        scores["halueval_qa"] = [
            (score(answer, row["question"], row["context"]), answer == row["right_answer"])
            for row in read_jsonl(data / "halueval_qa" / "items.jsonl")
            for answer in (row["right_answer"], row["hallucinated_answers"][0])
        ]
    for name, text in (("qags", "claim"), ("begin", "response")):
        if has(data, name):
            scores[name] = [
                (score(row[text], "", row["context"]), bool(row["grounded"]))
                for row in read_jsonl(data / name / "items.jsonl")
                if row["grounded"] is not None
            ]
    return scores


def about_the_question(data: Path, name: str, limit: int = 800) -> list[Any]:
    """Share of gold answers supported by their passage, and of true sentences of another passage taken as answers."""
    from langchain_core.documents import Document

    from ragloom.graphs.common.support import OverlapCritic
    from ragloom.sentences import sentence_spans

    critic, dice = OverlapCritic(), random.Random(SEED)
    passages = {row["id"]: row["text"] for row in read_jsonl(data / name / "passages.jsonl")}
    questions = [row for row in read_jsonl(data / name / "questions.jsonl") if row["answers"] and row["passage_ids"]]
    supported = strayed = 0
    for row in questions[:limit]:
        own, other = passages[row["passage_ids"][0]], dice.choice(list(passages.values()))
        start, end = sentence_spans(other)[0]
        supported += bool(critic.support(row["answers"][0], row["question"], [Document(own)]))
        strayed += bool(critic.support(other[start:end], row["question"], [Document(other)]))
    n = len(questions[:limit])
    return [name, n, f"{supported / n:.1%}", f"{strayed / n:.1%}"]


def main() -> None:
    given = options(__doc__, add_options)
    answers = [handbook(llm) for llm in given.llm or shipped()]
    head = list(answers[0])
    parts = ["## Naive RAG on the handbook\n\n" + table(head, [list(each.values()) for each in answers])]
    rows, means = [], []
    scores = critic_scores(given.data)
    for threshold in THRESHOLDS if scores else ():
        cells, accuracies = [], []
        for pairs in scores.values():
            said = [value >= threshold for value, _ in pairs]
            true = [grounded for _, grounded in pairs]
            hits = sum(a and b for a, b in zip(said, true, strict=True))
            accuracies.append(statistics.mean(a == b for a, b in zip(said, true, strict=True)))
            cells.append(f"{hits / max(sum(said), 1):.2f} / {hits / max(sum(true), 1):.2f} / {accuracies[-1]:.2f}")
        means.append(statistics.mean(accuracies))
        rows.append([threshold, *cells, f"{means[-1]:.3f}"])
    if rows:
        names = [f"{name} (n = {len(pairs)})" for name, pairs in scores.items()]
        title = "## The overlap critic: precision / recall / accuracy of 'supported'"
        parts.append(f"{title}\n\n{table(['threshold', *names, 'mean accuracy'], rows)}")
    strays = [about_the_question(given.data, name) for name in ("squad", "nq_gold") if has(given.data, name)]
    if strays:
        head = ["set", "n", "gold answers supported", "true sentences of other passages supported"]
        parts.append("## The overlap critic: answers and strays\n\n" + table(head, strays))
    publish("reading", "Reading and checking", parts, {"handbook": answers}, [])


if __name__ == "__main__":
    main()
