"""Ensembles, multiple queries and compression as LangChain retrievers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.documents.compressor import BaseDocumentCompressor
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from langchain_kit import TEXTS, Fixed, documents, ids
from llama_index.core.base.base_retriever import BaseRetriever as LlamaIndexBase
from llama_index.core.postprocessor import SimilarityPostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from ragloom.agents.langchain import (
    CompressionRetriever,
    EnsembleRetriever,
    LlamaIndexRetriever,
    MultiQueryRetriever,
)
from ragloom.errors import SearchError, UsageError
from ragloom.graphs import naive_rag
from ragloom.graphs.transforms import DiverseRewrites
from ragloom.retrieval import KnowledgeBase, WebRetriever
from ragloom.testing import FakeChatModel, HashEmbedding
from ragloom.types import Budget

REWRITES = "1. days of annual leave\n2. holiday entitlement of employees"
QUESTION = "How many days of leave do employees get?"


class Shelf(LlamaIndexBase):
    """Five nodes, whatever is asked; has no `top_k`."""

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [NodeWithScore(node=TextNode(id_=name, text=text), score=0.5) for name, text in TEXTS.items()]


class Shouting(BaseDocumentCompressor):
    """Keeps what holds a word of the query, in capitals."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Any = None
    ) -> Sequence[Document]:
        kept = [each for each in documents if any(word in each.page_content for word in query.split())]
        return [each.model_copy(update={"page_content": each.page_content.upper()}) for each in kept]


async def both(retriever: BaseRetriever, query: str = QUESTION, **options: Any) -> list[Document]:
    """What it finds, sync and async alike."""
    found = retriever.invoke(query, **options)
    assert await retriever.ainvoke(query, **options) == found
    return found


# -- what holds of all of them ----------------------------------------------------------------------------------------

listings = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=8), min_size=1, max_size=3)
sizes = st.none() | st.integers(1, 9)


def compositions(lists: list[list[str]], k: int | None) -> list[BaseRetriever]:
    fixed = [Fixed(found=documents(*each)) for each in lists]
    llm = FakeChatModel(replies=[REWRITES])
    return [
        EnsembleRetriever(retrievers=fixed, k=k),
        MultiQueryRetriever(retriever=fixed[0], llm=llm, k=k),
        CompressionRetriever(retriever=fixed[0], compressor=SimilarityPostprocessor(), k=k),
    ]


@given(listings, sizes, sizes)
@settings(max_examples=25)
def test_never_more_than_k_none_twice_and_sync_as_async(
    lists: list[list[str]], k: int | None, asked: int | None
) -> None:
    for retriever in compositions(lists, k):
        whole = asyncio.run(both(retriever.model_copy(update={"k": None})))
        found = asyncio.run(both(retriever, k=asked))
        limit = asked or k
        assert found == whole[:limit]
        assert len({each.id for each in found}) == len(found)


@given(listings, st.lists(st.integers(0, 30), min_size=3, max_size=3).filter(all), st.data())
@settings(max_examples=40)
def test_fusion_is_the_papers(lists: list[list[str]], tenths: list[int], data: Any) -> None:
    """Against the formula in exact numbers: score(d) = sum of weight / (60 + rank), each list's first mention."""
    weights = [tenth / 10 for tenth in tenths[: len(lists)]]
    exact: dict[str, Fraction] = {}
    for tenth, ranking in zip(tenths, lists, strict=False):
        for rank, name in enumerate(dict.fromkeys(ranking), start=1):
            exact[name] = exact.get(name, Fraction(0)) + Fraction(tenth, 10) / (60 + rank)
    first = list(exact)
    ensemble = EnsembleRetriever(retrievers=[Fixed(found=documents(*each)) for each in lists], weights=weights)
    found = ensemble.invoke("q")
    assert {each.id: each.metadata["score"] for each in found} == pytest.approx({k: float(v) for k, v in exact.items()})
    for one, other in zip(found, found[1:], strict=False):
        a, b = str(one.id), str(other.id)
        assert exact[a] > exact[b] - Fraction(1, 10**11)
        assert exact[a] != exact[b] or first.index(a) < first.index(b)


