"""What answer evaluation costs beside model and retrieval: SQuAD's questions to naive RAG with a fake model.

Two parts, per record: what `evaluate_answers` does outside the strategy (scoring, keeping the record, progress), and
what the cache of outputs adds to a call of the model (the same prompts with it and without, in turns).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common import SEED, has, options, publish, table, verdict


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=500, help="questions")


def main() -> None:
    """Milliseconds a record, with and without the harness."""
    given = options(__doc__, add_options)
    if not has(given.data, "squad"):
        return
    from ragloom.evals.answer_sets import load_answer_set
    from ragloom.evals.answers import evaluate_answers
    from ragloom.evals.cached_model import CachedChatModel
    from ragloom.evals.indexing import index_set
    from ragloom.evals.output_cache import OutputCache
    from ragloom.evals.systems import System
    from ragloom.graphs import naive_rag
    from ragloom.retrieval import KnowledgeBase
    from ragloom.sentences import sentence_spans
    from ragloom.testing import FakeChatModel, HashEmbedding

    found = load_answer_set(given.data / "squad").limited(given.limit, seed=SEED)

    def reply(messages: list[Any]) -> str:
        """A sentence of the first passage, so that citations and support have work to do."""
        text = str(messages[-1].text).partition("]")[2].strip()
        return text[: sentence_spans(text)[0][1]] if text else "I don't know."

    inside: list[float] = []
    marks: list[float] = []

    def timed(retriever: Any, llm: Any) -> Any:
        graph = naive_rag(retriever, llm)

        def ask(asked: dict[str, Any]) -> Any:
            began = time.perf_counter()
            result = graph.invoke(asked)
            inside.append((time.perf_counter() - began) * 1000)
            return result

        return ask

    with tempfile.TemporaryDirectory() as folder:
        kb = KnowledgeBase(Path(folder) / "kb", embedder=HashEmbedding())
        retriever = index_set(found.retrieval_set(), kb=kb)[0].retriever(top_k=5)
        evaluate_answers(
            [found],
            [System("naive", factory=timed)],
            FakeChatModel(replies=reply),
            retriever=lambda _: retriever,
            folder=Path(folder) / "run",
            outputs=OutputCache(Path(folder) / "outputs.sqlite"),
            progress=lambda _: marks.append(time.perf_counter() * 1000),
        )
        outside = np.diff(marks) - np.array(inside[1:])
        bare = FakeChatModel(replies=reply)
        cached = CachedChatModel.around(bare, outputs=OutputCache(Path(folder) / "others.sqlite"))
        spent: dict[str, list[float]] = {"without": [], "with": []}
        for number, question in enumerate(found.questions):
            for name, llm in (("without", bare), ("with", cached)):
                began = time.perf_counter()
                for _ in llm.stream(f"{number}. {question.question}"):
                    pass
                spent[name].append((time.perf_counter() - began) * 1000)
    kept = np.array(spent["with"]) - np.array(spent["without"])
    rows = [
        ("outside the strategy", *(f"{value:.2f}" for value in np.percentile(outside, (50, 95)))),
        ("cache of outputs, a call", *(f"{value:.2f}" for value in np.percentile(kept, (50, 95)))),
        (
            "the strategy itself, with a model that answers at once",
            *(f"{v:.2f}" for v in np.percentile(inside, (50, 95))),
        ),
    ]
    parts = [f"{len(found.questions)} questions.\n\n{table(('', 'p50 ms', 'p95 ms'), rows)}"]
    overhead = float(np.mean(outside) + np.mean(kept))
    targets = [verdict("harness overhead, mean ms a record", overhead, 5.0, at_most=True)]
    data = {"n": len(found.questions), "outside_ms": float(np.mean(outside)), "cache_ms": float(np.mean(kept))}
    publish("harness", "What the evaluation itself costs", parts, data, targets)


if __name__ == "__main__":
    main()
