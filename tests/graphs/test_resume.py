"""A run that was killed goes on from its last node, in another process, and ends as it would have."""

from __future__ import annotations

from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from law_kit import OPTIONS
from strategy_kit import GOOD, QUESTION, Shelf, check

from ragloom.graphs import STRATEGIES, build_strategy
from ragloom.testing import FakeChatModel

READING = sorted(set(STRATEGIES) - {"closed-book"})


class Killed(BaseException):
    """What no strategy may catch, as a signal is."""


class Killer:
    """Says the same as ever, and kills the process once, with the call number `at`."""

    def __init__(self, at: int | None) -> None:
        self.at, self.calls = at, 0

    def __call__(self, messages: Any) -> str:
        self.calls += 1
        if self.calls == self.at:
            raise Killed
        return GOOD


def run(strategy: str, at: int | None) -> tuple[Any, Any, Any, Any]:
    """A graph with a killer for a model, its thread, the shelf and the killer."""
    saver, killer, shelf = InMemorySaver(), Killer(at), Shelf("leave.md", "travel.md")
    thread: Any = {"configurable": {"thread_id": "1"}}
    llm = FakeChatModel(replies=killer)
    return (
        build_strategy(strategy, shelf, llm, checkpointer=saver, **OPTIONS.get(strategy, lambda _: {})(6)),
        thread,
        shelf,
        killer,
    )


@pytest.mark.parametrize("strategy", READING)
def test_a_killed_run_goes_on(strategy: str) -> None:
    graph, thread, _, counter = run(strategy, None)
    whole = graph.invoke({"question": QUESTION}, thread)
    check(whole)
    for at in range(1, counter.calls + 1):
        graph, thread, shelf, killer = run(strategy, at)
        with pytest.raises(Killed):
            graph.invoke({"question": QUESTION}, thread)
        searched = len(shelf.asked)
        result = graph.invoke(None, thread)
        check(result)
        for key in ("answer", "abstained", "citations"):
            assert result[key] == whole[key]
        assert [step["node"] for step in result["steps"]] == [step["node"] for step in whole["steps"]]
        assert searched >= 1
        assert killer.calls >= counter.calls + 1 - 5  # what was done before is not asked for again, but for its node
