"""What the tests of strategy routing share: strategies that say what a test wants, and how to run and watch them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from langchain_core.documents import Document
from langgraph.config import get_stream_writer
from langgraph.graph import END, START, StateGraph

from ragloom.agents.auto import CheapRun, Outcome
from ragloom.graphs import naive_rag
from ragloom.graphs.common.state import StrategyInput, StrategyOutput, StrategyState, begin
from ragloom.testing import FakeChatModel
from ragloom.types import Budget, Citation

# The strategies' own kit: what must hold of their results holds of ours too.
sys.path.append(str(Path(__file__).parents[1] / "graphs"))

from strategy_kit import GOOD, QUESTION, Shelf

BAD = "I do not know."


def naive(*replies: Any, shelf: Any = None, **options: Any) -> Any:
    return naive_rag(shelf or Shelf("leave.md"), FakeChatModel(replies=list(replies or [GOOD])), **options)


def cited(sentence: str, score: float = 0.9, identity: str = "leave.md") -> Citation:
    return Citation(sentence=sentence, id=identity, source=identity, page=1, quote="25 days", score=score)


def scripted(*sentences: tuple[str, float], then: Exception | None = None, **update: Any) -> Any:
    """A strategy that streams cited sentences and ends in a state; `then`: it raises instead."""

    def retrieve(state: Any) -> dict[str, Any]:
        step = {"node": "retrieve", "decision": "1 passages", "reason": "scripted", "ms": 1.0}
        usage = {"calls": 1, "tokens_in": 10, "tokens_out": 0, "seconds": 0.0}
        document = Document("They get 25 days.", id="leave.md", metadata={"source": "leave.md"})
        return {"documents": [document], "steps": [step], "usage": usage, "hops": 1}

    def read(state: Any) -> dict[str, Any]:
        citations = [cited(text, score) for text, score in sentences]
        for citation in citations:
            get_stream_writer()({"type": "sentence", "text": citation["sentence"], "citations": [citation]})
        if then is not None:
            raise then
        answer = " ".join(text for text, _ in sentences) or "I found nothing."
        usage = {"calls": 1, "tokens_in": 20, "tokens_out": 5, "seconds": 0.0}
        step = {"node": "read", "decision": "read", "reason": "scripted", "ms": 1.0}
        told = {"answer": answer, "abstained": not sentences, "citations": citations, "steps": [step], "usage": usage}
        return {**told, **update}

    graph = StateGraph(StrategyState, input_schema=StrategyInput, output_schema=StrategyOutput)
    for name, function in (("begin", begin), ("retrieve", retrieve), ("read", read)):
        graph.add_node(name, function)
    for before, after in ((START, "begin"), ("begin", "retrieve"), ("retrieve", "read"), ("read", END)):
        graph.add_edge(before, after)
    return graph.compile(name="scripted")


def watched(graph: Any, question: str = QUESTION) -> tuple[dict[str, Any], list[str]]:
    """The result, and the sentences that went out."""
    result, said = {}, []
    for mode, chunk in graph.stream({"question": question}, stream_mode=["custom", "values"]):
        if mode == "custom":
            said.append(chunk["text"])
        else:
            result = chunk
    return result, said


async def awatched(graph: Any, question: str = QUESTION) -> tuple[dict[str, Any], list[str]]:
    result, said = {}, []
    async for mode, chunk in graph.astream({"question": question}, stream_mode=["custom", "values"]):
        if mode == "custom":
            said.append(chunk["text"])
        else:
            result = chunk
    return result, said


def both_worlds(graph: Any, question: str = QUESTION) -> tuple[dict[str, Any], list[str]]:
    """Sync and async; they must give the same."""
    (result, said), (aresult, asaid) = watched(graph, question), asyncio.run(awatched(graph, question))
    for key in ("answer", "abstained", "citations", "error"):
        assert result[key] == aresult[key]
    assert said == asaid
    assert nodes_of(result) == nodes_of(aresult)
    assert result["usage"]["calls"] == aresult["usage"]["calls"]
    return result, said


def nodes_of(result: Mapping[str, Any]) -> list[str]:
    return [step["node"] for step in result["steps"]]


def decision_of(result: Mapping[str, Any]) -> Any:
    return next(step for step in result["steps"] if step["node"] == "decide")


def run_of(result: Mapping[str, Any], question: str = QUESTION, left: Budget | None = None) -> CheapRun:
    """What signals see of a strategy's result."""
    blank = {"path": "cheap", "abstained": False, "citations": [], "documents": [], "error": "", "steps": []}
    outcome: Outcome = {**blank, "hops": 1, "streamed": False, **result}  # type: ignore[typeddict-item]
    return CheapRun(question, outcome, Budget(), left or Budget())
