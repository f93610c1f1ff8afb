"""One retriever in several modes: what it may see stays, and a vector of one's own takes the place of the query's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from llama_index.core.schema import QueryBundle
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from ragloom.errors import UsageError
from ragloom.retrieval import KnowledgeBase
from ragloom.retrieval.search import MODES
from ragloom.testing import HashEmbedding

FRUIT = ("apple", "banana", "cherry")


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder: Path = tmp_path_factory.mktemp("modes")
    kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=64))
    for tenant in ("a", "b"):
        (folder / tenant).mkdir()
        for name in FRUIT:
            (folder / tenant / f"{name}.txt").write_text(f"Notes of {tenant} on the {name}. It is a fruit.")
        kb.ingest([folder / tenant / "apple.txt"], tenant=tenant, collection="red")
        kb.ingest([folder / tenant], tenant=tenant, collection="all")
    return kb


def found(retriever: Any, query: Any = "notes on fruit") -> list[tuple[str, float, str]]:
    nodes = retriever.retrieve(query)
    return [(each.node.node_id, each.score, each.node.metadata["score_kind"]) for each in nodes]


@pytest.mark.parametrize("before", MODES)
@pytest.mark.parametrize("after", MODES)
def test_it_is_what_a_new_retriever_of_that_mode_would_be(kb: KnowledgeBase, before: Any, after: Any) -> None:
    moved = kb.retriever(mode=before, top_k=3, tenant="a", collection="all").with_mode(after)
    new = kb.retriever(mode=after, top_k=3, tenant="a", collection="all")
    assert found(moved) == found(new)
    assert (moved.mode, moved.alpha, moved.fusion, moved.top_k) == (after, new.alpha, new.fusion, 3)


@pytest.mark.parametrize("mode", MODES)
def test_what_may_be_seen_carries_over(kb: KnowledgeBase, mode: Any) -> None:
    banana = MetadataFilters(filters=[MetadataFilter(key="page", value=1)])
    scopes: list[dict[str, Any]] = [{"tenant": "a"}, {"tenant": "b", "collection": "red"}, {"tenant": "nobody"}, {}]
    for scope in scopes:
        mine = {item[0] for item in found(kb.retriever(mode="bm25", top_k=50, **scope))}
        for options in ({}, {"filters": banana}):
            moved = kb.retriever(top_k=1, **scope, **options).with_mode(mode, top_k=50)
            assert {item[0] for item in found(moved)} == mine
    none = MetadataFilters(filters=[MetadataFilter(key="page", value=2)])
    assert found(kb.retriever(tenant="a", filters=none).with_mode(mode, top_k=50)) == []


def test_the_retriever_itself_stays_what_it_was(kb: KnowledgeBase) -> None:
    first = kb.retriever(mode="hybrid", alpha=0.25, fusion="relative", top_k=2, tenant="a")
    assert first.with_mode("bm25", 9).top_k == 9
    assert (first.mode, first.alpha, first.fusion, first.top_k) == ("hybrid", 0.25, "relative", 2)
    again = first.with_mode("hybrid", 4)  # the same mode keeps its settings
    assert (again.mode, again.alpha, again.fusion, again.top_k) == ("hybrid", 0.25, "relative", 4)


@pytest.mark.parametrize(("mode", "top_k"), [("sparse", 3), ("dense", 0)])
def test_bad_modes(kb: KnowledgeBase, mode: Any, top_k: int) -> None:
    with pytest.raises(UsageError):
        kb.retriever().with_mode(mode, top_k)


@pytest.mark.parametrize("mode", ["dense", "hybrid", "default"])
def test_a_vector_stands_for_the_query(kb: KnowledgeBase, mode: Any) -> None:
    embedder: Any = kb.embedder
    retriever = kb.retriever(mode=mode, tenant="a", top_k=4)
    banana = kb.query_vector("the banana").tolist()
    asked = embedder.queries
    moved = found(retriever, QueryBundle("zzz", embedding=banana))
    assert embedder.queries == asked  # nothing is embedded that has a vector already
    assert moved != found(retriever, "zzz")
    own = kb.query_vector("zzz").tolist()
    assert found(retriever, QueryBundle("zzz", embedding=own)) == found(retriever, "zzz")
    if mode == "dense":
        assert moved == found(retriever, "the banana")


def test_words_need_no_vector(kb: KnowledgeBase) -> None:
    retriever = kb.retriever(mode="bm25", tenant="a")
    assert found(retriever, QueryBundle("banana", embedding=[1.0] * 64)) == found(retriever, "banana")
