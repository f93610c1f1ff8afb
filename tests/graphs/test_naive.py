"""Naive RAG through its graph: citations that hold, abstaining, streaming, threads, limits, any reply whatsoever."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore
from strategy_kit import GOOD, QUESTION, Shelf
from strategy_kit import check as check_any

from ragloom.errors import UsageError
from ragloom.graphs import build_strategy, naive_rag
from ragloom.graphs.drawing import mermaid, png
from ragloom.testing import FakeChatModel
from ragloom.types import Budget


def ask(*replies: Any, names: tuple[str, ...] = ("leave.md", "travel.md"), **options: Any) -> dict[str, Any]:
    llm = FakeChatModel(replies=list(replies), **options)
    result: dict[str, Any] = naive_rag(Shelf(*names), llm).invoke({"question": QUESTION})
    return result


def check(result: dict[str, Any]) -> None:
    """What must hold of every result."""
    check_any(result)
    assert result["abstained"] == (not result["citations"])
    assert [step["node"] for step in result["steps"]] == ["retrieve", "read", "cite"]


def test_an_answer_with_its_citation() -> None:
    result = ask(GOOD)
    check(result)
    assert result["answer"] == GOOD
    assert not result["abstained"]
    assert {citation["source"] for citation in result["citations"]} == {"leave.md"}
    assert "25 days" in result["citations"][0]["quote"]
    assert result["usage"]["calls"] == 1
    assert result["usage"]["tokens_in"] > 0 < result["usage"]["tokens_out"]
    assert set(result) == {"answer", "abstained", "citations", "documents", "error", "steps", "usage", "messages"}


def test_unsupported_sentences_are_dropped_and_said() -> None:
    result = ask(f"{GOOD} The unicorn allowance is 900 dollars.")
    check(result)
    assert result["answer"] == GOOD
    assert result["steps"][-1]["details"]["dropped"] == ["The unicorn allowance is 900 dollars."]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " \n ",
        "I don't know.",
        "I do not know the answer.",
        "The passages do not mention it.",
        "Employees get 30 days of annual leave.",
        "Paris is the capital of France.",
        "[1]",
        "...",
        "\x00\x01\x02",
    ],
)
def test_abstains(reply: str) -> None:
    result = ask(reply)
    check(result)
    assert result["abstained"]
    assert [document.metadata["source"] for document in result["documents"]] == ["leave.md", "travel.md"]


@pytest.mark.parametrize("reply", ["25.", "- 25", "1. 25 days", "1.\n25 days"])
def test_a_bare_number_is_an_answer_and_no_mark_of_a_list(reply: str) -> None:
    assert "25" in ask(reply, names=("leave.md",))["answer"]


def test_marks_that_the_model_writes_are_taken_off() -> None:
    assert ask("Employees get 25 days of annual leave [7].")["answer"] == GOOD


def test_nothing_retrieved_asks_no_model() -> None:
    llm = FakeChatModel(replies=[GOOD])
    result = naive_rag(Shelf(), llm).invoke({"question": QUESTION})
    check(result)
    assert (result["abstained"], result["usage"]["calls"], llm.calls) == (True, 0, [])


def test_passages_that_do_not_fit_are_left_out_whole_and_said() -> None:
    llm = FakeChatModel(replies=[GOOD], context_window=500)
    result = naive_rag(Shelf("long.md", "leave.md"), llm).invoke({"question": QUESTION})
    check(result)
    read = result["steps"][1]
    assert read["details"]["left_out"] == ["long.md"]
    assert "1 passages left out whole" in read["reason"]
    assert "canteen" not in llm.prompts()[0]
    assert [document.id for document in result["documents"]] == ["leave.md"]


@pytest.mark.parametrize("tokens", [300, 400, 600, 1200])
def test_the_prompt_keeps_to_the_budget(tokens: int) -> None:
    llm = FakeChatModel(replies=[GOOD])
    graph = naive_rag(
        Shelf("long.md", "leave.md", "travel.md"), llm, budget=Budget(tokens=tokens), max_answer_tokens=100
    )
    check(graph.invoke({"question": QUESTION}))
    for call, options in zip(llm.calls, llm.options, strict=True):
        assert llm.get_num_tokens_from_messages(call) + options["max_tokens"] <= tokens


def test_what_is_streamed_is_the_answer() -> None:
    llm = FakeChatModel(
        replies=[f"{GOOD} The moon is made of cheese. Leave that is carried over is taken by 31 March."]
    )
    graph = naive_rag(Shelf("leave.md"), llm)
    sentences, result = [], {}
    for kind, part in graph.stream({"question": QUESTION}, stream_mode=["custom", "values"]):
        if kind == "custom":
            sentences.append(part)
        else:
            result = part
    check(result)
    assert " ".join(item["text"] for item in sentences) == result["answer"]
    assert [citation for item in sentences for citation in item["citations"]] == result["citations"]


def test_sentences_come_before_the_model_has_finished() -> None:
    llm = FakeChatModel(replies=[f"{GOOD} And then it talks " + "on and on " * 50])
    events = naive_rag(Shelf("leave.md"), llm).stream({"question": QUESTION}, stream_mode=["custom", "updates"])
    kinds = [(kind, next(iter(part)) if kind == "updates" else part["text"]) for kind, part in events]
    assert kinds.index(("custom", GOOD)) < kinds.index(("updates", "read"))


async def test_async_does_what_sync_does() -> None:
    def graph() -> Any:
        return naive_rag(Shelf("leave.md", "travel.md"), FakeChatModel(replies=[f"{GOOD} Nonsense."]))

    there, here = await graph().ainvoke({"question": QUESTION}), graph().invoke({"question": QUESTION})
    check(there)
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]
    assert {k: v for k, v in there["usage"].items() if k != "seconds"} == {
        k: v for k, v in here["usage"].items() if k != "seconds"
    }


def test_a_conversation_as_input() -> None:
    shelf = Shelf("leave.md")
    graph = naive_rag(shelf, FakeChatModel(replies=[GOOD]))
    result = graph.invoke({"messages": [HumanMessage("Hello"), AIMessage("Hi."), HumanMessage(QUESTION)]})
    assert shelf.asked == [QUESTION]
    assert result["messages"][-1].text == GOOD
    assert result["messages"][-1].additional_kwargs["citations"] == result["citations"]


@pytest.mark.parametrize(
    "given_", [{"question": ""}, {"question": " \n"}, {"messages": []}, {"messages": [AIMessage("x")]}]
)
def test_no_question(given_: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="there is no question"):
        naive_rag(Shelf("leave.md"), FakeChatModel()).invoke(given_)


def test_turns_of_a_thread_do_not_leak_into_each_other() -> None:
    llm = FakeChatModel(replies=[GOOD, "I don't know."])
    graph = naive_rag(Shelf("leave.md"), llm, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    first = graph.invoke({"messages": [HumanMessage(QUESTION)]}, thread)
    second = graph.invoke({"messages": [HumanMessage("What is the salary of the chief?")]}, thread)
    check(first)
    check(second)
    assert (first["abstained"], second["abstained"]) == (False, True)
    assert second["citations"] == []
    assert second["usage"]["calls"] == 1
    assert len(second["messages"]) == 4
    other = graph.invoke({"question": QUESTION}, {"configurable": {"thread_id": "2"}})
    assert len(other["messages"]) <= 2


def test_the_question_of_a_thread_is_the_new_one() -> None:
    """A `question` of the first turn must not answer the second turn's message."""
    shelf = Shelf("leave.md")
    graph = naive_rag(shelf, FakeChatModel(replies=[GOOD]), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"question": QUESTION}, thread)
    graph.invoke({"messages": [HumanMessage("And in Austria?")]}, thread)
    graph.invoke({"messages": [HumanMessage("And in Leeds?")]}, thread)
    graph.invoke({"question": "And in Lisbon?"}, thread)
    assert shelf.asked == [QUESTION, "And in Austria?", "And in Leeds?", "And in Lisbon?"]


