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


AT_ONCE = 3
"""Calls of one node beside each other, over two passages: a node that was killed is done again as a whole."""


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
    graph, thread, whole_shelf, counter = run(strategy, None)
    whole = graph.invoke({"question": QUESTION}, thread)
    check(whole)
    for at in range(1, counter.calls + 1):
        graph, thread, shelf, killer = run(strategy, at)
        with pytest.raises(Killed):
            graph.invoke({"question": QUESTION}, thread)
        result = graph.invoke(None, thread)
        check(result)
        for key in ("answer", "abstained", "citations"):
            assert result[key] == whole[key]
        assert [step["node"] for step in result["steps"]] == [step["node"] for step in whole["steps"]]
        again = killer.calls - counter.calls  # beside what an unbroken run asks
        assert 1 <= again <= AT_ONCE, "what was done before the node that was killed is asked for again"
        assert sorted(shelf.asked) == sorted(whole_shelf.asked)  # no search is done twice
