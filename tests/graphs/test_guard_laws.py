"""What holds of every strategy under a guard, whatever its models say and however the guard fails."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from guarded_kit import EVIL, LEAK, POISON, SECRET, Agrees, MarkedShelf, Watch, astreamed, raw_tokens, saying, streamed
from hypothesis import given, settings
from hypothesis import strategies as st
from law_kit import OPTIONS, SAYINGS, budgets
from strategy_kit import QUESTION, within

from ragloom.agents import STRATEGIES, build_strategy
from ragloom.graphs.transforms import DiverseRewrites, HyDE
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

RUNS = int(os.environ.get("RAGLOOM_LAW_RUNS", "40")) // 4
LEAKING = [
    f"Employees get {LEAK} days of annual leave.",
    f"1. How many days of annual leave, {LEAK}?\n2. Who is #1 of annual leave?",
    f"Rationale: Employees get 25 days of annual leave. [1]\nAnswer: {LEAK} days",
]
OTHERS = ["Compare hotels in Vienna and in Leeds.", "Sum up the rules for annual leave.", "Hello!", QUESTION]
shelves = st.sampled_from(
    [("poison.md",), ("leave.md",), ("poison.md", "leave.md", "secret.md", "travel.md"), ("secret.md", "garden.md")]
)


def built(strategy: str, seed: int, guard: Any, shelf: MarkedShelf, llm: Any, budget: Budget | None = None) -> Any:
    """The strategy with the parts of the laws, by seed."""
    parts: dict[str, Any] = {"budget": budget, "guard": guard, "max_answer_tokens": 60}
    if strategy != "closed-book":
        parts["critic"] = Agrees()
    if strategy not in ("closed-book", "agentic"):
        parts["transform"] = [None, None, DiverseRewrites(2), HyDE()][seed % 4]
    if strategy == "agentic":
        parts["mode"] = ["json", "tools"][seed % 2]
    if strategy == "auto":
        parts["evaluator"] = None
    options = OPTIONS.get(strategy, lambda _: {})(seed)
    if options.get("web"):
        options["web"] = MarkedShelf("poison.md", "travel.md", "leave.md", prefix="web:")
    return build_strategy(strategy, shelf, llm, **{**parts, **options})


def model(seed: int) -> FakeChatModel:
    return FakeChatModel(replies=saying(seed, *SAYINGS, *LEAKING * 6), max_tokens=200)


def question_of(strategy: str, seed: int) -> str:
    return OTHERS[seed % len(OTHERS)] if strategy == "tasks" else QUESTION


def told(result: dict[str, Any]) -> list[Any]:
    steps = [(step["node"], step["decision"], step["reason"]) for step in result["steps"]]
    documents = [(document.id, document.page_content) for document in result["documents"]]
    return [result["answer"], result["abstained"], result["citations"], documents, steps]


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), budget=budgets, shelf=shelves, trouble=st.sampled_from([0.0, 0.0, 0.3, 1.0]))
@settings(max_examples=RUNS, deadline=None)
def test_what_the_guard_blocks_leaves_by_no_door(
    strategy: str, seed: int, budget: Budget, shelf: tuple[str, ...], trouble: float
) -> None:
    llm, found = model(seed), MarkedShelf(*shelf)
    graph = built(strategy, seed, Watch(seed, trouble), found, llm, budget)
    asked = {"question": question_of(strategy, seed)}
    result, chunks = asyncio.run(astreamed(graph, asked)) if seed % 2 else streamed(graph, asked)
    prompts = "\n".join(llm.prompts())
    assert POISON not in prompts
    assert SECRET not in prompts
    out = str([result, chunks])
    assert POISON not in out
    assert SECRET not in out
    assert LEAK not in out
    assert raw_tokens(chunks) == []
    assert result["answer"]
    assert all(step["decision"] and step["reason"] for step in result["steps"]), result["steps"]
    within(result, budget)
    if trouble == 1.0:
        assert (result["abstained"], llm.calls, found.asked) == (True, [], [])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_blocked_question_reaches_no_retriever_and_no_model(strategy: str) -> None:
    for seed in (0, 1):
        shelf, llm = MarkedShelf("leave.md"), model(seed)
        graph = built(strategy, seed, Watch(), shelf, llm)
        for asked in ({"question": f"{QUESTION} {EVIL}"}, {"messages": [("user", f"{QUESTION} {EVIL}")]}):
            result, chunks = streamed(graph, asked)
            assert (result["abstained"], result["citations"], result["documents"]) == (True, [], [])
            assert (shelf.asked, llm.calls) == ([], [])
            assert "guard" in result["steps"][-1]["reason"]
            assert [one for mode, one in chunks if mode == "custom"] == []
            assert EVIL not in str([result["answer"], result["steps"]])


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@given(seed=st.integers(0, 10**6), shelf=shelves, trouble=st.sampled_from([0.0, 0.3]))
@settings(max_examples=max(1, RUNS // 3), deadline=None)
def test_async_does_what_sync_does(strategy: str, seed: int, shelf: tuple[str, ...], trouble: float) -> None:
    def graph() -> Any:
        return built(strategy, seed, Watch(seed, trouble), MarkedShelf(*shelf), model(seed))

    asked = {"question": question_of(strategy, seed)}
    assert told(graph().invoke(asked)) == told(asyncio.run(graph().ainvoke(asked)))
