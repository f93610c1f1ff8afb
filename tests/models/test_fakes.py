"""The test kit's own laws, and LangChain's standard tests over the fake chat model."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_tests.unit_tests import ChatModelUnitTests
from pydantic import BaseModel

from ragloom.models import context_window, count_tokens
from ragloom.testing import FakeChatModel, HashEmbedding


class TestFakeStandard(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return FakeChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"replies": ["ok"]}


class City(BaseModel):
    name: str
    big: bool


def test_replies_cycle_and_calls_are_recorded() -> None:
    llm = FakeChatModel(replies=["one", "two"])
    assert [llm.invoke(q).content for q in ("a", "b", "c")] == ["one", "two", "one"]
    assert llm.prompts() == ["a", "b", "c"]
    assert FakeChatModel(replies=lambda messages: messages[-1].content.upper()).invoke("hi").content == "HI"


def test_streams_word_by_word_in_sync_and_async() -> None:
    llm = FakeChatModel(replies=["Paris is big [1].\n\nYes."])
    pieces = [chunk.content for chunk in llm.stream("q")]
    assert len(pieces) == 6

    async def collect() -> list[Any]:
        return [chunk.content async for chunk in llm.astream("q")]

    assert asyncio.run(collect()) == pieces
    assert "".join(pieces) == llm.invoke("q").content == "Paris is big [1].\n\nYes."


def test_usage_is_the_same_streamed_or_not() -> None:
    llm = FakeChatModel(replies=["three words here"])
    whole = None
    for chunk in llm.stream("a question"):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.usage_metadata == llm.invoke("a question").usage_metadata
    assert count_tokens(llm, "a question?") == 3
    assert context_window(llm) == 8192


@pytest.mark.parametrize("mode", ["empty", "malformed_json", "repeat", "garbage"])
def test_misbehaviour_is_the_same_streamed_or_not(mode: Any) -> None:
    def make() -> FakeChatModel:
        return FakeChatModel(replies=['{"name": "Paris", "big": true}'], mode=mode, max_tokens=30)

    text = make().invoke("q").content
    assert "".join(str(chunk.content) for chunk in make().stream("q")) == text
    with pytest.raises(Exception):  # noqa: B017 - whichever way the parser puts it, nonsense is refused
        make().with_structured_output(City).invoke("q")


def test_errors_come_at_once_or_half_way() -> None:
    llm = FakeChatModel(replies=["one two three four"], mode="error")
    with pytest.raises(ConnectionError):
        llm.invoke("q")
    seen = []
    with pytest.raises(ConnectionError):
        for chunk in llm.stream("q"):
            seen.append(chunk.content)  # noqa: PERF401 - a comprehension would lose what came before the error
    assert seen == ["one", " two"]
    with pytest.raises(TimeoutError):
        FakeChatModel(replies=[TimeoutError("late")]).invoke("q")


def test_slow_is_slow() -> None:
    start = time.perf_counter()
    FakeChatModel(replies=["a b c"], mode="slow", delay=0.05).invoke("q")
    assert time.perf_counter() - start > 0.14


def test_structured_output_and_tool_calls() -> None:
    assert FakeChatModel(replies=['{"name": "Paris", "big": true}']).with_structured_output(City).invoke("q") == City(
        name="Paris", big=True
    )
    call = AIMessage("", tool_calls=[{"name": "search", "args": {"q": "x"}, "id": "1", "type": "tool_call"}])
    llm = FakeChatModel(replies=[call])
    assert llm.invoke("q").tool_calls == call.tool_calls
    whole = None
    for chunk in llm.stream("q"):
        whole = chunk if whole is None else whole + chunk
    assert whole is not None
    assert whole.tool_calls == call.tool_calls


def test_stop_and_max_tokens() -> None:
    llm = FakeChatModel(replies=["one two END three"])
    assert llm.invoke("q", stop=["END"]).content == "one two "
    assert llm.invoke("q", max_tokens=2).content == "one two"
    assert llm.options[0] == {"stop": ["END"]}


def test_hash_embedding_is_stable_and_counts() -> None:
    embedder = HashEmbedding(size=64)
    first = embedder.embed(["a red fox", "stock prices"])
    assert (HashEmbedding(size=64).embed(["a red fox"])[0] == first[0]).all()
    assert embedder.embed_query("red fox") @ first[0] > embedder.embed_query("red fox") @ first[1]
    assert (embedder.embedded, embedder.queries) == (2, 2)
    assert abs(first[0].sum() - HashEmbedding(size=64, seed=1).embed(["a red fox"])[0].sum()) >= 0
    assert HashEmbedding(seed=1).fingerprint != HashEmbedding().fingerprint