@pytest.mark.parametrize("k", [0, -1])
def test_a_k_below_one_is_refused(k: int) -> None:
    for retriever in [*compositions([["a"]], None), LlamaIndexRetriever(retriever=Shelf())]:
        with pytest.raises(UsageError, match=f"k is {k}"):
            retriever.invoke("q", k=k)
        with pytest.raises(ValidationError):
            type(retriever)(**{**dict(retriever), "k": k})


def test_a_misspelt_option_is_refused() -> None:
    with pytest.raises(ValidationError, match="weigths"):
        EnsembleRetriever(retrievers=[Fixed(found=[])], weigths=[1.0])
    with pytest.raises(TypeError, match="top_k"):
        EnsembleRetriever(retrievers=[Fixed(found=[])]).invoke("q", top_k=3)


def test_what_is_no_retriever_is_refused() -> None:
    graph = naive_rag(Shelf(), FakeChatModel())
    with pytest.raises(UsageError, match=r"graph 'naive' is no retriever .*StrategyRetriever"):
        EnsembleRetriever(retrievers=[graph])
    with pytest.raises(UsageError, match="a str is no retriever"):
        CompressionRetriever(retriever="kb", compressor=Shouting())


async def test_all_of_them_stream_and_batch_in_a_chain() -> None:
    for retriever in compositions([["a", "b"]], None):
        chain = retriever | ids
        assert list(chain.stream("q")) == chain.batch(["q"]) == [["a", "b"]]
        assert [each async for each in chain.astream("q")] == await chain.abatch(["q"]) == [["a", "b"]]


class Spans(BaseCallbackHandler):
    """Every retriever's run with the run that it was started by; what each chain gave."""

    run_inline = True

    def __init__(self) -> None:
        self.parents: dict[Any, Any] = {}
        self.retrievers: list[tuple[str, Any]] = []
        self.steps: list[Any] = []

    def on_retriever_start(
        self, serialized: Any, query: str, *, run_id: Any, parent_run_id: Any = None, **_: Any
    ) -> None:
        self.parents[run_id] = parent_run_id
        self.retrievers.append((query, run_id))

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, **_: Any) -> None:
        self.parents[run_id] = parent_run_id

    def on_chain_end(self, outputs: Any, **_: Any) -> None:
        self.steps += outputs["steps"]


@pytest.mark.parametrize("world", ["sync", "async"])
async def test_the_trace_holds_the_members_and_the_decision(world: str) -> None:
    spans = Spans()
    members = [Fixed(found=documents("a")), Fixed(found=[], error=SearchError("no answer"))]
    ensemble = EnsembleRetriever(retrievers=members)
    config: Any = {"callbacks": [spans]}
    await ensemble.ainvoke("q", config) if world == "async" else ensemble.invoke("q", config)
    (_, root), *children = spans.retrievers
    assert spans.parents[root] is None
    assert len(children) == 2
    assert all(spans.parents[spans.parents[run]] == root for _, run in children)
    assert spans.steps[0]["reason"] == "by reciprocal rank in 1 rankings; 1 of 2 retrievers failed: no answer"


# -- LlamaIndex retrievers --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder = tmp_path_factory.mktemp("five")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, text in TEXTS.items():
            Path(name).write_text(text)
        kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=512))
        kb.ingest(list(TEXTS))
    return kb


async def test_a_knowledge_base_is_asked_for_k(kb: KnowledgeBase) -> None:
    own = kb.retriever(top_k=2, mode="hybrid", alpha=0.3)
    retriever = LlamaIndexRetriever(retriever=own)
    found = await both(retriever, "soup in the garden", k=4)
    assert ids(found) == [
        item.node.node_id for item in kb.retriever(top_k=4, mode="hybrid", alpha=0.3).retrieve("soup in the garden")
    ]
    assert {each.metadata["score_kind"] for each in found} == {"reciprocal_rank"}
    assert len(await both(retriever, "soup in the garden")) == own.top_k == 2


