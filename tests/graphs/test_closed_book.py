"""Closed book: the model alone, in the same clothes as every strategy."""

from __future__ import annotations

from typing import Any

import pytest

from ragloom.graphs import build_strategy, closed_book
from ragloom.testing import FakeChatModel

QUESTION = {"question": "What is the capital of France?"}


def test_answer() -> None:
    llm = FakeChatModel(replies=["Paris is the capital of France [1]. It lies on the Seine."])
    result = closed_book(None, llm).invoke(QUESTION)
    assert result["answer"] == "Paris is the capital of France. It lies on the Seine."
    assert result["abstained"] is False
    assert result["citations"] == result["documents"] == []
    assert result["usage"]["calls"] == 1
    assert result["usage"]["tokens_out"] > 0
    assert [step["node"] for step in result["steps"]] == ["answer"]
    assert "passage" not in llm.prompts()[0].lower()


@pytest.mark.parametrize(("reply", "reason"), [("I don't know.", "does not know"), ("", "said nothing")])
def test_abstains(reply: str, reason: str) -> None:
    result = closed_book(None, FakeChatModel(replies=[reply])).invoke(QUESTION)
    assert result["abstained"] is True
    assert result["answer"] == "I don't know."
    assert reason in result["steps"][0]["reason"]


async def test_async_gives_the_same() -> None:
    def graph() -> Any:
        return build_strategy("closed-book", None, FakeChatModel(replies=["Paris. On the Seine."]))

    sync, other = graph().invoke(QUESTION), await graph().ainvoke(QUESTION)
    assert (sync["answer"], sync["abstained"]) == (other["answer"], other["abstained"])


def test_streams_sentences() -> None:
    graph = closed_book(None, FakeChatModel(replies=["It is Paris. It lies on the Seine."]))
    told = list(graph.stream(QUESTION, stream_mode="custom"))
    assert [event["text"] for event in told] == ["It is Paris.", "It lies on the Seine."]


def test_in_a_conversation() -> None:
    result = closed_book(None, FakeChatModel(replies=["Paris."])).invoke({"messages": [("user", "Capital of France?")]})
    assert result["messages"][-1].text == "Paris."
