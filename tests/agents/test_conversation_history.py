"""Turns from messages, within a budget of tokens; long threads summarised, or told to be cut."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from ragloom.agents.conversation import History, Summarised, Turn, summarise_thread
from ragloom.graphs.common.effects import node
from ragloom.graphs.common.purse import Purse
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

LONG = History(
    tuple(
        Turn(f"What is rule {n} of the handbook?", f"Rule {n} is about Vienna. " + "It is long. " * 20)
        for n in range(10)
    ),
    summary="The user is Ana.",
)


def summarise(history: History, llm: Any, budget: Budget | None = None, **options: Any) -> Summarised:
    """Sync and async, which must be the same."""

    def body(state: Any, step: Any) -> Any:
        purse = Purse(budget or Budget(), {})
        return {"made": (yield from summarise_thread(history, llm, purse, **options)), "usage": purse.usage}

    made = node("summarise", body).invoke({})["made"]
    assert asyncio.run(node("summarise", body).ainvoke({}))["made"] == made
    return made


def test_turns_from_messages() -> None:
    messages = [
        SystemMessage("Be short."),
        HumanMessage("Who is Ana?"),
        AIMessage("", tool_calls=[{"name": "search", "args": {}, "id": "1"}]),
        ToolMessage("Ana: Vienna", tool_call_id="1"),
        AIMessage("Ana works in Vienna."),
        HumanMessage("And Bo?"),
        AIMessage("I found nothing.", additional_kwargs={"abstained": True}),
        HumanMessage("Never answered"),
        HumanMessage("Where is she?"),
    ]
    history = History.from_messages(messages)
    assert history.turns == (Turn("Who is Ana?", "Ana works in Vienna."), Turn("And Bo?"), Turn("Never answered"))
    assert len(History.from_messages(messages[:-1]).turns) == 2
    assert History.from_messages([]).turns == ()
    later = History.from_messages(messages, summary="Ana was asked about.", summarised=1)
    assert later.turns == history.turns[1:]
    assert later.text().startswith("Earlier: Ana was asked about.\nUser: And Bo?")


@given(st.lists(st.text("ab ", min_size=1, max_size=12), max_size=8), st.integers(0, 60))
def test_the_newest_turns_that_fit(questions: list[str], tokens: int) -> None:
    history = History.of(questions)
    kept = history.newest(tokens, len)
    assert history.turns[len(history.turns) - len(kept.turns) :] == kept.turns
    assert sum(len(turn.text()) for turn in kept.turns) <= tokens
    if len(kept.turns) < len(history.turns):
        dropped = history.turns[len(history.turns) - len(kept.turns) - 1]
        assert sum(len(turn.text()) for turn in (dropped, *kept.turns)) > tokens


def test_what_fits_costs_nothing() -> None:
    llm = FakeChatModel()
    assert summarise(LONG, llm, most_tokens=100_000) == Summarised(LONG)
    assert not llm.calls


def test_the_oldest_turns_are_folded_into_the_summary() -> None:
    llm = FakeChatModel(replies=["Ana asked about rule 3. They are about Vienna. Her boss is Roberto. Rule 99 is new."])
    made = summarise(LONG, llm, most_tokens=400)
    assert made.history.summary == "Ana asked about rule 3. They are about Vienna."  # Roberto and 99 were never said
    assert made.history.turns == LONG.turns[made.folded :]
    assert 0 < made.folded < 10
    assert made.told == f"the {made.folded} oldest turns are summarised"
    assert "The user is Ana." in llm.prompts()[0]
    assert "rule 0" in llm.prompts()[0]
    again = summarise(made.history, FakeChatModel(mode="error"), most_tokens=400)
    assert again.told == "it fits"  # not with every turn


@pytest.mark.parametrize(
    ("llm", "budget", "why"),
    [
        (FakeChatModel(mode="error"), None, "hung up"),
        (FakeChatModel(mode="empty"), None, "no summary"),
        (FakeChatModel(mode="garbage"), None, "no summary"),
        (FakeChatModel(replies=["Roberto flew to Oslo in 1987."]), None, "no summary"),
        (FakeChatModel(replies=["I don't know."]), None, "no summary"),
        (FakeChatModel(), Budget(llm_calls=1), "budget of 1 calls"),
    ],
)
def test_a_failure_drops_the_oldest_turns_and_says_so(llm: Any, budget: Budget | None, why: str) -> None:
    made = summarise(LONG, llm, budget, most_tokens=400)
    assert made.history.turns == LONG.turns[made.folded :]
    assert made.history.summary == LONG.summary
    assert made.told.startswith(f"the {made.folded} oldest turns are dropped")
    assert why in made.told


def test_what_does_not_fit_the_window_is_told() -> None:
    llm = FakeChatModel(replies=["They are about Vienna."], context_window=450)
    made = summarise(LONG, llm, most_tokens=400)
    assert made.history.summary == "They are about Vienna."
    assert "did not fit the prompt and are dropped" in made.told
    assert len(llm.calls) == 2  # sync and async: none was refused