async def test_any_retriever_with_a_top_k_is_asked_for_k() -> None:
    def results(query: str, count: int) -> list[dict[str, Any]]:
        return [{"url": f"https://a.b/{at}", "text": f"result {at}"} for at in range(count)]

    web = WebRetriever("web", results, fields=("url", "text"), top_k=2)
    retriever = LlamaIndexRetriever(retriever=web, k=7)
    assert len(await both(retriever)) == 7
    assert len(await both(retriever, k=3)) == 3
    assert web.top_k == 2


async def test_any_other_retriever_is_cut_at_k() -> None:
    assert ids(await both(LlamaIndexRetriever(retriever=Shelf(), k=2))) == list(TEXTS)[:2]
    assert ids(await both(LlamaIndexRetriever(retriever=Shelf()))) == list(TEXTS)


# -- ensembles --------------------------------------------------------------------------------------------------------


async def test_the_same_text_under_two_ids_is_two_documents() -> None:
    one, other = documents("a", "b")
    other.page_content = one.page_content
    ensemble = EnsembleRetriever(retrievers=[Fixed(found=[one]), Fixed(found=[other]), Fixed(found=[one])])
    assert ids(await both(ensemble)) == ["a", "b"]


async def test_documents_without_ids_are_the_same_where_source_and_text_are() -> None:
    def unnamed(source: str) -> Document:
        return Document("the same words", metadata={"source": source})

    ensemble = EnsembleRetriever(retrievers=[Fixed(found=[unnamed("x"), unnamed("y")]), Fixed(found=[unnamed("y")])])
    found = await both(ensemble)
    assert [each.metadata["source"] for each in found] == ["y", "x"]
    assert len({each.id for each in found}) == 2
    assert ids(ensemble.invoke("again")) == ids(found)


def test_what_the_members_gave_stays_as_it_was() -> None:
    found = documents("a", "b")
    before = [document.model_copy(deep=True) for document in found]
    fused = EnsembleRetriever(retrievers=[Fixed(found=found)]).invoke("q")
    assert found == before
    assert fused[0].metadata == {"source": "a.md", "score": 1 / 61, "score_kind": "reciprocal_rank"}


class Meeting(BaseRetriever):
    """Gives nothing before all members are asked."""

    sync: Any
    world: Any

    def _get_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        self.sync.wait(30)
        return documents("a")

    async def _aget_relevant_documents(self, query: str, **_: Any) -> list[Document]:
        async with asyncio.timeout(30):
            await self.world.wait()
        return documents("a")


async def test_members_are_asked_at_once() -> None:
    members = [Meeting(sync=threading.Barrier(4), world=asyncio.Barrier(4))] * 4
    assert ids(await both(EnsembleRetriever(retrievers=members))) == ["a"]


async def test_a_member_of_weight_zero_is_not_asked() -> None:
    silent = Fixed(found=documents("b"))
    ensemble = EnsembleRetriever(retrievers=[Fixed(found=documents("a")), silent], weights=[1.0, 0.0])
    assert ids(await both(ensemble)) == ["a"]
    assert silent.asked == []


async def test_a_failing_member_is_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")  # a command run in this process before may have silenced them
    broken = Fixed(found=[], error=ConnectionError("https://key@host refused"))
    ensemble = EnsembleRetriever(retrievers=[broken, Fixed(found=documents("a"))])
    assert ids(await both(ensemble)) == ["a"]
    assert [record.getMessage() for record in caplog.records] == [
        "a retriever of an ensemble failed and is left out: ConnectionError"
    ] * 2


@pytest.mark.parametrize(
    ("errors", "policy"),
    [
        ([ConnectionError("gone"), None], "raise"),
        ([ConnectionError("gone"), TimeoutError()], "skip"),
    ],
)
async def test_a_failure_is_raised_where_that_is_the_policy_or_all_fail(errors: list[Any], policy: Any) -> None:
    members = [Fixed(found=documents("a"), error=error) for error in errors]
    ensemble = EnsembleRetriever(retrievers=members, on_failure=policy)
    with pytest.raises(ConnectionError, match="gone"):
        ensemble.invoke("q")
    with pytest.raises(ConnectionError, match="gone"):
        await ensemble.ainvoke("q")


