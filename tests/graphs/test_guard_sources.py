"""A guard around sources and paths that are under none themselves: tools, and strategies of somebody else's."""

from __future__ import annotations

from typing import Any

import pytest
from guarded_kit import LEAK, POISON, SECRET, Agrees, MarkedShelf, Watch, raw_tokens, sentences, streamed
from langchain_core.runnables import RunnableLambda
from strategy_kit import GOOD, QUESTION

from ragloom.agents.auto import auto_rag
from ragloom.agents.sources import Source, routed_rag
from ragloom.agents.sources.route import SourceRoute
from ragloom.agents.tasks import task_rag
from ragloom.graphs import naive_rag
from ragloom.graphs.common.screening import WITHHELD
from ragloom.testing import FakeChatModel

ASKED = {"question": QUESTION}


class Always:
    """A router that knows one source."""

    def __init__(self, name: str) -> None:
        self.labels = [name]

    def route(self, question: str) -> SourceRoute:
        return SourceRoute(tuple(self.labels))

    async def aroute(self, question: str) -> SourceRoute:
        return self.route(question)


def routed(answers: Any, llm: Any) -> Any:
    return routed_rag([Source("other", "Leave.", answers)], llm, router=Always("other"), critic=Agrees(), guard=Watch())


def unguarded(said: str) -> Any:
    return naive_rag(MarkedShelf("poison.md", "leave.md"), FakeChatModel(replies=[said]), critic=Agrees())


def test_what_a_tool_gives_is_screened() -> None:
    llm = FakeChatModel(replies=[GOOD])
    tool: Any = RunnableLambda(lambda question: [f"{POISON} rules.", f"Leave is 25 days, says {SECRET}."])
    result, chunks = streamed(routed(tool, llm), ASKED)
    assert (result["answer"], result["abstained"]) == (GOOD, False)
    assert [document.page_content for document in result["documents"]] == ["Leave is 25 days, says [gone]."]
    for planted in (POISON, SECRET):
        assert planted not in str([llm.prompts(), result, chunks])


@pytest.mark.parametrize("said", [f"It is {LEAK}.", f"{GOOD} It is {LEAK}."])
def test_nothing_is_left_of_the_answer_of_a_strategy_that_is_blocked(said: str) -> None:
    for graph in (routed(unguarded(said), FakeChatModel()), tasks(unguarded(said))):
        result, chunks = streamed(graph, ASKED)
        assert (result["answer"], result["abstained"]) == (WITHHELD, True)
        assert (result["documents"], result["citations"], sentences(chunks)) == ([], [], [])
        assert LEAK not in str([result, chunks])
        assert POISON not in str([result, chunks])
        assert raw_tokens(chunks) == []


def test_the_answer_of_a_strategy_goes_out_when_it_has_passed() -> None:
    for graph in (routed(unguarded(GOOD), FakeChatModel()), tasks(unguarded(GOOD))):
        result, chunks = streamed(graph, ASKED)
        assert (result["answer"], sentences(chunks)) == (GOOD, [GOOD])
        assert [document.id for document in result["documents"]] == ["leave.md"]
        assert result["citations"] == []  # the passage that it cites is in quarantine
        assert POISON not in str([result, chunks])


def tasks(path: Any) -> Any:
    return task_rag(MarkedShelf("leave.md"), FakeChatModel(), paths={"fact": path}, guard=Watch())


def test_strategies_under_one_guard_ask_it_about_the_question_once() -> None:
    guard = Watch()
    streamed(task_rag(MarkedShelf("leave.md"), FakeChatModel(replies=[GOOD]), guard=guard), ASKED)
    assert [stage for stage, _ in guard.checked].count("input") == 1


def test_auto_admits_the_question_before_any_path() -> None:
    shelf = MarkedShelf("leave.md")
    cheap = naive_rag(shelf, FakeChatModel(replies=[GOOD]))
    result, _ = streamed(auto_rag(cheap, {"again": cheap}, guard=Watch()), {"question": "Kxevil?"})
    assert (result["answer"], shelf.asked) == (WITHHELD, [])
