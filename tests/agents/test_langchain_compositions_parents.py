"""Small chunks are searched, whole parents are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.stores import InMemoryStore
from langchain_kit import Fixed, ids
from llama_index.core.vector_stores.types import MetadataFilter, MetadataFilters

from ragloom.agents.langchain import KnowledgeBaseParents, LlamaIndexRetriever, ParentRetriever, StoreParents
from ragloom.errors import UsageError
from ragloom.retrieval import ChunkSettings, KnowledgeBase
from ragloom.testing import HashEmbedding

WHOLE = {name: Document(f"all of {name}", metadata={"source": f"{name}.md"}) for name in "xyz"}


def child(name: str, parent: str, **metadata: Any) -> Document:
    return Document(f"part {name}", id=name, metadata={"doc_id": parent, "score_kind": "bm25", **metadata})


async def both(retriever: Any, query: str = "q", **options: Any) -> list[Document]:
    found: list[Document] = retriever.invoke(query, **options)
    assert await retriever.ainvoke(query, **options) == found
    return found


def held(store: str) -> Any:
    if store == "mapping":
        return WHOLE
    if store == "other key":
        return StoreParents(WHOLE, key="doc_id")
    memory: InMemoryStore = InMemoryStore()
    memory.mset(list(WHOLE.items()))
    return memory


@pytest.mark.parametrize("store", ["mapping", "store", "other key"])
async def test_each_parent_once_at_the_rank_of_its_best_child(store: str) -> None:
    children = [child("1", "y", score=3.0), child("2", "x", score=2.0), child("3", "y", score=1.0)]
    found = await both(ParentRetriever(retriever=Fixed(found=children), parents=held(store)))
    assert [(each.id, each.page_content) for each in found] == [("y", "all of y"), ("x", "all of x")]
    assert found[0].metadata == {"source": "y.md", "score": 3.0, "score_kind": "bm25", "children": ["1", "3"]}
    assert WHOLE["y"] == Document("all of y", metadata={"source": "y.md"})


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz?")), unique_by=lambda pair: pair[0]),
    st.none() | st.integers(1, 5),
)
def test_the_law_of_parents(pairs: list[tuple[str, str]], k: int | None) -> None:
    """First mentions in order; a child without a parent stands for itself; nothing that was found is lost."""
    children = [child(name, parent) for name, parent in pairs]
    retriever = ParentRetriever(retriever=Fixed(found=children), parents=WHOLE)
    whole = retriever.invoke("q")
    assert ids(whole) == list(dict.fromkeys(parent if parent in WHOLE else name for name, parent in pairs))
    assert sorted(name for each in whole for name in each.metadata["children"]) == sorted(name for name, _ in pairs)
    assert retriever.invoke("q", k=k) == whole[:k]


async def test_nothing_found_looks_nothing_up() -> None:
    class Broken(StoreParents):
        def of(self, children: Any) -> list[Document | None]:
            raise ConnectionError("gone")

    broken = Broken(WHOLE)
    assert await both(ParentRetriever(retriever=Fixed(found=[]), parents=broken)) == []
    failing = ParentRetriever(retriever=Fixed(found=[child("1", "x")]), parents=broken)
    with pytest.raises(ConnectionError):
        failing.invoke("q")
    with pytest.raises(ConnectionError):
        await failing.ainvoke("q")


def test_what_holds_no_parents_is_refused() -> None:
    with pytest.raises(UsageError, match=r"a list holds no parents .*a mapping, a LangChain store"):
        ParentRetriever(retriever=Fixed(found=[]), parents=[])


# -- of a knowledge base ----------------------------------------------------------------------------------------------

PARAGRAPHS = [
    f"Rule {n}: the {word} is kept in room {n}."
    for n, word in enumerate(
        ["ladder", "kettle", "printer", "telescope", "piano", "anchor", "lantern", "compass"], start=1
    )
]
TEXT = "\n\n".join(PARAGRAPHS)


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    """One text in eight chunks, for two tenants."""
    folder = tmp_path_factory.mktemp("rules")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        Path("rules.md").write_text(TEXT)
        kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(), chunking=ChunkSettings(size=16, overlap=0))
        kb.ingest(["rules.md"])
        kb.ingest(["rules.md"], tenant="other")
    return kb


def test_the_knowledge_base_has_several_chunks(kb: KnowledgeBase) -> None:
    found = LlamaIndexRetriever(retriever=kb.retriever(mode="bm25", top_k=20)).invoke("rule")
    assert sorted(each.page_content for each in found) == sorted(PARAGRAPHS)


def parents_of(kb: KnowledgeBase, query: str, *, top_k: int = 3, **options: Any) -> ParentRetriever:
    retriever = kb.retriever(mode="bm25", top_k=top_k)
    return ParentRetriever(retriever=retriever, parents=KnowledgeBaseParents(kb, **options))


async def test_the_whole_document(kb: KnowledgeBase) -> None:
    (found,) = await both(parents_of(kb, "piano kettle"), "piano kettle")
    assert found.page_content == TEXT
    assert found.id == found.metadata["doc_id"]
    assert (found.metadata["start"], found.metadata["end"]) == (0, len(TEXT))
    assert found.metadata["source"] == "rules.md"
    assert found.metadata["score_kind"] == "bm25"
    assert len(found.metadata["children"]) == 2


async def test_neighbours(kb: KnowledgeBase) -> None:
    found = await both(parents_of(kb, "piano ladder", neighbours=1), "piano ladder")
    texts = {each.page_content for each in found}
    assert texts == {"\n\n".join(PARAGRAPHS[3:6]), "\n\n".join(PARAGRAPHS[:2])}
    for each in found:
        assert TEXT[each.metadata["start"] : each.metadata["end"]] == each.page_content


async def test_windows_that_touch_are_one(kb: KnowledgeBase) -> None:
    (found,) = await both(parents_of(kb, "kettle piano", neighbours=1), "kettle piano")
    assert found.page_content == "\n\n".join(PARAGRAPHS[:6])
    assert len(found.metadata["children"]) == 2


@given(data=st.data(), neighbours=st.none() | st.integers(0, 3))
def test_the_law_of_windows(kb: KnowledgeBase, data: Any, neighbours: int | None) -> None:
    """Every child is in its parent, parents are cut from the text and share no character."""
    chunks = LlamaIndexRetriever(retriever=kb.retriever(mode="bm25", top_k=20)).invoke("rule")
    children = data.draw(st.lists(st.sampled_from(chunks), unique_by=lambda each: each.id))
    parents = KnowledgeBaseParents(kb, neighbours=neighbours).of(children)
    once = {each.id: each for each in parents if each is not None}
    for chunk, parent in zip(children, parents, strict=True):
        assert parent is not None
        assert chunk.page_content in parent.page_content
    spans = sorted((each.metadata["start"], each.metadata["end"]) for each in once.values())
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    assert all(TEXT[each.metadata["start"] : each.metadata["end"]] == each.page_content for each in once.values())


def test_another_tenants_document_is_never_given(kb: KnowledgeBase) -> None:
    child = LlamaIndexRetriever(retriever=kb.retriever(mode="bm25", top_k=1)).invoke("piano")
    assert KnowledgeBaseParents(kb, tenant="other").of(child) == [None]
    assert KnowledgeBaseParents(kb, collection="elsewhere").of(child) == [None]
    other = LlamaIndexRetriever(retriever=kb.retriever(mode="bm25", top_k=1, tenant="other")).invoke("piano")
    assert KnowledgeBaseParents(kb).of(other) == [None]
    (own,) = KnowledgeBaseParents(kb, tenant="other").of(other)
    assert own is not None
    assert own.metadata["tenant"] == "other"


def test_filters_hold_for_parents(kb: KnowledgeBase) -> None:
    chunks = LlamaIndexRetriever(retriever=kb.retriever(mode="bm25", top_k=20)).invoke("rule")
    start = sorted(each.metadata["start"] for each in chunks)[4]
    filters = MetadataFilters(filters=[MetadataFilter(key="start", value=start, operator="<")])  # type: ignore[arg-type]
    piano = [each for each in chunks if "kettle" in each.page_content]
    (parent,) = KnowledgeBaseParents(kb, filters=filters).of(piano)
    assert parent is not None
    assert parent.page_content == "\n\n".join(PARAGRAPHS[:4])


PROSE = " ".join(f"Sentence number {n} says something about the subject {n}." for n in range(30))
TABLE = "| name | price |\n| --- | --- |\n" + "\n".join(f"| item {n} | {n * 7} euros |" for n in range(40))


def chunks_of(text: str, folder: Path, chunking: ChunkSettings) -> tuple[KnowledgeBase, list[Document]]:
    Path("long.md").write_text(text)
    kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(), chunking=chunking)
    kb.ingest(["long.md"])
    return kb, LlamaIndexRetriever(retriever=kb.retriever(mode="bm25", top_k=50)).invoke("sentence item")


@pytest.mark.parametrize("strategy", ["sentence", "tokens"])
def test_what_chunks_share_stands_once(tmp_path: Path, strategy: Any) -> None:
    kb, chunks = chunks_of(PROSE, tmp_path, ChunkSettings(strategy=strategy, size=60, overlap=20))
    spans = sorted((each.metadata["start"], each.metadata["end"]) for each in chunks)
    assert any(start < end for (_, end), (start, _) in zip(spans, spans[1:], strict=False))
    (parent, *_) = KnowledgeBaseParents(kb).of(chunks)
    assert parent is not None
    assert parent.page_content.split() == PROSE.split()


def test_a_repeated_table_header_stands_once(tmp_path: Path) -> None:
    kb, chunks = chunks_of(f"The prices of items.\n\n{TABLE}", tmp_path, ChunkSettings(size=60))
    assert sum("| name | price |" in each.page_content for each in chunks) > 1
    (parent, *_) = KnowledgeBaseParents(kb).of(chunks)
    assert parent is not None
    assert parent.page_content == f"The prices of items.\n\n{TABLE}"


def test_a_negative_window_is_refused(kb: KnowledgeBase) -> None:
    with pytest.raises(UsageError, match="neighbours is -1"):
        KnowledgeBaseParents(kb, neighbours=-1)
