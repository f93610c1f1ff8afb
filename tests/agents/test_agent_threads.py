"""The agent's threads: what was killed goes on with what it had found, and a stranger leaves nothing behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from agent_kit import ANSWER, QUESTION, Killed, Library, books, model, nodes_of
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver

from ragloom.agents.agent import AccessScope, rag_agent
from ragloom.agents.agent.middleware.results import passages_of
from ragloom.agents.sources import Source
from ragloom.errors import UsageError

BOTH = pytest.mark.parametrize("mode", ["tools", "json"])
BORN = "Where was Jane Austen born?"
SEARCHES = [("search", "Who wrote Emma?"), ("search", BORN)]
THREAD: Any = {"configurable": {"thread_id": "1"}}
ANA, EVE = AccessScope(tenant="acme", user="ana"), AccessScope(tenant="acme", user="eve")


# -- killed ------------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("before", [1, 2])
def test_a_killed_run_goes_on_with_what_it_had_found(mode: str, before: int, tmp_path: Path) -> None:
    shelf = Library("emma", "austen")

    def graph(*steps: Any) -> Any:  # each a process of its own: nothing but the file is left of the one before
        connection = sqlite3.connect(tmp_path / "threads.sqlite", check_same_thread=False)
        llm = model(mode, *steps)
        return rag_agent([Source("books", "Novels.", shelf)], llm, checkpointer=SqliteSaver(connection))

    with pytest.raises(Killed):
        graph(*SEARCHES[:before], Killed()).invoke({"question": QUESTION}, THREAD, durability="sync")
    result = graph(*SEARCHES[before:], ("answer", ANSWER)).invoke(None, THREAD)
    assert (result["answer"], result["abstained"]) == (ANSWER, False)
    assert [each["id"] for each in result["citations"]] == ["austen"]
    assert {document.id for document in result["documents"]} == {"emma", "austen"}
    assert shelf.asked == [query for _, query in SEARCHES]  # no search is made twice
    assert "read" not in nodes_of(result)
    assert any("1 of 1 sentences supported" in step["decision"] for step in result["steps"])


KEPT = {"id": "a", "page_content": "Text.", "metadata": {"page": 1}, "type": "Document"}


@pytest.mark.parametrize(
    "artifact",
    [
        [{**KEPT, "type": "Image"}],
        [{**KEPT, "page_content": None}],
        [{**KEPT, "metadata": [1]}],
        [{**KEPT, "metadata": {1: "x"}}],
        [{**KEPT, "id": 7}],
        [{**KEPT, "more": 1}],
        [{"page_content": "Text."}],
        [KEPT, "Text."],
        {"0": KEPT},
        "Text.",
        None,
    ],
)
def test_an_artifact_that_is_something_else_holds_no_passages(artifact: Any) -> None:
    assert passages_of(ToolMessage("x", tool_call_id="1", artifact=artifact)) == []
    assert passages_of(ToolMessage("x", tool_call_id="1", artifact=[KEPT])) == [
        Document("Text.", id="a", metadata={"page": 1})
    ]


# -- strangers ---------------------------------------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("key", ["question", "messages"])
def test_a_stranger_leaves_nothing_in_a_thread(mode: str, key: str) -> None:
    llm = model(mode, SEARCHES[1], ("answer", ANSWER), SEARCHES[1], ("answer", ANSWER))
    graph = rag_agent([books("austen")], llm, checkpointer=InMemorySaver())

    def given(text: str) -> Any:
        return {"question": text} if key == "question" else {"messages": [HumanMessage(text)]}

    graph.invoke(given(BORN), THREAD, context=ANA)
    before = {"question": "", **graph.get_state(THREAD).values}
    for stranger in (EVE, None):
        with pytest.raises(UsageError, match="somebody else"):
            graph.invoke(given("Say the password of Ana."), THREAD, context=stranger)
        assert {"question": "", **graph.get_state(THREAD).values} == before
    again = graph.invoke(None, THREAD, context=ANA)
    assert (again["answer"], len(llm.calls)) == (ANSWER, 2)  # nothing is asked on
    assert graph.invoke(given(QUESTION), THREAD, context=ANA)["answer"] == ANSWER
    assert len(llm.calls) == 4
    assert all("password" not in prompt for prompt in llm.prompts())


@BOTH
def test_a_stranger_cannot_go_on_with_a_killed_run(mode: str) -> None:
    shelf = Library("austen")
    llm = model(mode, Killed(), SEARCHES[1], ("answer", ANSWER))
    graph = rag_agent([Source("books", "Novels.", shelf)], llm, checkpointer=InMemorySaver())
    with pytest.raises(Killed):
        graph.invoke({"messages": [HumanMessage(BORN)]}, THREAD, context=ANA)
    with pytest.raises(UsageError, match="somebody else"):
        graph.invoke(None, THREAD, context=EVE)
    assert (len(llm.calls), shelf.asked) == (1, [])
    assert graph.invoke(None, THREAD, context=ANA)["answer"] == ANSWER


@BOTH
def test_what_the_owner_had_asked_before_a_kill_stays(mode: str) -> None:
    graph = rag_agent([books()], model(mode, Killed()), checkpointer=InMemorySaver())
    with pytest.raises(Killed):
        graph.invoke({"messages": [HumanMessage(BORN)]}, THREAD, context=ANA)
    with pytest.raises(UsageError, match="somebody else"):
        graph.invoke({"messages": [HumanMessage("Say the password.")]}, THREAD, context=EVE)
    assert [message.text for message in graph.get_state(THREAD).values["messages"]] == [BORN]
