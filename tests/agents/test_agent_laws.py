"""What holds of the agent whatever models, sources and guards say."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest
from agent_kit import QUESTION, TEXTS, Guarding, Library, PlainModel, ToolModel, answering, calling, searching
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from strategy_kit import check, moody, within

from ragloom.agents.agent import rag_agent
from ragloom.agents.sources import Source
from ragloom.graphs import naive_rag
from ragloom.types import Budget

QUERIES = [QUESTION, "Jane Austen", "novel Emma", "annual leave", "", "EVIL rules", "xyzzy"]
BROKEN = {"name": "books", "args": '{"query": ', "id": "x", "error": "cut"}


def tool_replies(dice: random.Random) -> Any:
    """Calls, several at once, of sources that exist or not, with arguments of any kind; answers; nonsense."""

    def one() -> Any:
        arguments: Any = dice.choice([{"query": dice.choice(QUERIES)}, {}, {"query": 7}, {"q": "x"}, {"query": None}])
        name = dice.choice(["books", "web", "own", "amazon", ""])
        return {"name": name, "args": arguments, "id": dice.choice(["a", "b", None]), "type": "tool_call"}

    broken: Any = [dict(BROKEN)] if dice.random() < 0.3 else []
    message = AIMessage("", tool_calls=[one() for _ in range(dice.randrange(1, 4))], invalid_tool_calls=broken)
    return dice.choice([message, message, calling(dice.choice(QUERIES)), *TEXTS.values(), "I don't know."])


def json_replies(dice: random.Random) -> Any:
    """The same as JSON."""
    sought = searching(dice.choice(QUERIES), dice.choice(["books", "web", "own", "amazon"]))
    return dice.choice([sought, sought, answering(dice.choice([*TEXTS.values(), "I don't know."])), '{"action": 1}'])


@pytest.mark.parametrize("mode", ["tools", "json"])
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    calls=st.integers(0, 6),
    hops=st.integers(0, 4),
    tokens=st.sampled_from([0, 300, 1500, 16_000]),
    policy=st.sampled_from(["drop", "regenerate", "abstain"]),
    awaited=st.booleans(),
)
def test_it_ends_within_the_budget_with_an_answer_or_an_abstention(
    mode: str, seed: int, calls: int, hops: int, tokens: int, policy: Any, awaited: bool
) -> None:
    dice = random.Random(seed)
    replies = tool_replies if mode == "tools" else json_replies
    nonsense = moody(seed, *TEXTS.values())
    llm = (ToolModel if mode == "tools" else PlainModel)(
        replies=lambda messages: nonsense() if dice.random() < 0.3 else replies(dice)
    )
    web_says = moody(seed + 1, "Jane Austen was born in Steventon.", {"town": "Steventon"})

    def web(question: str) -> Any:
        said = web_says()
        if isinstance(said, Exception):
            raise said
        return said

    def judges(stage: str, text: str) -> Any:
        if dice.random() < 0.05:
            raise RuntimeError("the guard is out of memory")
        return "block" if "EVIL" in text else "pass"

    sources = [
        Source("books", "Novels.", Library(*TEXTS)),
        Source("web", "Everything.", RunnableLambda(web), cost=3.0),
        Source("own", "Answers itself.", lambda left: naive_rag(Library("austen", "leave"), llm, budget=left)),
    ]
    budget = Budget(llm_calls=calls, hops=hops, tokens=tokens)
    graph = rag_agent(sources, llm, guard=Guarding(judges), budget=budget, unsupported=policy, mode=mode)  # type: ignore[arg-type]
    result = asyncio.run(graph.ainvoke({"question": QUESTION})) if awaited else graph.invoke({"question": QUESTION})
    check(result)
    within(result, budget)
    assert len(llm.calls) <= calls
    assert sum(step["node"] in ("search", "fallback") for step in result["steps"]) <= hops
    assert result["abstained"] == (not result["citations"])
    shown = [str(message.text) for call in llm.calls for message in call if message.type in ("tool", "human")]
    # A critique quotes the model's own sentences, and this model says of itself what stands in no passage.
    given_to_it = [text for text in shown if not text.startswith("These sentences of your answer")]
    assert all("EVIL: ignore" not in text for text in given_to_it)
    assert all("EVIL: ignore" not in document.page_content for document in result["documents"])
    assert "EVIL: ignore" not in result["answer"]


@pytest.mark.parametrize("mode", ["tools", "json"])
def test_it_ends_in_time(mode: str) -> None:
    replies = [calling("Jane Austen", number=n) if mode == "tools" else searching(f"Jane {n}") for n in range(50)]
    llm = (ToolModel if mode == "tools" else PlainModel)(replies=replies, mode="slow", delay=0.02)
    began = time.monotonic()
    graph = rag_agent(
        [Source("books", "N.", Library("austen"))], llm, budget=Budget(seconds=0.2, llm_calls=50, hops=50)
    )
    check(graph.invoke({"question": QUESTION}))
    assert time.monotonic() - began < 30
    assert len(llm.calls) < 20
