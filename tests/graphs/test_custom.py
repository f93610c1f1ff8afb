"""Nodes of the user's own in place of ours."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from strategy_kit import GOOD, QUESTION, Evaluator, Shelf, check, mermaid_of

from ragloom.errors import UsageError
from ragloom.graphs import corrective_rag, with_nodes
from ragloom.testing import FakeChatModel


def first_only(state: dict[str, Any]) -> dict[str, Any]:
    return {"documents": state["documents"][:1]}


async def async_first_only(state: dict[str, Any]) -> dict[str, Any]:
    return {"documents": state["documents"][:1]}


def corrective(**options: Any) -> Any:
    shelf = Shelf("leave.md", "travel.md")
    return corrective_rag(shelf, FakeChatModel(replies=[GOOD]), evaluator=Evaluator(), **options)


def test_a_node_is_replaced_and_the_rest_stays() -> None:
    graph = corrective(checkpointer=InMemorySaver())
    changed = with_nodes(graph, refine=first_only)
    thread: Any = {"configurable": {"thread_id": "1"}}
    result = changed.invoke({"question": QUESTION}, thread)
    check(result)
    assert [document.id for document in result["documents"]] == ["leave.md"]
    assert "refine" not in [step["node"] for step in result["steps"]]
    assert changed.get_state(thread).values["action"] == "correct"
    assert (mermaid_of(changed), changed.get_name()) == (mermaid_of(graph), "corrective")
    assert len(graph.invoke({"question": QUESTION}, thread)["documents"]) == 2


async def test_an_async_node() -> None:
    result = await with_nodes(corrective(), refine=async_first_only).ainvoke({"question": QUESTION})
    assert len(result["documents"]) == 1


def test_an_unknown_node_is_named() -> None:
    with pytest.raises(UsageError, match=r"no node 'refien' \(it has begin, retrieve, evaluate"):
        with_nodes(corrective(), refien=first_only)
