"""What the machinery of each strategy takes beside models and stores: python bench/strategy_overhead.py

Model, retriever, evaluator, critic, scorer and embedder answer at once: what is left is ours and LangGraph's. Beside
it runs a graph as LangGraph's own notebooks build it: plain functions over a dictionary, as many nodes and as many
calls of the model, without budgets, steps, checking or citations.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, TypedDict

from common import options, publish, table, verdict
from langchain_core.documents import Document
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langgraph.graph import END, START, StateGraph
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, TextNode

RUNS, WARM = 200, 20
WANTED_MS = 5.0
QUESTION = "How many days of annual leave do employees get?"
ANSWER = "Employees get 25 days of annual leave."
USAGE: Any = {"input_tokens": 300, "output_tokens": 9, "total_tokens": 309}


class Instant(BaseChatModel):
    """Says the same at once."""

    context_window: int = 8192
    max_tokens: int = 256

    @property
    def _llm_type(self) -> str:
        return "instant"

    def get_num_tokens(self, text: str) -> int:
        return len(text) // 4

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage(ANSWER, usage_metadata=USAGE))])

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(ANSWER, usage_metadata=USAGE, chunk_position="last"))


class Shelf(BaseRetriever):
    """Always the same five passages."""

    def _retrieve(self, query_bundle: Any) -> list[NodeWithScore]:
        return [
            NodeWithScore(
                node=TextNode(
                    id_=f"p{at}",
                    text=f"Passage {at}. Full-time employees get 25 days of annual leave.",
                    metadata={"source": f"{at}.md", "page": 1, "score_kind": "fake"},
                ),
                score=1.0 - at / 10,
            )
            for at in range(5)
        ]


class Critic:
    """Finds support at once, in the whole first passage."""

    threshold = 0.5

    def support(self, sentence: str, question: str, passages: Any) -> list[Any]:
        from ragloom.graphs.common.support import Support

        return [Support(0, 0, len(passages[0].page_content), 1.0)] if passages else []


def parts() -> dict[str, dict[str, Any]]:
    """What a strategy is given besides."""
    import numpy as np

    from ragloom.models import Scored, TokenScore

    evaluator = SimpleNamespace(upper=0.7, lower=0.1, grade=lambda _, texts: [0.9] * len(texts))
    scored = Scored((TokenScore(0, 0, 400, -0.1),))
    scorer = SimpleNamespace(
        name="fake",
        score_messages=lambda *_: scored,
        score_many=lambda pairs: [scored] * len(pairs),
        **dict.fromkeys(("score", "ascore", "ascore_many", "ascore_messages"), lambda *_: scored),
    )
    embedder = SimpleNamespace(embed=lambda texts: np.eye(len(texts), 8, dtype=np.float32))
    return {
        "corrective": {"evaluator": evaluator},
        "fusion": {"evaluator": evaluator, "gate": "always"},
        "self-rag": {"relevance": evaluator},
        "self-rag-tokens": {"scorer": scorer},
        "speculative": {"verifier": scorer, "draft_scorer": scorer, "embedder": embedder},
    }


class Plain(TypedDict, total=False):
    """State as in the notebooks."""

    question: str
    documents: list[Document]
    generation: str


def notebook_graph(nodes: int, calls: int) -> Any:
    """A chain of `nodes` functions, of which the first retrieves and the last `calls` ask the model."""
    llm, shelf = Instant(), Shelf()

    def retrieve(state: Plain) -> Plain:
        found = shelf.retrieve(state["question"])
        return {"documents": [Document(each.node.get_content(), metadata=each.node.metadata) for each in found]}

    def generate(times: int) -> Callable[[Plain], Plain]:
        def ask(state: Plain) -> Plain:
            context = "\n\n".join(document.page_content for document in state.get("documents", []))
            said = ""
            for _ in range(times):
                said = str(llm.invoke(f"{context}\n\nQuestion: {state['question']}").text)
            return {"generation": said}

        return ask

    asking = max(1, min(calls, nodes - 1))
    graph = StateGraph(Plain)
    last = START
    for at in range(nodes):
        name = f"n{at}"
        behind = nodes - asking
        share = 0 if at < behind else calls // asking + (at - behind < calls % asking)
        graph.add_node(name, retrieve if at == 0 else generate(share))
        graph.add_edge(last, name)
        last = name
    graph.add_edge(last, END)
    return graph.compile()


def median_ms(graph: Any) -> float:
    """Of one question, the median of many."""
    for _ in range(WARM):
        graph.invoke({"question": QUESTION})
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        graph.invoke({"question": QUESTION})
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def measured(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """One strategy beside its plain chain."""
    from ragloom.graphs import build_strategy

    critic = {} if name == "closed-book" else {"critic": Critic()}
    graph = build_strategy(name, Shelf(), Instant(), **critic, **given)
    result = graph.invoke({"question": QUESTION})
    nodes, calls = len(result["steps"]) + 1, result["usage"]["calls"]
    ours, theirs = median_ms(graph), median_ms(notebook_graph(nodes, calls))
    return {"strategy": name, "nodes": nodes, "calls": calls, "ms": ours, "notebook ms": theirs, "ratio": ours / theirs}


def add_options(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def main() -> None:
    """One table."""
    options(__doc__, add_options)
    from ragloom.graphs import STRATEGIES

    given = parts()
    rows = [measured(name, given.get(name, {})) for name in STRATEGIES]
    shown = [
        (
            row["strategy"],
            row["nodes"],
            row["calls"],
            f"{row['ms']:.1f}",
            f"{row['notebook ms']:.1f}",
            f"{row['ratio']:.2f}",
        )
        for row in rows
    ]
    head = ("strategy", "nodes run", "model calls", "p50 ms", "plain LangGraph p50 ms", "ratio")
    targets = [verdict(f"{row['strategy']}: p50 ms of machinery", row["ms"], WANTED_MS, at_most=True) for row in rows]
    publish(
        "strategy_overhead", "What the machinery of a strategy takes", [table(head, shown)], {"rows": rows}, targets
    )


if __name__ == "__main__":
    main()
