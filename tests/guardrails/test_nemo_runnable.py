"""Graphs behind NeMo: `RunnableRails` around one, `GuardedRunnable`, and a strategy with the guard inside."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("nemoguardrails", reason="needs ragloom[guardrails]")

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from nemo_kit import WordRail
from nemoguardrails import RailsConfig
from nemoguardrails.integrations.langchain.runnable_rails import RunnableRails

from ragloom.errors import UsageError
from ragloom.graphs import build_strategy, naive_rag
from ragloom.guardrails.nemo import GuardedRunnable, NeMoGuard, copy_config, rail_action
from ragloom.testing import FakeChatModel

CLOSED = "There are 25 forbidden days of leave."
REFUSED = "I'm sorry, I can't respond to that."
ASKED = {"question": "How many days?"}
BAD = {"question": "A forbidden question?"}


class OneText(BaseRetriever):
    """Finds the same passage whatever it is asked."""

    def __init__(self, text: str = "There are 25 days of leave.") -> None:
        self.text = text
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        node = TextNode(id_="one", text=self.text, metadata={"source": "leave.md"})
        return [NodeWithScore(node=node, score=1.0)]


@pytest.fixture(scope="module")
def guard() -> NeMoGuard:
    return NeMoGuard(rails=[WordRail()])


def model(answer: str = "There are 25 days of leave [1].") -> FakeChatModel:
    return FakeChatModel(replies=[answer])


async def all_ways(runnable: Any, given: Any) -> list[Any]:
    """What a runnable gives by each way of calling it."""
    return [
        runnable.invoke(given),
        await runnable.ainvoke(given),
        *runnable.batch([given, given]),
        *await runnable.abatch([given, given]),
    ]


@pytest.fixture
def rails(tmp_path: Any) -> Any:
    """`RunnableRails` as our documentation shows it, around a graph."""
    copy_config(tmp_path)

    def around(graph: Any) -> Any:
        runnable = RunnableRails(
            RailsConfig.from_path(str(tmp_path)),
            runnable=graph.pick("answer"),
            input_key="question",
            output_key="answer",
        )
        runnable.rails.register_action(rail_action([WordRail()]), "ragloom_rail")
        return runnable

    return around


def test_runnable_rails_around_a_graph(rails: Any) -> None:
    llm = model()
    runnable = rails(naive_rag(OneText(), llm))
    assert runnable.invoke(ASKED) == "There are 25 days of leave."
    assert runnable.batch([ASKED, BAD]) == ["There are 25 days of leave.", {"answer": REFUSED}]
    assert len(llm.calls) == 2  # a blocked question never reaches the graph


async def test_runnable_rails_awaited(rails: Any) -> None:
    runnable = rails(naive_rag(OneText(CLOSED), model(f"{CLOSED} [1]")))
    assert await runnable.ainvoke(ASKED) == REFUSED  # the answer is replaced
    assert await runnable.abatch([BAD, BAD]) == [{"answer": REFUSED}] * 2


async def test_a_question_and_an_answer_that_pass(guard: NeMoGuard) -> None:
    graph = naive_rag(OneText(), model())
    plain = graph.invoke(ASKED)
    for output in await all_ways(GuardedRunnable(graph, guard), ASKED):
        assert set(output) == set(plain)
        assert (output["answer"], output["citations"]) == (plain["answer"], plain["citations"])


async def test_a_blocked_question_never_reaches_the_graph(guard: NeMoGuard) -> None:
    llm = model()
    guarded = GuardedRunnable(naive_rag(OneText(), llm), guard)
    for output in await all_ways(guarded, BAD):
        assert (output["answer"], output["abstained"], output["citations"]) == (REFUSED, True, [])
        assert output["steps"][0]["node"] == "guard_input"
        assert "forbidden question" not in str(output)
    assert [output["answer"] for output in guarded.stream(BAD)] == [REFUSED]
    assert [output["answer"] async for output in guarded.astream(BAD)] == [REFUSED]
    assert not llm.calls


async def test_a_changed_question_reaches_the_graph_as_changed(guard: NeMoGuard) -> None:
    llm = model()
    for _ in await all_ways(GuardedRunnable(naive_rag(OneText(), llm), guard), {"question": "My secret?"}):
        assert "My ***?" in str(llm.calls[-1])
        assert "secret" not in str(llm.calls[-1])


async def test_a_blocked_answer_is_nowhere_in_the_output(guard: NeMoGuard) -> None:
    guarded = GuardedRunnable(naive_rag(OneText(CLOSED), model(f"{CLOSED} [1]")), guard)
    for output in await all_ways(guarded, ASKED):
        assert (output["answer"], output["abstained"]) == (REFUSED, True)
        assert "25 forbidden" not in str(output)
        assert output["usage"]["calls"] == 1
    assert [output["answer"] for output in guarded.stream(ASKED)] == [REFUSED]


async def test_a_changed_answer(guard: NeMoGuard) -> None:
    llm = model("There are 25 days of leave [1]. The secret door is open [1].")
    graph = naive_rag(OneText("There are 25 days of leave. The secret door is open."), llm)
    for output in await all_ways(GuardedRunnable(graph, guard), ASKED):
        assert output["answer"] == "There are 25 days of leave. The *** door is open."
        assert [citation["sentence"] for citation in output["citations"]] == ["There are 25 days of leave."]
        assert "messages" not in output


def test_what_it_does_not_take(guard: NeMoGuard) -> None:
    guarded = GuardedRunnable(naive_rag(OneText(), model()), guard)
    for given in ({"messages": [HumanMessage("How many?")]}, {}, "How many?", {"question": 3}):
        with pytest.raises(UsageError, match="takes a `question`"):
            guarded.invoke(given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="no stream modes"):
        list(guarded.stream(ASKED, stream_mode="updates"))


def test_calls_keep_their_own_threads(guard: NeMoGuard) -> None:
    graph = naive_rag(OneText(), model(), checkpointer=InMemorySaver())
    configs: list[Any] = [{"configurable": {"thread_id": name}} for name in ("a", "b", "c")]
    questions = [{"question": f"How many of {name}?"} for name in "abc"]
    GuardedRunnable(graph, guard).batch(questions, configs)
    for config, question in zip(configs, questions, strict=True):
        assert graph.get_state(config).values["question"] == question["question"]


@pytest.mark.parametrize("name", ["naive", "corrective", "self-rag", "fusion", "speculative", "multi-hop"])
async def test_around_any_strategy(guard: NeMoGuard, name: str) -> None:
    llm = model()
    guarded = GuardedRunnable(build_strategy(name, OneText(), llm), guard)
    assert (await guarded.ainvoke(BAD))["answer"] == REFUSED
    assert not llm.calls


async def test_inside_of_a_strategy(guard: NeMoGuard) -> None:
    llm = model()
    graph = naive_rag(OneText(), llm, guard=guard)
    assert graph.invoke(ASKED)["answer"] == "There are 25 days of leave."
    assert (await graph.ainvoke(ASKED))["answer"] == "There are 25 days of leave."
    calls = len(llm.calls)
    assert (await graph.ainvoke(BAD))["abstained"]
    assert len(llm.calls) == calls
    poisoned = naive_rag(OneText(CLOSED), llm, guard=guard)
    assert "forbidden" not in str((await poisoned.ainvoke(ASKED))["documents"])
