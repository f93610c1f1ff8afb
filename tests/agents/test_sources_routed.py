"""Routed RAG: where questions go, what several sources make together, and what happens where they fail."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import ToolException, tool
from langgraph.checkpoint.memory import InMemorySaver
from sources_kit import Broken, Fixed, nodes_of, shelves
from strategy_kit import GOOD, QUESTION, Evaluator, Shelf, check, mermaid_of, within

from ragloom.agents.sources import NONE, EmbeddingRouter, MergedRetriever, Source, SourceRoute, routed_rag
from ragloom.errors import ArtifactError, StoreError
from ragloom.graphs import as_tool, closed_book, corrective_rag, naive_rag
from ragloom.graphs.transforms import StepBack
from ragloom.testing import FakeChatModel, HashEmbedding
from ragloom.types import Budget

HOTELS = "Hotels in Vienna are paid up to 165 euros a night."
BOTH = "How many days of annual leave do employees get, and up to what are hotels in Vienna paid?"
READ = ["route", "ask", "merge", "read", "cite"]


def ask(
    *replies: Any, route: Any = ("leave",), sources: Any = None, question: str = QUESTION, **options: Any
) -> tuple[Any, FakeChatModel]:
    llm = FakeChatModel(replies=list(replies))
    given = shelves() if sources is None else sources
    names = [source.name for source in given]
    router = route if isinstance(route, Fixed) else Fixed(*route, labels=[*names, NONE])
    result = routed_rag(given, llm, router=router, **options).invoke({"question": question})
    check(result)
    return result, llm


def from_sources(result: Any) -> list[str]:
    return [document.metadata["source_name"] for document in result["documents"]]


def strategy(*replies: Any, shelf: Any = None, **options: Any) -> Any:
    return naive_rag(shelf or Shelf("leave.md"), FakeChatModel(replies=list(replies or [GOOD])), **options)


# -- retrievers --------------------------------------------------------------------------------------------------------


def test_one_source_is_retrieved_from_and_read() -> None:
    result, llm = ask(GOOD)
    assert (nodes_of(result), result["answer"], from_sources(result)) == (READ, GOOD, ["leave"])
    assert result["citations"][0]["source"] == "leave.md"
    assert result["documents"][0].metadata["score_kind"] == "test"  # of one source the scores stay
    assert (result["steps"][0]["decision"], result["usage"]["calls"], len(llm.calls)) == ("leave", 1, 1)


def test_several_are_merged_by_rank_with_their_provenance() -> None:
    result, _ = ask(f"{GOOD} {HOTELS}", question=BOTH, route=("travel", "leave"))
    assert nodes_of(result) == ["route", "ask", "ask", "merge", "read", "cite"]
    assert from_sources(result) == ["travel", "leave"]
    assert {each.metadata["score_kind"] for each in result["documents"]} == {"reciprocal_rank"}
    assert [each["source"] for each in result["citations"]] == ["leave.md", "travel.md"]
    assert result["steps"][3]["reason"] == "by reciprocal_rank of 2 sources"


def test_no_more_sources_than_allowed() -> None:
    result, _ = ask(GOOD, route=("leave", "travel", "garden"))
    assert from_sources(result) == ["leave", "travel"]
    assert "1 more are left out, at most 2" in result["steps"][0]["reason"]
    result, _ = ask(GOOD, route=("leave", "travel", "garden"), most_sources=3, merge="round_robin")
    assert from_sources(result) == ["leave", "travel", "garden"]


def test_only_the_chosen_are_asked_and_the_question_is_what_is_asked() -> None:
    sources = shelves()
    ask(GOOD, sources=sources, route=("travel", "leave"))
    asked = [source.answers.asked for source in sources]  # type: ignore[union-attr]
    assert asked == [[QUESTION], [QUESTION], []]


def test_a_source_that_fails_is_told_and_the_others_go_on() -> None:
    for error in (ConnectionError("gone"), StoreError("no knowledge base")):
        sources = [*shelves(), Source("wiki", "text", Broken(error))]
        result, _ = ask(GOOD, sources=sources, route=("wiki", "leave"))
        assert (result["answer"], from_sources(result)) == (GOOD, ["leave"])
        assert result["steps"][1]["decision"] == "wiki failed"
        assert str(error) in result["steps"][1]["reason"]
        assert "failed: wiki" in result["steps"][3]["reason"]


def test_where_all_fail_it_abstains_and_says_which() -> None:
    sources = [Source("wiki", "text", Broken()), Source("news", "text", Broken())]
    result, llm = ask(sources=sources, route=("wiki", "news"))
    assert (result["abstained"], llm.calls) == (True, [])
    assert result["answer"] == "These sources could not be asked: wiki, news."
    assert nodes_of(result) == ["route", "ask", "ask", "merge", "abstain"]


def test_a_source_without_a_passage_is_an_abstention() -> None:
    result, llm = ask(sources=[Source("leave", "text", Shelf())])
    assert (result["abstained"], nodes_of(result), llm.calls) == (True, READ, [])


def test_reranker_and_transform_belong_to_the_path_of_passages() -> None:
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

    class Backwards(BaseNodePostprocessor):
        def _postprocess_nodes(self, nodes: Any, query_bundle: Any = None) -> Any:
            return nodes[::-1]

    sources = shelves()
    result, llm = ask(
        "What leave is there?",
        GOOD,
        sources=sources,
        route=("travel", "leave"),
        reranker=Backwards(),
        transform=StepBack(),
    )
    assert nodes_of(result) == ["route", "transform", "ask", "ask", "merge", "rerank", "read", "cite"]
    assert from_sources(result) == ["leave", "travel"]
    asked = sources[0].answers.asked  # type: ignore[union-attr]
    assert sorted(asked) == [QUESTION, "What leave is there?"]  # both at once
    assert len(llm.calls) == result["usage"]["calls"] == 2


# -- none and unknown --------------------------------------------------------------------------------------------------


def test_none_is_the_model_alone_and_it_is_told() -> None:
    result, llm = ask("Good morning!", route=(NONE,))
    assert (nodes_of(result), result["answer"], result["citations"]) == (["route", "alone"], "Good morning!", [])
    assert "nothing was checked" in result["steps"][1]["reason"]
    assert len(llm.calls) == 1


@pytest.mark.parametrize("said", ["I don't know.", "", ConnectionError("gone")])
def test_a_model_without_an_answer_of_its_own_has_the_fallback(said: Any) -> None:
    result, llm = ask(said, GOOD, route=(NONE,), fallback="leave")
    assert (nodes_of(result), result["answer"], result["error"]) == (["route", "alone", *READ[1:]], GOOD, "")
    assert (len(llm.calls), len(result["messages"])) == (2, 1)
    result, _ = ask(said, route=(NONE,))
    assert (nodes_of(result), result["abstained"]) == (["route", "alone"], True)


def test_unknown_is_the_fallback_or_an_abstention_that_names_the_sources() -> None:
    result, _ = ask(GOOD, route=(), fallback="leave")
    assert (result["answer"], from_sources(result)) == (GOOD, ["leave"])
    assert "the fallback is asked" in result["steps"][0]["reason"]
    result, llm = ask(route=())
    assert result["answer"] == "I do not know which source could answer this. There are: leave, travel, garden."
    assert (result["abstained"], nodes_of(result), llm.calls) == (True, ["route", "abstain"], [])


@pytest.mark.parametrize(
    "gives",
    [ConnectionError("gone"), "leave", 0, SourceRoute(("wiki",)), SourceRoute(("leave", "wiki")), SourceRoute("leave")],  # type: ignore[arg-type]
)
def test_a_router_that_fails_or_talks_nonsense_knows_nothing(gives: Any) -> None:
    result, _ = ask(GOOD, route=Fixed(gives=gives), fallback="travel")
    assert from_sources(result) == ["travel"]
    assert "the router" in result["steps"][0]["reason"]
    assert ask(GOOD, route=Fixed(gives=gives))[0]["abstained"]


def test_what_cannot_be_loaded_is_raised() -> None:
    with pytest.raises(ArtifactError):
        ask(route=Fixed(gives=ArtifactError("damaged")))


def test_a_label_that_turns_up_later_is_unknown() -> None:
    router = Fixed("wiki", labels=["leave"])
    graph = routed_rag(shelves(), FakeChatModel(), router=router)
    router.labels = ["leave", "wiki"]
    assert "'wiki', which is no source" in graph.invoke({"question": QUESTION})["steps"][0]["reason"]


def test_the_model_is_asked_only_where_embeddings_know_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = HashEmbedding(size=1024)
    monkeypatch.setattr("ragloom.agents.sources.embedding_router.load_embedder", lambda spec: embedder)
    llm = FakeChatModel(replies=['{"sources": ["travel"]}', HOTELS])
    graph = routed_rag(shelves(), llm)
    result = graph.invoke({"question": "Is annual leave of employees paid?"})
    assert (result["steps"][0]["decision"], result["usage"]["calls"]) == ("leave", 1)
    llm.calls.clear()
    result = graph.invoke({"question": "Northgate?"})
    assert (result["steps"][0]["decision"], result["answer"], result["usage"]["calls"]) == ("travel", HOTELS, 2)
    assert "EmbeddingRouter: " in result["steps"][0]["reason"]
    result = routed_rag(shelves(), llm, budget=Budget(llm_calls=1)).invoke({"question": "Northgate?"})
    assert "1 kept for the reading" in result["steps"][0]["reason"]  # no call is left for the router


# -- strategies as sources ---------------------------------------------------------------------------------------------


def test_a_strategy_alone_is_passed_through_with_its_citations_and_steps() -> None:
    result, llm = ask(sources=[Source("leave", "text", strategy())])
    assert (result["answer"], from_sources(result), llm.calls) == (GOOD, ["leave"], [])
    assert nodes_of(result) == ["route", "ask", "leave/retrieve", "leave/read", "leave/cite", "merge"]
    assert (result["usage"]["calls"], len(result["messages"])) == (1, 1)
    assert result["messages"][0].additional_kwargs["citations"] == result["citations"] != []


def test_an_abstention_of_a_strategy_is_passed_through_too() -> None:
    result, _ = ask(sources=[Source("leave", "text", strategy("I don't know."))])
    assert (result["abstained"], from_sources(result)) == (True, ["leave"])


def test_several_strategies_are_read_together() -> None:
    sources = [Source("rules", "text", strategy()), *shelves()[1:]]
    result, llm = ask(f"{GOOD} {HOTELS}", question=BOTH, sources=sources, route=("rules", "travel"))
    assert (from_sources(result), result["answer"]) == (["rules", "travel"], f"{GOOD} {HOTELS}")
    assert (len(llm.calls), result["usage"]["calls"]) == (1, 2)
    sources = [Source("rules", "text", strategy()), Source("wiki", "text", Broken())]
    result, llm = ask(sources=sources, route=("rules", "wiki"))
    assert (result["answer"], llm.calls) == (GOOD, [])  # the only one that gave anything
    assert "failed: wiki" in result["steps"][-1]["reason"]


def test_answers_without_passages_are_told_as_unchecked() -> None:
    def alone(*replies: str) -> Any:
        return closed_book(None, FakeChatModel(replies=list(replies)))

    sources = [Source("one", "text", alone("I don't know.")), Source("two", "text", alone("Paris."))]
    result, _ = ask(sources=sources, route=("one", "two"))
    assert (result["answer"], result["citations"]) == ("Paris.", [])
    assert "nothing was checked" in result["steps"][-1]["reason"]


def test_a_strategy_of_a_budget_is_given_what_is_left() -> None:
    given: list[Budget] = []

    def built(budget: Budget) -> Any:
        given.append(budget)
        return strategy(budget=budget)

    budget = Budget(llm_calls=7, tokens=8000, hops=2)
    ask(sources=[Source("leave", "text", built)], budget=budget)
    assert (given[0].llm_calls, given[0].tokens, given[0].hops) == (7, 8000, 2)
    sources = [Source("one", "text", built), Source("two", "text", built), *shelves()]
    ask(GOOD, sources=sources, route=("one", "two", "travel"), most_sources=3, budget=budget)
    assert [(each.llm_calls, each.tokens) for each in given[1:]] == [
        (3, 3000),
        (3, 3000),
    ]  # one call is for the reading
    refused, _ = ask(sources=[Source("leave", "text", built)], budget=Budget(llm_calls=0))
    assert (refused["abstained"], len(given)) == (True, 3)


def test_an_answer_that_is_there_stands_where_nothing_is_left_to_read_with() -> None:
    spent = {"calls": 2, "tokens_in": 10, "tokens_out": 10, "seconds": 1.0}
    dear = RunnableLambda(lambda question: {**strategy().invoke({"question": question}), "usage": spent})
    sources = [Source("rules", "text", dear), *shelves()[1:]]
    result, llm = ask(sources=sources, route=("travel", "rules"), budget=Budget(llm_calls=2))
    assert (result["answer"], from_sources(result), llm.calls) == (GOOD, ["rules"], [])
    result, llm = ask(HOTELS, sources=sources, route=("travel", "rules"), question=BOTH)
    assert (result["answer"], len(llm.calls)) == (HOTELS, 1)


@pytest.mark.parametrize("built", [lambda budget: None, lambda budget: "graph", lambda budget: 1 / 0])
def test_a_function_that_builds_no_strategy_is_a_source_that_fails(built: Any) -> None:
    result, _ = ask(sources=[Source("leave", "text", built)])
    assert (result["abstained"], nodes_of(result)) == (True, ["route", "ask", "merge", "abstain"])


# -- tools as sources --------------------------------------------------------------------------------------------------


@tool
def look_up(query: str) -> str:
    """Looks up."""
    return TEXT


@tool(response_format="content_and_artifact")
def find(query: str, limit: int = 3) -> tuple[str, list[Document]]:
    """Finds."""
    return "found", [Document(TEXT, id="a", metadata={"source": "a.md"})]


@tool
def refuse(query: str) -> str:
    """Refuses."""
    raise ToolException("no such place")


refuse.handle_tool_error = True
TEXT = "Employees get 25 days of annual leave a year."


@pytest.mark.parametrize("given", [look_up, find, RunnableLambda(lambda question: [Document(TEXT, id="a")])])
def test_what_a_tool_says_is_read_and_cited(given: Any) -> None:
    result, _ = ask(GOOD, sources=[Source("desk", "text", given)], route=("desk",))
    assert (result["answer"], from_sources(result), nodes_of(result)) == (GOOD, ["desk"], READ)
    assert result["citations"][0]["quote"] in TEXT


@pytest.mark.parametrize("given", [refuse, RunnableLambda(lambda question: object()), RunnableLambda(lambda _: 1 / 0)])
def test_a_tool_that_fails(given: Any) -> None:
    result, _ = ask(GOOD, sources=[Source("desk", "text", given), *shelves()], route=("desk", "leave"))
    assert (result["steps"][1]["decision"], from_sources(result)) == ("desk failed", ["leave"])


def test_a_strategy_as_a_tool_is_passed_through() -> None:
    result, llm = ask(sources=[Source("desk", "text", as_tool(strategy(), description="text"))], route=("desk",))
    assert (result["answer"], from_sources(result), llm.calls) == (GOOD, ["desk"], [])
    assert "desk/read" in nodes_of(result)


# -- other strategies over retrievers ----------------------------------------------------------------------------------


def test_another_strategy_reads_the_chosen_retrievers_as_one() -> None:
    made: list[Any] = []

    def corrective(retriever: Any, llm: Any, **parts: Any) -> Any:
        made.append(retriever)
        return corrective_rag(retriever, llm, evaluator=Evaluator(0.9), **parts)

    result, llm = ask(f"{GOOD} {HOTELS}", question=BOTH, route=("leave", "travel"), strategy=corrective)
    assert isinstance(made[-1], MergedRetriever)
    assert (from_sources(result), result["answer"]) == (["leave", "travel"], f"{GOOD} {HOTELS}")
    assert nodes_of(result)[1:4] == ["ask", "leave+travel/retrieve", "leave+travel/evaluate"]
    assert len(llm.calls) == result["usage"]["calls"] == 1
    sources = [*shelves(), Source("wiki", "text", Broken())]
    result, _ = ask(GOOD, sources=sources, route=("leave", "wiki"), strategy=corrective)
    assert result["answer"] == GOOD and "wiki failed: ConnectionError" in result["steps"][1]["reason"]
    sources = [*shelves(), Source("rules", "text", strategy(shelf=Shelf("garden.md")))]
    result, _ = ask(GOOD, sources=sources, route=("leave", "rules", "travel"), strategy=corrective, most_sources=3)
    assert from_sources(result) == ["leave", "rules", "travel"]


def test_a_strategy_by_name() -> None:
    result, llm = ask(GOOD, strategy="closed-book")
    assert (result["answer"], len(llm.calls)) == (GOOD, 1)
    assert "leave/answer" in nodes_of(result)


# -- both worlds, streams, threads -------------------------------------------------------------------------------------

MIXES: list[Any] = [
    ("leave",),
    ("leave", "travel"),
    ("rules",),
    ("rules", "desk"),
    ("desk",),
    (NONE,),
    (),
    ("wiki", "leave"),
]


def mixed(route: Any, llm: Any, **options: Any) -> Any:
    sources = [
        *shelves(),
        Source("rules", "text", strategy()),
        Source("desk", "text", look_up),
        Source("wiki", "text", Broken()),
    ]
    router = Fixed(*route, labels=[*(source.name for source in sources), NONE])
    return routed_rag(sources, llm, router=router, **options)


@pytest.mark.parametrize("route", MIXES)
def test_async_does_what_sync_does(route: Any) -> None:
    here = mixed(route, FakeChatModel(replies=[GOOD])).invoke({"question": QUESTION})
    there = asyncio.run(mixed(route, FakeChatModel(replies=[GOOD])).ainvoke({"question": QUESTION}))
    check(there)
    for key in ("answer", "abstained", "citations", "documents", "error"):
        assert there[key] == here[key]
    assert nodes_of(there) == nodes_of(here)


@pytest.mark.parametrize("route", [*MIXES[:-2], ("wiki", "rules")])
def test_what_streams_is_the_answer_and_only_once(route: Any) -> None:
    graph = mixed(route, FakeChatModel(replies=[GOOD]))
    assert [each["text"] for each in graph.stream({"question": QUESTION}, stream_mode="custom")] == [GOOD]

    async def streamed() -> list[str]:
        return [each["text"] async for each in graph.astream({"question": QUESTION}, stream_mode="custom")]

    assert asyncio.run(streamed()) == [GOOD]


class Killed(BaseException):
    """What nothing may catch, as a signal is."""


@pytest.mark.parametrize("route", [("leave", "travel"), ("rules",), ("rules", "travel")])
def test_a_killed_run_goes_on_where_it_was(route: Any) -> None:
    said = {"calls": 0}

    def killing(at: int) -> Any:
        def say(messages: Any) -> str:
            said["calls"] += 1
            if said["calls"] == at:
                raise Killed
            return GOOD

        return FakeChatModel(replies=say)

    def graph(at: int) -> tuple[Any, list[Source]]:
        said["calls"] = 0
        llm = killing(at)
        sources = [*shelves(), Source("rules", "text", naive_rag(Shelf("leave.md"), llm))]
        router = Fixed(*route, labels=["leave", "travel", "rules"])
        return routed_rag(sources, llm, router=router, checkpointer=InMemorySaver()), sources

    thread: Any = {"configurable": {"thread_id": "1"}}
    whole = graph(0)[0].invoke({"question": QUESTION}, thread)
    for at in range(1, whole["usage"]["calls"] + 1):
        killed, sources = graph(at)
        with pytest.raises(Killed):
            killed.invoke({"question": QUESTION}, thread)
        result = killed.invoke(None, thread)
        check(result)
        assert (result["answer"], nodes_of(result)) == (whole["answer"], nodes_of(whole))
        assert said["calls"] == whole["usage"]["calls"] + 1  # nothing that was done is done again
        asked = [each.answers.asked for each in sources[:2]]  # type: ignore[union-attr]
        assert all(len(each) <= 1 for each in asked)


def test_a_thread_forgets_what_an_earlier_turn_found() -> None:
    llm = FakeChatModel(replies=[GOOD, HOTELS])
    router = Fixed("leave", labels=["leave", "travel"])
    graph = routed_rag(shelves(), llm, router=router, checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": [("user", QUESTION)]}, thread)
    router.gives = SourceRoute(("travel",))
    result = graph.invoke({"messages": [("user", "What do hotels cost?")]}, thread)
    assert (result["answer"], from_sources(result), nodes_of(result)) == (HOTELS, ["travel"], READ)
    assert len(result["messages"]) == 4


def test_the_budget_is_kept() -> None:
    late, _ = ask(GOOD, budget=Budget(seconds=0.0))
    assert late["abstained"] and "0 seconds is spent" in late["steps"][1]["reason"]
    none, llm = ask(GOOD, budget=Budget(hops=0))
    assert none["answer"] == "Nothing was asked: the budget of 0 rounds of retrieval is spent."
    few, llm = ask(GOOD, budget=Budget(llm_calls=0))
    assert (few["abstained"], llm.calls) == (True, [])
    within(few, Budget(llm_calls=0))


def test_the_shape_of_the_graph() -> None:
    snapshot = Path(__file__).with_name("sources.mermaid")
    router = EmbeddingRouter(shelves(), embedder=HashEmbedding())
    graph = routed_rag(shelves(), FakeChatModel(), router=router)
    assert mermaid_of(graph) == snapshot.read_text(encoding="utf-8").strip()
