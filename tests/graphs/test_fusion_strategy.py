"""RAG-Fusion: the formula and its weights, identity across rankings, the gate, what fails, and its budget."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from strategy_kit import GOOD, QUESTION, TEXTS, Evaluator, Shelf, check, mermaid_of, within

from ragloom.errors import ArtifactError, UsageError
from ragloom.graphs.common.effects import node
from ragloom.graphs.common.multi_query import query_weights, search_all
from ragloom.graphs.fusion import fusion_rag
from ragloom.graphs.transforms import StepBack
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding
from ragloom.types import Budget

LEAVE, TRAVEL, LONG, GARDEN, SECURITY = TEXTS
REPLY = "1. days of leave a year\n2. annual vacation of employees"
REWRITES = ["days of leave a year", "annual vacation of employees"]


class Catalogue(BaseRetriever):
    """A ranking for each query; remembers what it was asked. An exception is raised."""

    def __init__(self, rankings: dict[str, Any], top_k: int | None = None) -> None:
        self.rankings, self.top_k = rankings, top_k
        self.asked: list[str] = []
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.asked.append(query_bundle.query_str)
        ranking = self.rankings.get(query_bundle.query_str, [])
        if isinstance(ranking, Exception):
            raise ranking
        return [
            NodeWithScore(
                node=TextNode(id_=name, text=TEXTS.get(name, name), metadata={"source": name}), score=9.0 - at
            )
            for at, name in enumerate(ranking)
        ]


def ask(retriever: Any, *replies: Any, **options: Any) -> tuple[Any, FakeChatModel]:
    llm = FakeChatModel(replies=list(replies))
    options = {"evaluator": Evaluator(0.1), **options}
    result = fusion_rag(retriever, llm, **options).invoke({"question": QUESTION})
    check(result)
    within(result, options.get("budget", Budget()))
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


def step_of(result: Any, name: str) -> Any:
    return next(step for step in result["steps"] if step["node"] == name)


FIRST = ["retrieve", "gate"]
WHOLE = [*FIRST, "rewrite", "fuse", "read", "cite"]

# -- the formula -------------------------------------------------------------------------------------------------------


def test_ranks_are_fused_as_computed_by_hand() -> None:
    shelf = Catalogue(
        {
            QUESTION: [LEAVE, TRAVEL, GARDEN],
            REWRITES[0]: [TRAVEL, SECURITY],
            REWRITES[1]: [GARDEN, TRAVEL],
        }
    )
    result, _ = ask(shelf, REPLY, GOOD)
    assert nodes_of(result) == WHOLE
    scores = {document.id: document.metadata["score"] for document in result["documents"]}
    assert list(scores) == [TRAVEL, GARDEN, LEAVE]  # as many as the longest ranking; SECURITY is fourth
    # 1/62 + 1/61 + 1/62, 1/63 + 1/61, 1/61, and 1/62
    assert list(scores.values()) == pytest.approx([0.0486515, 0.0322665, 0.0163934], abs=1e-7)
    assert {document.metadata["score_kind"] for document in result["documents"]} == {"reciprocal_rank"}


@pytest.mark.parametrize(
    ("weight", "order"),
    [
        (1.0, [TRAVEL, LEAVE, GARDEN]),  # 1/62 + 1/61 = 0.0325, 1/61 = 0.0164, 1/62 = 0.0161
        (3.0, [TRAVEL, LEAVE, GARDEN]),  # 3/62 + 1/61 = 0.0648, 3/61 = 0.0492, 1/62
        (100.0, [LEAVE, TRAVEL, GARDEN]),  # 100/61 = 1.639, 100/62 + 1/61 = 1.629
    ],
)
def test_the_question_may_count_more(weight: float, order: list[str]) -> None:
    shelf = Catalogue({QUESTION: [LEAVE, TRAVEL], REWRITES[0]: [TRAVEL, GARDEN]}, top_k=3)
    result, _ = ask(shelf, REWRITES[0], GOOD, original_weight=weight)
    assert [document.id for document in result["documents"]] == order


def test_a_rewrite_about_something_else_counts_less() -> None:
    drifted = "soup in the canteen"
    shelf = Catalogue({QUESTION: [LEAVE, TRAVEL], drifted: [GARDEN, TRAVEL], REWRITES[0]: [SECURITY]}, top_k=9)
    result, _ = ask(shelf, f"{drifted}\n{REWRITES[0]}", GOOD)
    assert step_of(result, "fuse")["details"]["weights"] == {QUESTION: 1.0, drifted: 0.5, REWRITES[0]: 1.0}
    scores = {document.id: document.metadata["score"] for document in result["documents"]}
    expected = {TRAVEL: 1.5 / 62, LEAVE: 1 / 61, SECURITY: 1 / 61, GARDEN: 0.5 / 61}
    assert scores == pytest.approx(expected)
    assert list(scores) == list(expected)
    result, _ = ask(shelf, f"{drifted}\n{REWRITES[0]}", GOOD, drift_weight=0.0)
    assert [document.id for document in result["documents"]] == [LEAVE, SECURITY, TRAVEL]
    assert shelf.asked.count(drifted) == 1  # of no weight, it is not searched for


@pytest.mark.parametrize(
    ("question", "query", "weight"),
    [
        ("How many days of leave?", "Day off", 1.0),  # stems count
        ("How many days of leave?", "What is it of?", 0.5),  # but stop words do not
        ("When was A320 certified?", "the plane's approval", 0.5),
        ("What is it?", "the canteen", 1.0),  # a question without a content word can be left by none
    ],
)
def test_drift(question: str, query: str, weight: float) -> None:
    assert query_weights(question, [query]) == [1.0, weight]


ids = st.lists(st.sampled_from("abcdefgh"), max_size=6, unique=True)


@given(rankings=st.lists(ids, min_size=2, max_size=5), top_k=st.none() | st.integers(1, 9), weight=st.integers(1, 4))
@example(rankings=[list(one) for one in ("abcd", "acbd", "bacd", "bcad")], top_k=None, weight=1)  # floats put b first
@settings(max_examples=60)
def test_fusing_agrees_with_another_implementation(rankings: list[list[str]], top_k: int | None, weight: int) -> None:
    """Exact fractions over ids; ties by the earliest ranking that holds one, and the rank there."""
    queries = [f"leave {word}" for word in ("days", "weeks", "months", "years", "rules")][: len(rankings)]
    shelf = Catalogue(dict(zip(queries, rankings, strict=True)), top_k)

    def body(state: Any, step: Any) -> Any:
        return {"documents": (yield from search_all(shelf, queries, [], step, original_weight=float(weight)))}

    done = node("fuse", body).invoke({})
    table: dict[str, Fraction] = {}
    for name in "abcdefgh":
        for at, ranking in enumerate(rankings):
            if name in ranking:
                share = Fraction(weight if at == 0 else 1, 60 + 1 + ranking.index(name))
                table[name] = table.get(name, Fraction(0)) + share
    place = {
        name: min((at, ranking.index(name)) for at, ranking in enumerate(rankings) if name in ranking) for name in table
    }
    most = top_k or max(map(len, rankings))
    expected = sorted(table, key=lambda name: (-table[name], place[name]))
    found = done["documents"]
    assert [each.id for each in found] == expected[:most]
    assert [each.metadata["score"] for each in found] == pytest.approx([float(table[n]) for n in expected[:most]])


# -- in a knowledge base -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder: Path = tmp_path_factory.mktemp("kb")
    for name, text in TEXTS.items():
        (folder / name).write_text(text)
    kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=256))
    for tenant in ("", "other"):
        kb.ingest([folder / name for name in TEXTS], tenant=tenant)
    return kb


def test_the_same_passage_of_words_and_vectors_is_one(kb: KnowledgeBase) -> None:
    retriever = kb.retriever(top_k=3)
    result, _ = ask(retriever, "\n".join(REWRITES), GOOD)
    queries = [QUESTION, *REWRITES]
    table: dict[str, float] = {}
    for query in queries:
        for mode in ("bm25", "dense"):
            for rank, item in enumerate(kb.retriever(mode=mode, top_k=20).retrieve(query), start=1):
                table[item.node.node_id] = table.get(item.node.node_id, 0.0) + 1 / (60 + rank)
    best = sorted(table.values(), reverse=True)[:3]
    assert [document.metadata["score"] for document in result["documents"]] == pytest.approx(best)
    assert {document.id: document.metadata["score"] for document in result["documents"]} == pytest.approx(
        {str(document.id): table[str(document.id)] for document in result["documents"]}
    )
    assert len({document.id for document in result["documents"]}) == 3
    # First for every query, in words and in vectors: only if both carry the same id does it have six shares.
    assert "25 days" in result["documents"][0].page_content
    assert result["documents"][0].metadata["score"] == pytest.approx(6 / 61)
    assert "6 rankings of 3 queries" in step_of(result, "fuse")["reason"]
    assert result["answer"] == GOOD


def test_vectors_alone(kb: KnowledgeBase) -> None:
    result, _ = ask(kb.retriever(top_k=3), "\n".join(REWRITES), GOOD, vector_only=True)
    assert "3 rankings of 3 queries" in step_of(result, "fuse")["reason"]
    assert step_of(result, "retrieve")["reason"] == "by cosine"
    assert result["documents"][0].metadata["score"] == pytest.approx(3 / 61)
    with pytest.raises(UsageError, match="a Shelf has no dense mode"):
        fusion_rag(Shelf(), FakeChatModel(), evaluator=Evaluator(), vector_only=True)


def test_a_tenant_sees_its_own_passages_alone(kb: KnowledgeBase) -> None:
    own = {item.node.node_id for item in kb.retriever(tenant="other", mode="bm25", top_k=50).retrieve("the leave")}
    every = {item.node.node_id for item in kb.retriever(mode="bm25", top_k=50).retrieve("the leave")}
    assert own
    assert not own & every
    for options in ({}, {"vector_only": True}):
        result, _ = ask(kb.retriever(tenant="other", top_k=50), REPLY, GOOD, gate="always", **options)
        found = {document.id for document in result["documents"]}
        assert own <= found
        assert not found & every
        nobody, llm = ask(kb.retriever(tenant="nobody", top_k=50), REPLY, gate="always", **options)
        assert (nobody["documents"], len(llm.calls)) == ([], 1)


# -- the gate ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("grade", "options", "way"),
    [
        (0.69, {}, "rewrite"),
        (0.7, {}, "read"),  # `upper` itself is not below it
        (0.95, {}, "read"),
        (0.0, {}, "rewrite"),
        (0.5, {"weak": 0.5}, "read"),
        (0.49, {"weak": 0.5}, "rewrite"),
        (0.95, {"weak": 1.0}, "rewrite"),
        (0.95, {"gate": "always"}, "rewrite"),
        (0.0, {"budget": Budget(hops=1)}, "read"),
        (0.0, {"budget": Budget(llm_calls=1)}, "read"),
        (0.0, {"gate": "always", "budget": Budget(hops=1)}, "read"),
        (0.0, {"gate": "always", "budget": Budget(llm_calls=1)}, "read"),
    ],
)
def test_the_gate(grade: float, options: dict[str, Any], way: str) -> None:
    shelf = Shelf(LEAVE, TRAVEL)
    replies = [REPLY, GOOD] if way == "rewrite" else [GOOD]
    result, llm = ask(shelf, *replies, evaluator=Evaluator(grade), **options)
    assert nodes_of(result) == (WHOLE if way == "rewrite" else [*FIRST, "read", "cite"])
    assert step_of(result, "gate")["decision"] == way
    assert len(llm.calls) == len(replies)
    assert shelf.asked[0] == QUESTION
    assert sorted(shelf.asked[1:]) == sorted([QUESTION, *REWRITES] if way == "rewrite" else [])
    assert result["answer"] == GOOD


def test_the_best_passage_decides() -> None:
    evaluator = Evaluator(lambda text: 0.8 if "25 days" in text else 0.0)
    assert nodes_of(ask(Shelf(TRAVEL, LEAVE), GOOD, evaluator=evaluator)[0]) == [*FIRST, "read", "cite"]
    assert nodes_of(ask(Shelf(TRAVEL), REPLY, GOOD, evaluator=evaluator)[0]) == WHOLE


def test_nothing_found_is_weak_and_needs_no_grade() -> None:
    evaluator = Evaluator(1.0)
    result, _ = ask(Catalogue({REWRITES[1]: [LEAVE]}), REPLY, GOOD, evaluator=evaluator)
    assert (nodes_of(result), evaluator.graded, result["answer"]) == (WHOLE, [], GOOD)
    assert step_of(result, "gate")["reason"] == "the first pass found nothing"


def _raise(error: Exception) -> Any:
    raise error


@pytest.mark.parametrize(
    ("grade", "reason"),
    [
        (lambda _: None, "no passage was graded"),
        (lambda _: float("nan"), "no passage was graded"),
        (lambda _: 7.5, "no passage was graded"),  # no probability
        (lambda _: "much", "the evaluator failed: ValueError"),
        (lambda _: _raise(RuntimeError("out of memory")), "the evaluator failed: RuntimeError: out of memory"),
    ],
)
def test_what_is_not_known_counts_as_weak(grade: Any, reason: str) -> None:
    result, _ = ask(Shelf(LEAVE), REPLY, GOOD, evaluator=Evaluator(grade))
    assert nodes_of(result) == WHOLE
    assert "unknown counts as weak" in step_of(result, "gate")["reason"]
    assert reason in step_of(result, "gate")["reason"]


def test_what_is_known_decides_beside_what_is_not() -> None:
    evaluator = Evaluator(lambda text: 0.8 if "25 days" in text else None)
    result, _ = ask(Shelf(TRAVEL, LEAVE), GOOD, evaluator=evaluator)
    assert step_of(result, "gate")["decision"] == "read"
    assert "1 have none" in step_of(result, "gate")["reason"]


def test_too_few_grades_are_no_grades() -> None:
    class Short(Evaluator):
        def grade(self, question: str, passages: Any) -> Any:
            return [0.9]

    result, _ = ask(Shelf(LEAVE, TRAVEL), REPLY, GOOD, evaluator=Short())
    assert "1 grades for 2 passages" in step_of(result, "gate")["reason"]


def test_an_evaluator_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        fusion_rag(Shelf(), FakeChatModel(), evaluator="bundled:smollm2")
    graph = fusion_rag(Shelf(LEAVE), FakeChatModel(), evaluator=f"evaluator:{tmp_path}")
    with pytest.raises((ArtifactError, UsageError), match=tmp_path.name):
        graph.invoke({"question": QUESTION})
    always = fusion_rag(Shelf(LEAVE), FakeChatModel(replies=[GOOD]), evaluator=f"evaluator:{tmp_path}", gate="always")
    check(always.invoke({"question": QUESTION}))  # it is not needed, and not loaded


@pytest.mark.parametrize(
    "options",
    [
        {"gate": "sometimes"},
        {"weak": 1.5},
        {"weak": float("nan")},
        {"rewrites": 0},
        {"original_weight": 0.0},
        {"original_weight": float("inf")},
        {"drift_weight": -1.0},
    ],
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        fusion_rag(Shelf(), FakeChatModel(), evaluator=Evaluator(), **options)


# -- rewriting, fusing, reading ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reply", ["", "1. \n2. ", QUESTION, ConnectionError("gone"), ValueError("nonsense")])
def test_without_a_rewrite_the_first_pass_is_read(reply: Any) -> None:
    shelf = Shelf(LEAVE, TRAVEL)
    result, _ = ask(shelf, reply, GOOD)
    assert nodes_of(result) == [*FIRST, "rewrite", "read", "cite"]
    assert (shelf.asked, result["answer"]) == ([QUESTION], GOOD)
    assert result["documents"][0].metadata["score_kind"] == "test"


def test_never_more_rewrites_than_asked_for() -> None:
    shelf = Shelf(LEAVE)
    _, llm = ask(shelf, "leave a\nleave b\nleave c", GOOD, rewrites=2)
    assert sorted(shelf.asked[1:]) == sorted([QUESTION, "leave a", "leave b"])
    assert "Write 2 search queries" in llm.prompts()[0]


def test_the_reader_is_asked_the_question_alone() -> None:
    _, llm = ask(Shelf(LEAVE), REPLY, GOOD)
    assert QUESTION in llm.prompts()[1]
    assert not any(rewrite in llm.prompts()[1] for rewrite in REWRITES)


def test_a_search_that_fails() -> None:
    down = ConnectionError("no route to host")
    shelf = Catalogue({QUESTION: [LEAVE], REWRITES[0]: down, REWRITES[1]: [GARDEN]}, top_k=5)
    result, _ = ask(shelf, REPLY, GOOD)
    assert "1 of 3 searches failed: no route to host" in step_of(result, "fuse")["reason"]
    assert [document.id for document in result["documents"]] == [LEAVE, GARDEN]
    with pytest.raises(ConnectionError):
        ask(Catalogue({QUESTION: down}), REPLY, GOOD)


class Reverse(BaseNodePostprocessor):
    """Counts its calls."""

    calls: int = 0

    def _postprocess_nodes(self, nodes: list[NodeWithScore], query_bundle: Any = None) -> list[NodeWithScore]:
        self.calls += 1
        return nodes[::-1]


def test_a_reranker_comes_once_and_after_fusing() -> None:
    shelf = Catalogue({QUESTION: [LEAVE, TRAVEL], REWRITES[0]: [LEAVE, GARDEN]}, top_k=3)
    reranker = Reverse()
    result, _ = ask(shelf, REWRITES[0], GOOD, reranker=reranker)
    assert nodes_of(result) == [*FIRST, "rewrite", "fuse", "rerank", "read", "cite"]
    assert (reranker.calls, [document.id for document in result["documents"]]) == (1, [GARDEN, TRAVEL, LEAVE])
    result, _ = ask(shelf, GOOD, reranker=reranker, evaluator=Evaluator(0.9))
    assert nodes_of(result) == [*FIRST, "rerank", "read", "cite"]
    assert reranker.calls == 2


def test_what_a_transform_made_is_searched_for_in_both_passes() -> None:
    shelf = Shelf(LEAVE)
    result, _ = ask(shelf, "rules of leave", REPLY, GOOD, transform=StepBack())
    assert nodes_of(result) == ["transform", *WHOLE]
    both = [QUESTION, "rules of leave"]
    assert sorted(shelf.asked) == sorted([*both, *both, *REWRITES])


# -- both worlds, threads, streams, the shape --------------------------------------------------------------------------


async def test_async_does_what_sync_does() -> None:
    def graph() -> Any:
        shelf = Catalogue({QUESTION: [LEAVE, TRAVEL], REWRITES[0]: [TRAVEL], REWRITES[1]: ValueError("no")}, top_k=3)
        return fusion_rag(shelf, FakeChatModel(replies=[REPLY, GOOD]), evaluator=Evaluator(0.2))

    there, here = await graph().ainvoke({"question": QUESTION}), graph().invoke({"question": QUESTION})
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]
    for key in ("node", "decision", "reason"):
        assert [step[key] for step in there["steps"]] == [step[key] for step in here["steps"]]


def test_what_is_streamed_is_the_answer() -> None:
    graph = fusion_rag(Shelf(LEAVE), FakeChatModel(replies=[REPLY, GOOD]), evaluator=Evaluator(0.2))
    sentences, result = [], {}
    for kind, part in graph.stream({"question": QUESTION}, stream_mode=["custom", "values"]):
        if kind == "custom":
            sentences.append(part)
        else:
            result = part
    assert [sentence["text"] for sentence in sentences] == [GOOD]
    assert result["answer"] == GOOD
    assert sentences[0]["citations"] == result["citations"]


def test_turns_of_a_thread_do_not_leak_into_each_other() -> None:
    shelf, grades = Shelf(LEAVE), iter([0.2, 0.9, 0.2])
    llm = FakeChatModel(replies=[REPLY, GOOD, GOOD, "", GOOD])
    graph = fusion_rag(shelf, llm, evaluator=Evaluator(lambda _: next(grades)), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    ways = [[*WHOLE], [*FIRST, "read", "cite"], [*FIRST, "rewrite", "read", "cite"]]
    for way, question in zip(ways, [QUESTION, f"{QUESTION} In Leeds?", f"{QUESTION} In Lisbon?"], strict=True):
        result = graph.invoke({"messages": [HumanMessage(question)]}, thread)
        check(result)
        assert nodes_of(result) == way
        assert graph.get_state(thread).values["rewrites"] == (REWRITES if question == QUESTION else [])
    assert shelf.asked[4:] == [f"{QUESTION} In Leeds?", f"{QUESTION} In Lisbon?"]


@pytest.mark.parametrize("reranker", [None, Reverse()])
def test_the_shape_of_the_graph(reranker: Any) -> None:
    graph = fusion_rag(Shelf(), FakeChatModel(), evaluator=Evaluator(), reranker=reranker)
    name = "fusion_reranked.mermaid" if reranker else "fusion.mermaid"
    assert mermaid_of(graph) == Path(__file__).with_name(name).read_text(encoding="utf-8").strip()