@pytest.mark.parametrize("options", [{"mode": "error"}, {"replies": [ConnectionError("gone")]}])
def test_a_failing_model_is_told(options: dict[str, Any]) -> None:
    result = naive_rag(Shelf("leave.md"), FakeChatModel(**options)).invoke({"question": QUESTION})
    check(result)
    assert "the model server cannot be reached" in result["error"]
    assert result["error"] in result["answer"]
    assert result["steps"][-1]["reason"] == "the language model failed"


def test_what_was_said_before_a_failure_counts() -> None:
    result = ask(f"{GOOD} And then there is more of it to say. And more still, and yet more.", mode="error")
    check(result)
    assert (result["answer"], result["abstained"]) == (GOOD, False)
    assert result["error"]


def test_a_failing_critic_shows_nothing() -> None:
    class Broken:
        threshold = 0.5

        def support(self, sentence: str, question: str, passages: Any) -> Any:
            raise RuntimeError("out of memory")

    result = naive_rag(Shelf("leave.md"), FakeChatModel(replies=[GOOD]), critic=Broken()).invoke({"question": QUESTION})
    check(result)
    assert result["abstained"]
    assert "the critic failed: RuntimeError: out of memory" in result["steps"][1]["reason"]


def test_a_model_without_end_is_stopped() -> None:
    result = ask("word", names=("leave.md",), mode="repeat", max_tokens=100_000)
    check(result)
    assert result["abstained"]


