"""What holds of routed RAG, whatever its router, its sources and its model say.

RAGLOOM_LAW_RUNS says how many runs (60 by default).
"""

from __future__ import annotations

import asyncio
import os
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableLambda
from langgraph.checkpoint.memory import InMemorySaver
from sources_kit import Broken, Fixed, document  # isort: split

from law_kit import SAYINGS, MoodyCritic, budgets
from strategy_kit import QUESTION, Shelf, check, moody, within

from ragloom.agents.sources import NONE, CascadeRouter, LLMRouter, Source, SourceRoute, routed_rag
from ragloom.graphs import naive_rag
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

RUNS = int(os.environ.get("RAGLOOM_LAW_RUNS", "60"))
NAMES = ("shelf", "empty", "broken", "strategy", "tool", "builder")
ROUTES = ['{"sources": ["shelf"]}', '{"sources": ["strategy", "tool"]}', '{"sources": [7]}', '{"sources": ["none"]}']
GARBAGE = [
    None,
    "",
    "text about 25 days of annual leave",
    [],
    [1, {"a": float("nan")}],
    object(),
    {"answer": 7, "documents": []},
    {"answer": "42", "documents": None, "citations": [{"id": "x", "quote": "y"}], "steps": None, "usage": {}},
    {"answer": "42", "documents": [document("a")], "steps": ["step"]},
    [Document("no id, no score"), Document("")],
    [document("leave.md", "another text with an id that is taken")],
    ToolMessage("gone", tool_call_id="1", status="error"),
]


def sources_of(seed: int, llm: Any) -> list[Source]:
    dice = random.Random(seed)
    garbage = dice.choice(GARBAGE)

    def built(budget: Budget) -> Any:
        if dice.random() < 0.2:
            raise RuntimeError("cannot be built")
        return naive_rag(Shelf("leave.md", "garden.md"), llm, budget=budget, max_answer_tokens=60)

    return [
        Source("shelf", "text", Shelf("leave.md", "travel.md")),
        Source("empty", "text", Shelf()),
        Source("broken", "text", Broken(dice.choice([ValueError("nonsense"), TimeoutError(), StopIteration()]))),
        Source("tool", "text", RunnableLambda(lambda question: garbage)),
        Source(
            "strategy", "text", lambda budget: naive_rag(Shelf("long.md"), llm, budget=budget, max_answer_tokens=60)
        ),
        Source("builder", "text", built),
    ]


def router_of(seed: int, sources: list[Source], llm: Any) -> Any:
    dice = random.Random(seed)
    names = tuple(dice.choices([*NAMES, NONE], k=dice.randrange(4)))
    gives = [
        SourceRoute(names),
        SourceRoute(names),
        SourceRoute((*names, "wiki")),
        SourceRoute((-1,)),  # type: ignore[arg-type]
        ValueError("the router is out of order"),
        "shelf",
        None,
    ]
    fixed = Fixed(gives=dice.choice(gives), labels=[*NAMES, NONE])
    return dice.choice([fixed, fixed, LLMRouter(sources, llm), CascadeRouter(fixed, LLMRouter(sources, llm))])


@given(
    seed=st.integers(0, 10**6),
    budget=budgets,
    window=st.sampled_from([300, 8192]),
    fallback=st.sampled_from([None, *NAMES]),
    strategy=st.sampled_from(["naive", "naive", naive_rag]),
    most=st.integers(1, 3),
)
@settings(max_examples=RUNS, deadline=None)
def test_every_run_ends_within_its_budget(
    seed: int, budget: Budget, window: int, fallback: str | None, strategy: Any, most: int
) -> None:
    llm = FakeChatModel(replies=moody(seed, *SAYINGS, *ROUTES), max_tokens=200, context_window=window)
    sources = sources_of(seed, llm)
    graph = routed_rag(
        sources,
        llm,
        router=router_of(seed, sources, llm),
        strategy=strategy,
        most_sources=most,
        fallback=fallback,
        merge="round_robin" if seed % 3 else "reciprocal_rank",
        budget=budget,
        max_answer_tokens=60,
        critic=MoodyCritic(seed),
        checkpointer=InMemorySaver(),
    )
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 60}
    asked = {"question": QUESTION}
    result = asyncio.run(graph.ainvoke(asked, thread)) if seed % 2 else graph.invoke(asked, thread)
    check(result)
    within(result, budget)
    assert len(llm.calls) == result["usage"]["calls"]
    state = graph.get_state(thread).values
    assert state["question"] == QUESTION
    assert state["hops"] <= budget.hops
    assert set(state["chosen"]) <= set(NAMES) and len(state["chosen"]) <= most
    assert all(each.metadata["source_name"] in state["chosen"] for each in result["documents"])
    if not result["abstained"] and not result["citations"]:  # nobody checked it, and that is said
        assert any("nothing was checked" in step["reason"] for step in result["steps"])