def test_misuse_of_a_member_is_never_skipped() -> None:
    members = [Fixed(found=documents("a")), Fixed(found=[], error=UsageError("no such mode"))]
    with pytest.raises(UsageError, match="no such mode"):
        EnsembleRetriever(retrievers=members).invoke("q")


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 weights for 2 retrievers"),
        ([1.0, -1.0], r"the weights are \[1.0, -1.0\]"),
        ([0.0, 0.0], "not all of them 0"),
        ([1.0, float("nan")], "numbers of 0 or more"),
        ([1.0, float("inf")], "numbers of 0 or more"),
    ],
)
def test_weights_that_are_none_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        EnsembleRetriever(retrievers=[Fixed(found=[]), Fixed(found=[])], weights=weights)


async def test_members_may_be_of_any_kind(kb: KnowledgeBase) -> None:
    plain: RunnableLambda[str, list[Document]] = RunnableLambda(lambda query: documents("a"))
    ensemble = EnsembleRetriever(retrievers=[kb.retriever(mode="bm25"), Fixed(found=documents("b")), plain])
    assert len(await both(ensemble, "roses")) == 3


# -- multiple queries -------------------------------------------------------------------------------------------------


async def test_the_question_and_its_rewrites_are_searched_for() -> None:
    shelf = Fixed(found=documents("a"))
    llm = FakeChatModel(replies=[REWRITES])
    await both(MultiQueryRetriever(retriever=shelf, llm=llm))
    expected = {QUESTION, "days of annual leave", "holiday entitlement of employees"}
    assert set(shelf.asked[:3]) == set(shelf.asked[3:]) == expected
    assert shelf.worlds == {"sync", "async"}
    assert len(llm.calls) == 2


def test_a_drifted_query_counts_half() -> None:
    class ByQuery(Fixed):
        def _give(self, world: str, query: str) -> list[Document]:
            return documents("b") if "pancakes" in query else documents("a")

    llm = FakeChatModel(replies=["pancakes on Fridays"])
    found = MultiQueryRetriever(retriever=ByQuery(found=[]), llm=llm).invoke(QUESTION)
    assert {each.id: each.metadata["score"] for each in found} == {"a": 1 / 61, "b": 0.5 / 61}


@pytest.mark.parametrize("mode", ["empty", "error", "none"])
async def test_where_the_model_gives_no_query_the_question_is_searched_for(mode: Any) -> None:
    shelf = Fixed(found=documents("a", "b"))
    llm = FakeChatModel(replies=["??? 12 ###\n" + "word " * 100], mode=mode)
    assert ids(await both(MultiQueryRetriever(retriever=shelf, llm=llm))) == ["a", "b"]
    assert shelf.asked == [QUESTION, QUESTION]


@given(st.text(max_size=300))
@settings(max_examples=30)
def test_whatever_the_model_says_the_question_is_searched_for_and_the_rest_is_bounded(said: str) -> None:
    shelf = Fixed(found=documents("a"))
    MultiQueryRetriever(retriever=shelf, llm=FakeChatModel(replies=[said]), max_queries=3).invoke(QUESTION)
    assert QUESTION in shelf.asked
    assert len(shelf.asked) == len(set(shelf.asked)) <= 3


async def test_no_question_asks_no_model() -> None:
    llm = FakeChatModel(replies=[REWRITES])
    assert ids(await both(MultiQueryRetriever(retriever=Fixed(found=documents("a")), llm=llm), " ")) == ["a"]
    assert llm.calls == []


def test_a_spent_budget_asks_no_model() -> None:
    llm = FakeChatModel(replies=[REWRITES])
    retriever = MultiQueryRetriever(retriever=Fixed(found=documents("a")), llm=llm, budget=Budget(tokens=10))
    assert ids(retriever.invoke(QUESTION)) == ["a"]
    assert llm.calls == []


