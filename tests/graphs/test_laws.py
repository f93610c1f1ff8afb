"""What holds of every strategy, whatever its models say: it ends within its budget with an answer or an abstention.

RAGLOOM_LAW_RUNS says how many runs of each strategy (40 by default; 2000 takes half an hour).
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from law_kit import OPTIONS, SAYINGS, MoodyCritic, budgets, shelves
from strategy_kit import QUESTION, Shelf, check, moody, within

from ragloom.graphs import STRATEGIES, build_strategy
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

RUNS = int(os.environ.get("RAGLOOM_LAW_RUNS", "40"))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), budget=budgets, shelf=shelves, window=st.sampled_from([300, 8192]))
@settings(max_examples=RUNS, deadline=None)
def test_every_run_ends_within_its_budget(
    strategy: str, seed: int, budget: Budget, shelf: tuple[str, ...], window: int
) -> None:
    llm = FakeChatModel(replies=moody(seed, *SAYINGS), max_tokens=200, context_window=window)
    parts: dict[str, Any] = {} if strategy == "closed-book" else {"critic": MoodyCritic(seed)}
    options = OPTIONS.get(strategy, lambda _: {})(seed)
    own = {"budget": budget, "max_answer_tokens": 60, "checkpointer": InMemorySaver()}
    graph = build_strategy(strategy, Shelf(*shelf), llm, **own, **parts, **options)
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 60}
    asked = {"question": QUESTION}
    result = asyncio.run(graph.ainvoke(asked, thread)) if seed % 2 else graph.invoke(asked, thread)
    check(result)
    within(result, budget)
    assert len(llm.calls) == result["usage"]["calls"]
    state = graph.get_state(thread).values
    assert state["question"] == QUESTION
    assert state["hops"] <= budget.hops
    if not result["abstained"] and not result["citations"]:  # the model alone was asked, and that is said
        assert state["hops"] == 0
        assert any("nothing was checked" in step["reason"] for step in result["steps"])
