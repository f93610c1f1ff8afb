"""`LanceVectorStore`: the suite of all stores, and what is LanceDB's own: disk, versions, indexes that grow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode

from ragloom.errors import StoreError
from ragloom.retrieval import LanceVectorStore
from ragloom.retrieval.store import table as table_module
from ragloom.testing import HashEmbedding, VectorStoreSuite
from ragloom.testing.stores import DIMENSION, sample_nodes, text_node


class TestLanceVectorStore(VectorStoreSuite):
    @pytest.fixture
    def store(self, tmp_path: Path) -> LanceVectorStore:
        return LanceVectorStore(tmp_path / "store", dimension=DIMENSION)


@pytest.fixture
def store(tmp_path: Path) -> LanceVectorStore:
    return LanceVectorStore(tmp_path / "store", dimension=DIMENSION)


def lexical(store: LanceVectorStore, text: str, k: int = 10) -> list[str]:
    return VectorStoreSuite.lexical(store, text, k).ids or []


def test_everything_is_on_disk_when_a_write_returns(store: LanceVectorStore) -> None:
    store.add(sample_nodes())
    store.delete("two")
    code = (
        "import sys; from ragloom.retrieval import LanceVectorStore\n"
        f"store = LanceVectorStore(sys.argv[1], dimension={DIMENSION})\n"
        "print(''.join(sorted(node.node_id for node in store.get_nodes())))"
    )
    found = subprocess.run([sys.executable, "-c", code, store.folder], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "abef"


def test_one_handle_sees_what_another_wrote(store: LanceVectorStore) -> None:
    other = LanceVectorStore(store.folder, dimension=DIMENSION)
    assert lexical(other, "fox") == []
    store.add(sample_nodes())
    assert lexical(other, "fox") == ["b", "a", "d"]
    assert VectorStoreSuite.dense(other).ids == list("abcdef")
    other.delete("one")
    assert lexical(store, "fox") == ["d"]
    store.add([text_node("g", "another fox", (1,))])
    assert set(lexical(other, "fox")) == {"d", "g"}


def test_a_snapshot_stays_as_it_was(store: LanceVectorStore) -> None:
    store.add(sample_nodes())
    snapshot = store.client.snapshot()
    store.clear()
    store.client.maintain()
    assert len(snapshot) == 6
    assert len(snapshot.search_text("fox", 10)) == 3
    assert len(store.client.snapshot()) == 0


def test_the_wrong_dimension_is_refused(store: LanceVectorStore) -> None:
    with pytest.raises(StoreError, match=f"vectors of {DIMENSION} numbers, the embedder makes 7"):
        LanceVectorStore(store.folder, dimension=7)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="cannot open the chunk table"):
        LanceVectorStore(tmp_path / "file", dimension=DIMENSION)


def test_tables_of_one_folder_are_apart(tmp_path: Path) -> None:
    one = LanceVectorStore(tmp_path, dimension=DIMENSION, table="one")
    two = LanceVectorStore(tmp_path, dimension=DIMENSION, table="two")
    one.add(sample_nodes())
    assert two.get_nodes() == []


def test_new_rows_are_in_the_text_index_before_and_after_maintenance(store: LanceVectorStore) -> None:
    store.add([text_node(f"old{n}", f"the old pond number {n}", (1,)) for n in range(50)])
    store.client.maintain()
    store.add([text_node("new", "a frog jumps into the pond", (0, 1))])
    assert lexical(store, "frog") == ["new"]
    assert len(lexical(store, "pond", 100)) == 51
    store.client.maintain()
    assert lexical(store, "frog") == ["new"]
    assert len(lexical(store, "pond", 100)) == 51
    store.add([text_node("new", "nothing of that kind", (0, 1))])
    assert lexical(store, "frog") == []


def test_the_ann_index_builds_itself_and_stays_fresh(store: LanceVectorStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "ANN_MIN_ROWS", 2000)
    dice = np.random.default_rng(1)
    vectors = dice.normal(size=(10_500, DIMENSION))

    def add(first: int, last: int) -> None:
        store.add([TextNode(id_=str(n), text=f"row {n}", embedding=vectors[n].tolist()) for n in range(first, last)])

    def indexes() -> list[str]:
        return [name for name in (i.name for i in store.client._table.list_indices()) if name.startswith("vector")]

    def exact(query: np.ndarray, rows: int, k: int) -> list[str]:
        scores = vectors[:rows] @ query / np.linalg.norm(vectors[:rows], axis=1)
        return [str(n) for n in np.argsort(-scores)[:k]]

    def recall(rows: int) -> float:
        hits = 0
        for query in vectors[:60] + dice.normal(size=(60, DIMENSION)) * 0.1:
            found = VectorStoreSuite.dense(store, 10)  # any query first: the handle must not be fresh
            snapshot = store.client.snapshot()
            ids = [row["id"] for row in snapshot.take(list(snapshot.search_vector(query.tolist(), 10)), ["id"])]
            assert len(found.ids or []) == 10
            hits += len({*ids} & {*exact(query, rows, 10)})
        return hits / 600

    add(0, 1500)
    store.client.maintain()
    assert indexes() == []
    assert recall(1500) == 1.0
    add(1500, 2500)
    store.client.maintain()
    (first,) = indexes()
    assert recall(2500) >= 0.95

    add(2500, 2600)  # not in the index yet, but found at once
    for n in (2500, 2599):
        snapshot = store.client.snapshot()
        found = snapshot.take(list(snapshot.search_vector(vectors[n].tolist(), 1)), ["id"])
        assert found[0]["id"] == str(n)
    store.client.maintain()
    assert indexes() == [first]
    assert recall(2600) >= 0.95
    statistics = store.client._table.index_stats(first)
    assert statistics.num_unindexed_rows == 0

    add(2600, 10_500)  # more than ANN_REGROW times the first
    store.client.maintain()
    (second,) = indexes()
    assert second != first
    assert recall(10_500) >= 0.95


def test_llama_index_builds_an_index_on_it(tmp_path: Path) -> None:
    embedder = HashEmbedding(size=64)
    store = LanceVectorStore(tmp_path, dimension=64)
    index = VectorStoreIndex.from_vector_store(store, embed_model=embedder)
    index.insert_nodes([TextNode(text="Roses are watered at dawn."), TextNode(text="Hotels cost 165 euros.")])
    assert index.as_retriever(similarity_top_k=1).retrieve("hotels")[0].node.get_content() == "Hotels cost 165 euros."
    mode = {"vector_store_query_mode": "hybrid", "alpha": 0.3}
    assert index.as_retriever(similarity_top_k=2, **mode).retrieve("roses")[0].node.get_content().startswith("Roses")
