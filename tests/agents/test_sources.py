"""Sources and routes: what is refused, what is valid, how passages of several sources become one list."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from sources_kit import Broken, Fixed, document, shelves
from strategy_kit import Shelf

from ragloom.agents.sources import NONE, UNKNOWN, MergedRetriever, Source, SourceRoute, routed_rag
from ragloom.agents.sources.answer import answer_of, with_provenance
from ragloom.agents.sources.merging import merged
from ragloom.agents.sources.route import choose, valid_route
from ragloom.errors import UsageError
from ragloom.graphs import naive_rag
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding


@tool
def two_arguments(place: str, day: str) -> str:
    """Needs both."""
    return place + day


def no_strategy() -> Any:
    graph: Any = StateGraph(dict)
    graph.add_node("only", lambda state: state)
    graph.add_edge(START, "only")
    return graph.compile()


# -- sources -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "description", "answers", "options", "why"),
    [
        ("", "text", Shelf(), {}, "no name"),
        ("two words", "text", Shelf(), {}, "no name"),
        ("1", "text", Shelf(), {}, "no name"),
        ("x" * 65, "text", Shelf(), {}, "no name"),
        (7, "text", Shelf(), {}, "no name"),
        ("none", "text", Shelf(), {}, "cannot be called"),
        ("Unknown", "text", Shelf(), {}, "cannot be called"),
        ("leave", " ", Shelf(), {}, "no description"),
        ("leave", "text", None, {}, "cannot be asked"),
        ("leave", "text", "kb:handbook", {}, "cannot be asked"),
        ("leave", "text", Shelf, {}, "cannot be asked"),
        ("leave", "text", two_arguments, {}, "place, day"),
        ("leave", "text", Shelf(), {"cost": -1.0}, "cost"),
        ("leave", "text", Shelf(), {"cost": float("nan")}, "cost"),
        ("leave", "text", Shelf(), {"cost": "cheap"}, "cost"),
        ("leave", "text", Shelf(), {"examples": "How many days?"}, "examples"),
        ("leave", "text", no_strategy(), {}, "no strategy"),
        ("leave", "text", naive_rag(Shelf(), FakeChatModel(), checkpointer=InMemorySaver()), {}, "checkpointer"),
    ],
)
def test_what_is_no_source(name: Any, description: str, answers: Any, options: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        Source(name, description, answers, **options)


def test_kinds() -> None:
    graph = naive_rag(Shelf(), FakeChatModel())
    assert Source("a", "text", Shelf()).kind == "retriever"
    assert [Source("a", "text", each).kind for each in (graph, lambda budget: graph)] == ["graph", "graph"]
    assert Source("a", "text", RunnableLambda(str.upper)).kind == "tool"


@pytest.mark.parametrize(
    ("sources", "options", "why"),
    [
        ([], {}, "no sources"),
        (["leave"], {}, "str is no source"),
        ([Source("a", "x", Shelf()), Source("A", "y", Shelf())], {}, "two sources"),
        (None, {"fallback": "wiki"}, "'wiki' is no source"),
        (None, {"most_sources": 0}, "most_sources"),
        (None, {"merge": "best"}, "unknown merge"),
        (None, {"router": object()}, "no router"),
        (None, {"strategy": "naiv"}, "unknown strategy"),
        (None, {"strategy": 7}, "no strategy"),
        (None, {"strategy": lambda retriever, llm, **_: "graph"}, "cannot be asked"),
    ],
)
def test_what_is_refused_when_the_graph_is_built(sources: Any, options: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        routed_rag(shelves() if sources is None else sources, FakeChatModel(), **options)


# -- routes ------------------------------------------------------------------------------------------------------------

LABELS = ("leave", "travel")


@pytest.mark.parametrize(
    ("names", "valid"),
    [
        ((), ()),
        (("leave",), ("leave",)),
        (("travel", "leave", "travel"), ("travel", "leave")),
        ((NONE,), (NONE,)),
        ((NONE, "leave"), ("leave",)),
        ((UNKNOWN,), ()),
        ((UNKNOWN, "leave"), ("leave",)),
        ((UNKNOWN, NONE), (NONE,)),
    ],
)
def test_valid_names(names: Any, valid: Any) -> None:
    route = valid_route(SourceRoute(names), LABELS)
    assert (route.names, route.failed, route.unknown) == (valid, "", not valid)


@pytest.mark.parametrize(
    "given_",
    [
        None,
        "leave",
        0,
        SourceRoute("leave"),  # type: ignore[arg-type]
        SourceRoute(("wiki",)),
        SourceRoute(("leave", "wiki")),
        SourceRoute((0,)),  # type: ignore[arg-type]
        SourceRoute((-1,)),  # type: ignore[arg-type]
        SourceRoute((["leave"],)),  # type: ignore[arg-type]
    ],
)
def test_nothing_outside_the_closed_set_comes_through(given_: Any) -> None:
    route = valid_route(given_, LABELS)
    assert (route.names, route.unknown, route.label) == ((), True, UNKNOWN)
    assert route.failed


def test_scores_that_are_none_are_left_out() -> None:
    given_ = SourceRoute(("leave",), {"leave": 1, "travel": float("nan"), "x": "high", 3: 0.5})  # type: ignore[dict-item]
    assert valid_route(given_, LABELS).scores == {"leave": 1.0}
    assert valid_route(SourceRoute(("leave",), None), LABELS).scores == {}  # type: ignore[arg-type]


def names(scores: dict[str, float], **options: Any) -> tuple[str, ...]:
    return choose(scores, **{"threshold": 0.3, "margin": 0.1, "by": "test", **options}).names


def test_choosing_by_scores() -> None:
    assert names({"a": 0.29, "b": 0.1}) == ()
    assert names({"a": 0.3, "b": 0.1}) == ("a",)  # the threshold itself is enough
    assert names({"a": 0.35, "b": 0.45, "c": 0.2}) == ("b", "a")
    assert names({"a": 0.35, "b": 0.29}) == ("a",)  # near, and below the threshold
    assert names({"a": 0.5, "b": 0.5}, margin=0.0) == ("a",)
    assert names({"a": 0.5, "b": 0.5}, costs={"a": 2.0, "b": 1.0}) == ("b", "a")
    assert names({"a": 0.5, NONE: 0.6}) == (NONE,)
    assert names({"a": 0.6, NONE: 0.55, UNKNOWN: 0.55}) == ("a",)
    assert names({"a": 0.5, UNKNOWN: 0.6}) == ()
    assert choose({"a": float("nan")}, threshold=0.0, margin=0.0, by="it").failed
    assert choose({}, threshold=0.0, margin=0.0, by="it").failed


# -- what a source gives -----------------------------------------------------------------------------------------------


def texts(given_: Any) -> list[str]:
    return [each.page_content for each in answer_of(given_, ["sales"])["documents"]]


def test_text_data_and_documents_become_passages() -> None:
    assert texts(None) == texts("") == texts(" \n") == texts([]) == []
    assert texts("3 sold") == texts(AIMessage("3 sold")) == ["3 sold"]
    assert texts(["3 sold", "", "4 left"]) == ["3 sold", "4 left"]
    assert texts({"sold": Decimal("3.50")}) == ['{"sold": "3.50"}']
    assert texts([document("a"), document("b")]) == ["text of a", "text of b"]
    assert texts(ToolMessage("3 sold", tool_call_id="1", artifact=[document("a")])) == ["text of a"]
    assert texts(ToolMessage("3 sold", tool_call_id="1", artifact=object())) == ["3 sold"]
    with pytest.raises(TypeError, match="cannot be read"):
        texts(object())
    with pytest.raises(RuntimeError, match="no such table"):
        texts(ToolMessage("no such table", tool_call_id="1", status="error"))


def test_every_passage_says_where_it_is_from() -> None:
    (made,) = answer_of("3 sold", ["sales"])["documents"]
    assert made.metadata["source_name"] == made.metadata["source"] == "sales"
    assert made.id and made.id == answer_of("3 sold", ["sales"])["documents"][0].id
    bare = Document("text", metadata={"source_name": "forged", "score": "high"})
    (told,) = with_provenance([bare], "wiki")
    assert (told.metadata["source_name"], told.metadata["score"]) == ("wiki", 1.0)
    assert bare.metadata["source_name"] == "forged"  # what was given stays as it is


def test_citations_that_do_not_resolve_are_left_out() -> None:
    cited = {"sentence": "s", "id": "a", "source": "a", "page": 1, "quote": "text of a", "score": 1.0}
    result = {"answer": "s", "documents": [document("a")], "citations": [cited, {**cited, "id": "b"}]}
    own = answer_of(result, ["sales"])["own"]
    assert own is not None and own["citations"] == [cited]


# -- merging -----------------------------------------------------------------------------------------------------------


def ids(lists: Any, how: Any = "reciprocal_rank") -> list[str | None]:
    return [each.id for each in merged(lists, how)]


def test_merging_by_rank() -> None:
    a, b, c, d = (with_provenance([document(name)], "wiki")[0] for name in "abcd")
    assert ids([[a, b], [c, d]]) == ids([[a, b], [c, d]], "round_robin") == ["a", "c", "b", "d"]
    assert ids([[a, b], [c, b]]) == ["b", "a", "c"]  # found twice
    assert ids([[a, b], [c, b]], "round_robin") == ["a", "c", "b"]
    assert ids([]) == []
    assert merged([[a, b]]) == [a, b]  # one list keeps its scores
    (first, *_) = merged([[a], [b]])
    assert (first.metadata["score_kind"], a.metadata["score"]) == ("reciprocal_rank", 0.5)


def test_one_id_with_two_texts_is_two_passages() -> None:
    here = with_provenance([document("1", "here")], "handbook")
    there = with_provenance([document("1", "there"), document("1", "elsewhere")], "wiki")
    found = {each.id: each.page_content for each in merged([here, there])}
    assert found == {"1": "here", "wiki:1": "there", "wiki:1#2": "elsewhere"}


passages = st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["", "x", "y"])), max_size=5)


@given(st.lists(passages, max_size=4), st.sampled_from(["reciprocal_rank", "round_robin"]))
def test_merging_loses_nothing_and_doubles_nothing(given_: Any, how: Any) -> None:
    lists = [
        with_provenance([document(identity, identity + text) for identity, text in dict.fromkeys(one)], f"s{at}")
        for at, one in enumerate(given_)
    ]
    found = merged(lists, how)
    assert {each.page_content for each in found} == {each.page_content for one in lists for each in one}
    if len(lists) != 1:
        assert len({each.id for each in found}) == len(found) == len({each.page_content for each in found})


# -- several retrievers as one -----------------------------------------------------------------------------------------


def test_a_merged_retriever_asks_all_and_tells_of_those_that_fail() -> None:
    sources = [*shelves()[:2], Source("gone", "text", Broken())]
    retriever = MergedRetriever(sources)
    found = retriever.retrieve("leave?")
    assert [each.node.metadata["source_name"] for each in found] == ["leave", "travel"]
    assert retriever.failures == {"gone": "ConnectionError"}
    there = asyncio.run(retriever.aretrieve("leave?"))
    assert [each.node.node_id for each in there] == [each.node.node_id for each in found]
    with pytest.raises(ConnectionError):
        MergedRetriever(sources[2:]).retrieve("leave?")
    with pytest.raises(UsageError, match="is a tool"):
        MergedRetriever([Source("a", "text", RunnableLambda(str.upper))])


def test_no_source_sees_more_than_its_retriever(tmp_path: Any) -> None:
    folder = tmp_path / "docs"
    folder.mkdir()
    kb = KnowledgeBase(tmp_path / "kb", embedder=HashEmbedding(size=32))
    for tenant, days in (("north", 25), ("south", 31)):
        (folder / "leave.md").write_text(f"Employees get {days} days of annual leave.", encoding="utf-8")
        kb.ingest([folder], tenant=tenant)
    source = Source("leave", "Annual leave.", kb.retriever(tenant="north"))
    for options in ({}, {"strategy": naive_rag}):
        llm = FakeChatModel(replies=["Employees get 31 days of annual leave. Employees get 25 days of annual leave."])
        graph = routed_rag([source], llm, router=Fixed("leave", labels=["leave"]), **options)  # type: ignore[arg-type]
        result = graph.invoke({"question": "How many days of annual leave do employees get?"})
        assert ["25 days" in each.page_content for each in result["documents"]] == [True]
        assert result["answer"] == "Employees get 25 days of annual leave."
