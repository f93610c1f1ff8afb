"""What holds of every strategy, whatever its models say: it ends within its budget with an answer or an abstention.

RAGLOOM_LAW_RUNS says how many runs of each strategy (60 by default; 2000 takes several minutes).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from strategy_kit import GOOD, QUESTION, Evaluator, Shelf, check, moody, moody_number, within

from ragloom.graphs import STRATEGIES, build_strategy
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

RUNS = int(os.environ.get("RAGLOOM_LAW_RUNS", "60"))
SAYINGS = [
    GOOD,
    "I don't know.",
    "Hotels in Vienna are paid up to 165 euros. Roses are watered at dawn.",
    "annual leave, employees, days",
    "Rationale: Full-time employees get 25 days of annual leave. [1]\nAnswer: 25 days",
    "1. How many days of leave?\n2. Who gets leave?\n3. Is leave carried over?",
]


class MoodyCritic:
    """Judges by dice; where it finds support, the quote is a real one."""

    threshold = 0.5

    def __init__(self, seed: int) -> None:
        from ragloom.graphs.common.support import OverlapCritic

        self._say, self._overlap = moody_number(seed), OverlapCritic()

    def support(self, sentence: str, question: str, passages: Any) -> Any:
        self._say()
        return self._overlap.support(sentence, question, passages)


def _corrective(seed: int) -> dict[str, Any]:
    web = Shelf("garden.md", "travel.md", prefix="web:") if seed % 3 else None
    trigger = ["paper", "any_irrelevant"][seed % 2]
    return {"evaluator": Evaluator(moody_number(seed)), "web": web, "trigger": trigger}


OPTIONS: dict[str, Callable[[int], dict[str, Any]]] = {"corrective": _corrective}
"""What a strategy needs beside retriever and model, by seed."""

budgets = st.builds(
    Budget,
    llm_calls=st.integers(0, 6),
    tokens=st.sampled_from([0, 200, 600, 2000, 16_000]),
    seconds=st.sampled_from([0.0, 60.0]),
    hops=st.integers(1, 3),
)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@given(
    seed=st.integers(0, 10**6),
    budget=budgets,
    shelf=st.sampled_from([(), ("leave.md",), ("long.md", "leave.md", "travel.md", "garden.md")]),
)
@settings(max_examples=RUNS, deadline=None)
def test_every_run_ends_within_its_budget(strategy: str, seed: int, budget: Budget, shelf: tuple[str, ...]) -> None:
    llm = FakeChatModel(replies=moody(seed, *SAYINGS), max_tokens=200)
    parts: dict[str, Any] = {} if strategy == "closed-book" else {"critic": MoodyCritic(seed)}
    options = OPTIONS.get(strategy, lambda _: {})(seed)
    graph = build_strategy(
        strategy,
        Shelf(*shelf),
        llm,
        budget=budget,
        max_answer_tokens=60,
        checkpointer=InMemorySaver(),
        **parts,
        **options,
    )
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 60}
    asked = {"question": QUESTION}
    result = asyncio.run(graph.ainvoke(asked, thread)) if seed % 2 else graph.invoke(asked, thread)
    check(result)
    within(result, budget)
    assert len(llm.calls) == result["usage"]["calls"]
    assert strategy == "closed-book" or result["abstained"] == (not result["citations"])
    assert graph.get_state(thread).values["question"] == QUESTION
    if strategy != "closed-book":
        rounds = graph.get_state(thread).values["hops"]
        assert rounds <= budget.hops
