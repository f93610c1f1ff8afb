"""Strategies as LangChain Runnables, tools and retrievers."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import Runnable
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from strategy_kit import GOOD, QUESTION, Evaluator, Shelf

from ragloom.errors import UsageError
from ragloom.graphs import StrategyRetriever, as_tool, corrective_rag, naive_rag
from ragloom.testing import FakeChatModel


def graph(*replies: str) -> Any:
    return naive_rag(Shelf("leave.md", "travel.md"), FakeChatModel(replies=list(replies or (GOOD,))))


def test_a_strategy_is_a_runnable() -> None:
    assert isinstance(graph(), Runnable)
    answered = (graph() | (lambda result: result["answer"])).batch([{"question": QUESTION}] * 2)
    assert answered == [GOOD, GOOD]


async def test_a_tool_tells_the_answer_and_its_sources() -> None:
    tool = as_tool(graph(), description="Answers about the handbook.")
    assert (tool.name, list(tool.args)) == ("naive", ["question"])
    assert tool.invoke({"question": QUESTION}) == f"{GOOD}\n\nSources: leave.md p. 1"
    assert await tool.ainvoke({"question": QUESTION}) == f"{GOOD}\n\nSources: leave.md p. 1"


def test_a_model_can_call_it() -> None:
    tool = as_tool(graph(), name="handbook", description="Answers about the handbook.")
    call: Any = {"name": "handbook", "args": {"question": QUESTION}, "id": "1", "type": "tool_call"}
    message = tool.invoke(call)
    assert isinstance(message, ToolMessage)
    assert message.artifact["citations"][0]["id"] == "leave.md"
    agent = StateGraph(MessagesState).add_node("tools", ToolNode([tool])).add_edge(START, "tools").compile()
    answered = agent.invoke({"messages": [AIMessage("", tool_calls=[call])]})
    assert answered["messages"][-1].text.startswith(GOOD)


def test_an_abstention_is_told_without_sources() -> None:
    tool = as_tool(graph("I don't know."), description="Answers about the handbook.")
    assert "Sources" not in tool.invoke({"question": QUESTION})


def test_a_strategy_with_threads_is_refused() -> None:
    threaded = naive_rag(Shelf(), FakeChatModel(), checkpointer=InMemorySaver())
    for make in (lambda: as_tool(threaded, description="x"), lambda: StrategyRetriever(graph=threaded)):
        with pytest.raises(UsageError, match="has threads"):
            make()


def test_a_tool_needs_a_description() -> None:
    with pytest.raises(UsageError, match="needs a description"):
        as_tool(graph(), description=" ")


async def test_a_retriever_gives_what_the_strategy_reads() -> None:
    evaluator = Evaluator(lambda text: 0.9 if "25 days" in text else 0.0)
    strategy = corrective_rag(Shelf("travel.md", "leave.md"), FakeChatModel(replies=[GOOD]), evaluator=evaluator)
    retriever = StrategyRetriever(graph=strategy)
    assert [document.id for document in retriever.invoke(QUESTION)] == ["leave.md"]
    assert [document.id for document in await retriever.ainvoke(QUESTION)] == ["leave.md"]