def test_rerankers() -> None:
    class Reverse(BaseNodePostprocessor):
        def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: Any = None) -> list[NodeWithScore]:
            return nodes[::-1]

    llm = FakeChatModel(replies=[GOOD])
    result = naive_rag(Shelf("leave.md", "travel.md"), llm, reranker=Reverse()).invoke({"question": QUESTION})
    assert [document.id for document in result["documents"]] == ["travel.md", "leave.md"]
    assert result["steps"][1]["reason"] == "by Reverse"


SNAPSHOT = Path(__file__).with_name("naive.mermaid")


def test_the_shape_of_the_graph() -> None:
    """A changed edge is a visible difference: write the new shape to the file if it is meant."""
    assert mermaid("naive").strip() == SNAPSHOT.read_text(encoding="utf-8").strip()


def test_a_picture_of_the_graph() -> None:
    pytest.importorskip("matplotlib")
    assert png("naive").startswith(b"\x89PNG")


def test_unknown_strategies_are_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'naive'"):
        build_strategy("naiv", Shelf(), FakeChatModel())


_pieces = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            GOOD,
            " ",
            "\n",
            "[1]",
            "[2, 3]",
            "I don't know.",
            "165 euros",
            "- ",
            "| a | b |",
            "</s>",
            "Vienna. ",
            '{"a": 1}',
        ]
    ),
)


@given(reply=st.lists(_pieces, max_size=12).map("".join), mode=st.sampled_from(["none", "garbage", "malformed_json"]))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_reply_ends_with_an_answer_or_an_abstention(reply: str, mode: Any) -> None:
    shelf = Shelf("leave.md", "travel.md")
    graph = naive_rag(shelf, FakeChatModel(replies=[reply], mode=mode, max_tokens=200), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    check(graph.invoke({"question": QUESTION}, thread))
    assert graph.get_state(thread).values["question"] == QUESTION
    assert shelf.asked == [QUESTION]


# -- prompts -----------------------------------------------------------------------------------------------------------


def ask_with(prompt: str) -> str:
    llm = FakeChatModel(replies=["25 days."])
    naive_rag(Shelf("leave.md"), llm, prompt=prompt).invoke({"question": "How many days of leave?"})
    return llm.prompts()[0]


def test_the_short_prompt_asks_for_the_bare_answer() -> None:
    assert "fewest words" in ask_with("short")
    assert "fewest words" not in ask_with("read")


def test_a_prompt_of_the_users_own() -> None:
    text = "--- user\n{% for passage in passages %}{{ passage.text }}{% endfor %} Frage: {{ question }}\n"
    Path("mine.jinja").write_text(text)
    assert ask_with("mine.jinja").endswith("Frage: How many days of leave?")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no prompt 'mine.jinja' (use read, read-guarded, short, or the path"),
        ("no message", "has no message"),
        ("--- user\n{{ passage }}", "'passage' is undefined"),
        ("--- user\n{% if %}", "is wrong"),
    ],
)
def test_a_bad_prompt_is_named(text: str | None, message: str) -> None:
    if text is not None:
        Path("mine.jinja").write_text(text)
    with pytest.raises(UsageError, match=re.escape(message)):
        ask_with("mine.jinja")


@pytest.mark.parametrize(
    "text",
    [
        "{{ cycler.__init__.__globals__.os.popen('echo x').read() }}",
        "{{ question.__class__.__mro__ }}",
        "{{ passages.clear() }}",
        "{{ 1 / 0 }}",
    ],
)
def test_a_prompt_runs_no_code(text: str) -> None:
    Path("mine.jinja").write_text(f"--- user\n{text}")
    with pytest.raises(UsageError, match=r"the prompt 'mine\.jinja' is wrong"):
        ask_with("mine.jinja")
