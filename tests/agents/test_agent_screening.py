"""A guard around the agent: what it blocks or changes leaves by no side door."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from agent_kit import ANSWER, QUESTION, TEXTS, Guarding, ToolModel, asked, books, calling, model, no_evil
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver

from ragloom.agents.agent import GroundednessMiddleware, ScreeningMiddleware, rag_agent
from ragloom.guarding import Finding

BOTH = pytest.mark.parametrize("mode", ["tools", "json"])
AWAITED = pytest.mark.parametrize("awaited", [False, True])
BORN = "Where was Jane Austen born?"
ONCE = [("search", BORN), ("answer", ANSWER)]
THREAD: Any = {"configurable": {"thread_id": "1"}}


@tool(response_format="content_and_artifact")
def lookup(query: str) -> tuple[str, list[Document]]:
    """Looks up."""
    found = [Document(TEXTS["austen"], id="austen", metadata={"source": "x"})]
    return TEXTS["austen"], found


def at_output(judge: Any) -> Guarding:
    return Guarding(lambda stage, text: judge(text) if stage == "output" else "pass")


def without_town(text: str) -> Any:
    return Finding("change", text.replace("Steventon", "[town]"), rail="pii") if "Steventon" in text else "pass"


def ran(agent: Any, awaited: bool, messages: Any, config: Any = None) -> Any:
    given = {"messages": messages}
    return asyncio.run(agent.ainvoke(given, config)) if awaited else agent.invoke(given, config)


# -- the middleware: what comes in -------------------------------------------------------------------------------------


@AWAITED
def test_a_blocked_message_is_put_to_no_later_turn(awaited: bool) -> None:
    llm = ToolModel(replies=["Fine."])
    agent = create_agent(llm, [], middleware=[ScreeningMiddleware(Guarding(no_evil))], checkpointer=InMemorySaver())
    refused = ran(agent, awaited, [("user", "EVIL order")], THREAD)
    assert (refused["settled"], llm.calls) == ("refused", [])
    assert refused["messages"][-1].additional_kwargs["abstained"]
    assert "EVIL" not in str(refused["messages"])
    state = ran(agent, awaited, [("user", "Hello")], THREAD)
    assert [message.type for message in state["messages"]] == ["human", "ai", "human", "ai"]
    assert all("EVIL" not in prompt for prompt in llm.prompts())
    assert "Hello" in llm.prompts()[0]


@AWAITED
def test_every_message_that_nobody_answered_is_checked(awaited: bool) -> None:
    llm = ToolModel(replies=["Fine."])
    guard = Guarding(lambda stage, text: "block" if "EVIL" in text else Finding("change", text.replace("007", "[id]")))
    agent = create_agent(llm, [], middleware=[ScreeningMiddleware(guard, stages=["input"])])
    ours = HumanMessage("EVIL order", additional_kwargs={"lc_source": "ragloom-critique"})
    for hidden in (HumanMessage("EVIL order"), ours):
        for messages in ([hidden, HumanMessage("Hello")], [HumanMessage("Hello"), hidden]):
            state = ran(agent, awaited, messages)
            assert (state["settled"], llm.calls) == ("refused", [])
            assert "EVIL" not in str(state["messages"])
    ran(agent, awaited, [HumanMessage("I am 007."), HumanMessage("Hello, 007 asks.")])
    assert "007" not in llm.prompts()[0]
    assert llm.prompts()[0].count("[id]") == 2


# -- the middleware: what goes out -------------------------------------------------------------------------------------


def grounded(guard: Guarding, *replies: Any, **options: Any) -> Any:
    middleware: list[Any] = [ScreeningMiddleware(guard, stages=["output"]), GroundednessMiddleware(**options)]
    return create_agent(ToolModel(replies=list(replies)), [lookup], middleware=middleware)


@AWAITED
def test_nothing_is_left_of_an_answer_that_is_blocked(awaited: bool) -> None:
    agent = grounded(at_output(lambda text: "block"), calling("Jane", "lookup"), ANSWER)
    state = ran(agent, awaited, [("user", BORN)])
    last = state["messages"][-1]
    assert last.additional_kwargs == {"citations": [], "abstained": True}
    assert (state["draft"], state["settled"]) == ([], "refused")
    assert all(ANSWER not in str(message) for message in state["messages"] if message.type != "tool")


@AWAITED
def test_nothing_is_left_of_what_was_changed(awaited: bool) -> None:
    said = f"{ANSWER} The author Jane Austen was born in Hampshire."
    agent = grounded(at_output(without_town), calling("Jane", "lookup"), said)
    state = ran(agent, awaited, [("user", BORN)])
    last = state["messages"][-1]
    assert last.text == "Jane Austen was born in [town]. The author Jane Austen was born in Hampshire."
    assert "Steventon" not in str(last)
    kept = {(each["sentence"], each["quote"]) for each in last.additional_kwargs["citations"]}
    assert kept == {("The author Jane Austen was born in Hampshire.", "")}
    assert (state["draft"], last.additional_kwargs["abstained"]) == ([], False)


def test_a_quote_that_the_guard_blocks_is_not_shown() -> None:
    guard = at_output(lambda text: "block" if text == TEXTS["austen"] else "pass")
    state = ran(grounded(guard, calling("Jane", "lookup"), ANSWER), False, [("user", BORN)])
    assert state["messages"][-1].text == ANSWER
    assert [each["quote"] for each in state["messages"][-1].additional_kwargs["citations"]] == [""]
    assert state["draft"] == []


@AWAITED
def test_what_was_said_before_the_answer_is_screened(awaited: bool) -> None:
    first = calling("Jane", "lookup", text="EVIL thought")
    agent = grounded(at_output(lambda text: no_evil("", text)), first, f"{ANSWER} EVIL rules.", ANSWER)
    state = ran(agent, awaited, [("user", BORN)])
    assert (state["messages"][-1].text, state["messages"][-1].additional_kwargs["abstained"]) == (ANSWER, False)
    assert len(state["messages"][-1].additional_kwargs["citations"]) == 1
    assert "EVIL" not in str(state)
    assert [message.type for message in state["messages"]] == ["human", "ai", "tool", "ai", "human", "ai"]
    dropping = grounded(at_output(lambda text: no_evil("", text)), first, f"{ANSWER} EVIL rules.", unsupported="drop")
    state = ran(dropping, awaited, [("user", BORN)])
    assert state["messages"][-1].text == ANSWER
    assert "EVIL" not in str(state)


def test_citations_of_a_provider_are_left_alone() -> None:
    told = {"citations": ["https://example.org"]}
    agent = create_agent(
        ToolModel(replies=[AIMessage("Fine.", additional_kwargs=told)]),
        [],
        middleware=[ScreeningMiddleware(at_output(lambda text: "pass"))],
    )
    assert ran(agent, False, [("user", "Hello")])["messages"][-1].additional_kwargs["citations"] == told["citations"]


# -- the graph ---------------------------------------------------------------------------------------------------------


@BOTH
@AWAITED
def test_an_answer_that_is_withheld_shows_no_passages(mode: str, awaited: bool) -> None:
    graph = rag_agent(
        [books()], model(mode, *ONCE), guard=at_output(lambda text: "block"), checkpointer=InMemorySaver()
    )
    given = {"question": BORN}
    result = asyncio.run(graph.ainvoke(given, THREAD)) if awaited else graph.invoke(given, THREAD)
    assert (result["abstained"], result["documents"], result["citations"]) == (True, [], [])
    assert ANSWER not in str(result)
    assert ANSWER not in str(graph.get_state(THREAD).values)
    kept: Any = graph.checkpointer.get(THREAD)  # type: ignore[union-attr]
    assert (kept["channel_values"]["draft"], kept["channel_values"]["said"]) == ([], "")


@BOTH
def test_the_quotes_of_a_changed_sentence_are_not_shown(mode: str) -> None:
    graph = rag_agent([books()], model(mode, *ONCE), guard=at_output(without_town))
    result = graph.invoke({"question": BORN})
    assert (result["answer"], result["abstained"]) == ("Jane Austen was born in [town].", False)
    assert [(each["id"], each["quote"]) for each in result["citations"]] == [("austen", "")]
    assert "Steventon" not in str([result["messages"][-1], result["steps"], result["citations"]])


@BOTH
def test_a_quote_is_screened_beside_its_sentence(mode: str) -> None:
    guard = at_output(lambda text: "block" if text == TEXTS["austen"] else "pass")
    result = rag_agent([books()], model(mode, *ONCE), guard=guard).invoke({"question": BORN})
    assert result["answer"] == ANSWER
    assert [each["quote"] for each in result["citations"]] == [""]


@BOTH
def test_sentences_that_no_guard_has_seen_stand_in_no_step(mode: str) -> None:
    said = ("answer", f"{ANSWER} Her secret number is 4711.")
    result = asked(model(mode, ONCE[0], said), unsupported="drop", guard=Guarding(no_evil))
    assert result["answer"] == ANSWER
    assert "4711" not in str(result["steps"])
    assert result["steps"][-1]["reason"] == "1 of 2 sentences have no support in the passages"
    assert "4711" in str(asked(model(mode, ONCE[0], said), unsupported="drop")["steps"])  # nobody hides anything


def test_a_reply_that_no_guard_has_seen_stands_in_no_step() -> None:
    result = asked(model("json", "Her secret number is 4711.", ANSWER), question=QUESTION, guard=Guarding(no_evil))
    assert "4711" not in str(result["steps"])
    assert "the reply is no decision" in str(result["steps"])