async def test_a_search_for_a_rewrite_may_fail_one_for_the_question_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("WARNING")
    llm = FakeChatModel(replies=[REWRITES])
    rewrite_fails = Fixed(found=documents("a"), error=ConnectionError("gone"), fails_on="entitlement")
    assert ids(await both(MultiQueryRetriever(retriever=rewrite_fails, llm=llm))) == ["a"]
    assert "rewritten query failed" in caplog.text
    question_fails = MultiQueryRetriever(
        retriever=Fixed(found=[], error=ConnectionError("gone"), fails_on="How many"), llm=llm
    )
    with pytest.raises(ConnectionError, match="gone"):
        question_fails.invoke(QUESTION)
    with pytest.raises(ConnectionError, match="gone"):
        await question_fails.ainvoke(QUESTION)


def test_a_transform_by_name_or_by_itself() -> None:
    shelf = Fixed(found=documents("a"))
    hyde = MultiQueryRetriever(retriever=shelf, llm=FakeChatModel(replies=["They get 25 days."]), transform="hyde")
    hyde.invoke(QUESTION)
    assert set(shelf.asked) == {QUESTION, "They get 25 days."}
    one = MultiQueryRetriever(retriever=shelf, llm=FakeChatModel(replies=[REWRITES]), transform=DiverseRewrites(n=1))
    one.invoke(QUESTION)
    assert len(shelf.asked) == 4
    with pytest.raises(UsageError, match="unknown transform 'multi'"):
        MultiQueryRetriever(retriever=shelf, llm=FakeChatModel(), transform="multi")
    with pytest.raises(UsageError, match="a int is no transform"):
        MultiQueryRetriever(retriever=shelf, llm=FakeChatModel(), transform=3)


# -- compression ------------------------------------------------------------------------------------------------------


async def test_a_langchain_compressor() -> None:
    retriever = CompressionRetriever(retriever=Fixed(found=documents("a", "b", "c")), compressor=Shouting())
    found = await both(retriever, "b c")
    assert [(each.id, each.page_content) for each in found] == [("b", "TEXT B"), ("c", "TEXT C")]


async def test_a_llama_index_postprocessor() -> None:
    compressor = SimilarityPostprocessor(similarity_cutoff=7.5)
    retriever = CompressionRetriever(retriever=Fixed(found=documents("a", "b", "c")), compressor=compressor)
    assert await both(retriever) == documents("a", "b")


async def test_nothing_found_asks_no_compressor() -> None:
    class Broken(Shouting):
        def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Sequence[Document]:
            raise MemoryError("no memory")

    assert await both(CompressionRetriever(retriever=Fixed(found=[]), compressor=Broken())) == []
    broken = CompressionRetriever(retriever=Fixed(found=documents("a")), compressor=Broken())
    with pytest.raises(MemoryError):
        broken.invoke("q")
    with pytest.raises(MemoryError):
        await broken.ainvoke("q")


async def test_a_compressor_is_traced_with_its_search() -> None:
    class Tracing(Shouting):
        def compress_documents(self, documents: Any, query: str, callbacks: Any = None) -> Sequence[Document]:
            plain: RunnableLambda[Any, Any] = RunnableLambda(lambda _: {"steps": ["compressor"]})
            plain.invoke(query, {"callbacks": callbacks})
            return list(documents)

    retriever = CompressionRetriever(retriever=Fixed(found=documents("a")), compressor=Tracing())
    spans = Spans()
    retriever.invoke("q", {"callbacks": [spans]})
    await retriever.ainvoke("q", {"callbacks": [spans]})
    assert spans.steps.count("compressor") == 2


async def test_compositions_are_made_of_compositions(kb: KnowledgeBase) -> None:
    llm = FakeChatModel(replies=["watering of roses"])
    wide = EnsembleRetriever(retrievers=[kb.retriever(mode="bm25"), kb.retriever(mode="dense")])
    deep = CompressionRetriever(retriever=MultiQueryRetriever(retriever=wide, llm=llm), compressor=Shouting(), k=1)
    found = await both(deep, "When are the roses watered?")
    assert found[0].metadata["source"] == "garden.md"
