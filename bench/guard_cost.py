"""What our rails cost, all together and each alone: python bench/guard_cost.py

A question and ten passages of SQuAD are checked as a strategy has them checked: the question (input), the passages
(retrieval), an answer of three sentences (output). Nothing is checked twice: each round has another question. Beside it
a whole run of naive RAG with a model and a retriever that answer at once, without a guard and with one that passes
everything: what the graph itself pays.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import numpy as np
from common import ended_well, has, options, publish, say, table, verdict

ROUNDS = 200
PASSAGES = 10
GOAL_MS = 40.0
WARM = 5

Round = tuple[str, list[str], list[str]]


def rounds(data: Any) -> list[Round]:
    """(question, passages, answer's sentences), all different."""
    from ragloom.evals.answer_sets import load_answer_set

    found = load_answer_set(data / "squad").limited(ROUNDS + WARM, seed=0)
    texts = [text for _, text in found.documents.values()]
    made = []
    for number, each in enumerate(found.questions):
        passages = [texts[(PASSAGES * number + at) % len(texts)] for at in range(PASSAGES)]
        made.append((each.question, passages, [f"{sentence}." for sentence in passages[0].split(". ")[:3]]))
    return made


def cost(guard: Any, made: list[Round]) -> dict[str, list[float]]:
    """Milliseconds of each stage, and of all, a round."""
    spent: dict[str, list[float]] = {"input": [], "retrieval": [], "output": [], "all": []}
    for question, passages, sentences in made:
        began = time.perf_counter()
        for stage, texts in (("input", [question]), ("retrieval", passages), ("output", sentences)):
            since = time.perf_counter()
            guard.check(stage, texts, {"question": question})
            spent[stage].append(1000 * (time.perf_counter() - since))
        spent["all"].append(1000 * (time.perf_counter() - began))
    return {name: values[WARM:] for name, values in spent.items()}


def row(name: str, spent: dict[str, list[float]]) -> list[str]:
    cells = [f"{median(spent[stage]):.2f}" for stage in ("input", "retrieval", "output", "all")]
    return [name, *cells, f"{np.percentile(spent['all'], 95):.2f}"]


class Passing:
    """A guard that passes everything."""

    def check(self, stage: Any, texts: Any, context: Any = None) -> list[Any]:
        from ragloom.guarding import Finding

        return [Finding("pass", text) for text in texts]

    async def acheck(self, stage: Any, texts: Any, context: Any = None) -> list[Any]:
        return self.check(stage, texts, context)


def graphs(made: list[Round]) -> list[list[str]]:
    """Naive RAG without a guard and with one that does nothing, in turns."""
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

    from ragloom.graphs import naive_rag
    from ragloom.testing import FakeChatModel

    class Fixed(BaseRetriever):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            texts = made[0][1]
            return [NodeWithScore(node=TextNode(id_=str(at), text=text), score=1.0) for at, text in enumerate(texts)]

    llm = FakeChatModel(replies=[made[0][2][0]])
    kinds = {
        "no guard": naive_rag(Fixed(), llm, prompt="read"),
        "a guard that passes": naive_rag(Fixed(), llm, prompt="read", guard=Passing()),
    }
    spent: dict[str, list[float]] = {name: [] for name in kinds}
    for question, _, _ in made:
        for name, graph in kinds.items():
            began = time.perf_counter()
            graph.invoke({"question": question})
            spent[name].append(1000 * (time.perf_counter() - began))
    return [[name, f"{median(values[WARM:]):.2f}"] for name, values in spent.items()]


def main() -> None:
    """Two tables and a target."""
    given = options(__doc__)
    if not has(given.data, "squad"):
        return
    from ragloom.guardrails import load_guard
    from ragloom.guardrails.loading import RAILS

    made = rounds(given.data)
    whole = cost(load_guard(f"local:{','.join(RAILS)}"), made)
    rows = [row("all six", whole), row("local (without personal)", cost(load_guard("local"), made))]
    for name in RAILS:
        say(name)
        rows.append(row(name, cost(load_guard(f"local:{name}"), made)))
    runs = graphs(made)
    parts = [
        f"A question, {PASSAGES} passages, three sentences of an answer; {ROUNDS} rounds; median milliseconds.",
        table(("rails", "question", "passages", "answer", "all", "p95 of all"), rows),
        "## A run of naive RAG whose retriever and model answer at once",
        table(("graph", "p50 ms"), runs),
    ]
    target = verdict("all local rails, a question and 10 passages, p50 ms", median(whole["all"]), GOAL_MS, at_most=True)
    publish("guard_cost", "What guards cost", parts, {"rows": rows, "graphs": runs}, [target])


if __name__ == "__main__":
    ended_well(main)
