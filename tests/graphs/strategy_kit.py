"""What tests of strategies share: passages, parts that say what a test wants, and what must hold of every result."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from ragloom.types import Budget

TEXTS = {
    "leave.md": "Full-time employees get 25 days of annual leave. Leave that is carried over is taken by 31 March.",
    "travel.md": "Hotels in Vienna are paid up to 165 euros a night. Trips are booked with Northgate Travel.",
    "long.md": "The canteen serves soup on every day of the week. " * 40,
    "garden.md": "The roses in the garden are watered at dawn. Nobody may pick them.",
    "security.md": "Passwords have at least fourteen characters. They are changed once a year.",
}
QUESTION = "How many days of annual leave do employees get?"
GOOD = "Employees get 25 days of annual leave."


class Shelf(BaseRetriever):
    """Always the same passages; remembers what it was asked."""

    texts = TEXTS
    titles: Mapping[str, str] = MappingProxyType({})

    def __init__(self, *names: str, prefix: str = "") -> None:
        self.names, self.prefix = names, prefix
        self.asked: list[str] = []
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.asked.append(query_bundle.query_str)
        return [
            NodeWithScore(
                node=TextNode(
                    id_=f"{self.prefix}{name}",
                    text=self.texts[name],
                    metadata={"source": name, "page": 1, "score_kind": "test", **self._titled(name)},
                ),
                score=1.0 - rank / 10,
            )
            for rank, name in enumerate(self.names)
        ]

    def _titled(self, name: str) -> dict[str, str]:
        return {"title": self.titles[name]} if name in self.titles else {}


class Evaluator:
    """Grades by what stands in a passage, or always the same."""

    upper, lower = 0.7, 0.1

    def __init__(self, grade: float | Callable[[str], Any] = 0.9) -> None:
        self._grade = grade
        self.graded: list[str] = []

    def grade(self, question: str, passages: Sequence[str]) -> list[float]:
        self.graded += passages
        return [self._grade(passage) if callable(self._grade) else self._grade for passage in passages]


def check(result: dict[str, Any]) -> None:
    """What must hold of every result of every strategy."""
    assert isinstance(result["answer"], str) and result["answer"]
    for citation in result["citations"]:
        cited = [document for document in result["documents"] if document.id == citation["id"]]
        assert citation["quote"]
        assert any(citation["quote"] in document.page_content for document in cited)
        assert citation["source"] == cited[0].metadata["source"]
        assert citation["sentence"] in result["answer"]
    assert all(step["decision"] and step["reason"] and step["ms"] >= 0 for step in result["steps"]), result["steps"]
    assert set(result["usage"]) == {"calls", "tokens_in", "tokens_out", "seconds"}
    assert set(result) >= {"answer", "abstained", "citations", "documents", "error", "steps", "usage", "messages"}


def within(result: dict[str, Any], budget: Budget) -> None:
    """That a run cost no more than its budget."""
    usage = result["usage"]
    assert usage["calls"] <= budget.llm_calls
    assert usage["tokens_in"] + usage["tokens_out"] <= budget.tokens


def moody(seed: int, *sensible: Any) -> Callable[..., Any]:
    """A function that gives something sensible, nothing, nonsense or an exception, as the dice fall."""
    dice = random.Random(seed)

    def say(*_: Any) -> Any:
        mood = dice.random()
        if mood < 0.5 and sensible:
            return dice.choice(sensible)
        if mood < 0.6:
            return ""
        if mood < 0.7:
            return dice.choice([ConnectionError("the server hung up"), ValueError("nonsense"), TimeoutError()])
        if mood < 0.85:
            return "".join(chr(dice.randrange(1, 0x3000)) for _ in range(dice.randrange(60)))
        return dice.choice(
            ['{"answer": "', "[1]", "1. \n2. ", "yes", "No.", "Answer:", "x " * 300, "#1 #2 #9", "[Relevant]"]
        )

    return say


def moody_number(seed: int) -> Callable[..., Any]:
    """A probability, a number that is none, or an exception."""
    dice = random.Random(seed)

    def say(*_: Any) -> Any:
        mood = dice.random()
        if mood < 0.08:
            raise RuntimeError("the critic is out of memory")
        if mood < 0.2:
            return dice.choice([None, float("nan"), float("inf"), -3.0, 7.5])
        return dice.random()

    return say


def mermaid_of(graph: Any) -> str:
    """A graph as Mermaid text, as the snapshots beside the tests keep it."""
    return str(graph.get_graph().draw_mermaid()).strip()
