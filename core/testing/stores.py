"""What every vector store of ours must do, as a class of tests to be inherited from.

>>> class TestMyStore(VectorStoreSuite):  # doctest: +SKIP
...     @pytest.fixture
...     def store(self, tmp_path): return MyVectorStore(tmp_path, dimension=6)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import pytest
from llama_index.core.schema import NodeRelationship, RelatedNodeInfo, TextNode
from llama_index.core.vector_stores.types import (
    BasePydanticVectorStore,
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)

__all__ = ("DIMENSION", "VectorStoreSuite", "sample_nodes", "text_node")

DIMENSION = 6
"""Length of the suite's vectors."""

ODD_TEXTS = ("it's", 'say "no"', "'; DROP TABLE chunks; --", "x' OR '1'='1", "100%_\\n", "日本語 🦊", "a--b", "café")
"""Values that break predicates put together carelessly."""


def text_node(node_id: str, text: str, vector: Sequence[float], doc: str = "", **metadata: Any) -> TextNode:
    """A node with its vector, filled up with zeros, that belongs to the document `doc`."""
    padded = [*map(float, vector), *[0.0] * (DIMENSION - len(vector))]
    node = TextNode(id_=node_id, text=text, embedding=padded, metadata=metadata)
    if doc:
        node.relationships[NodeRelationship.SOURCE] = RelatedNodeInfo(node_id=doc)
    return node


def sample_nodes() -> list[TextNode]:
    """Six nodes of three documents. By the vector (1, 0.1) their order is a to f; by the word 'fox' b, a, d."""
    return [
        text_node("a", "the fox sleeps in the den all day", (1, 0.1), "one", kind="animal", year=2019, price=1.5),
        text_node("b", "fox fox fox", (1, 0.4), "one", kind="animal", year=2020, price=2.0, draft=True),
        text_node("c", "the cat drinks milk", (1, 0.8), "two", kind="pet", year=2021, note=ODD_TEXTS[0]),
        text_node("d", "a very long text where one single fox is named only in passing", (0.4, 1), "two", year=2022),
        text_node("e", "stars and planets", (0, 1), "three", kind="space", source="sky.pdf", page=3),
        text_node("f", "galaxies", (-1, 1), "three", kind="space", source="sky.pdf", page=12, draft=False),
    ]


def where(key: str, operator: str, value: Any) -> MetadataFilter:
    """One condition."""
    return MetadataFilter(key=key, operator=FilterOperator(operator), value=value)


def all_of(*parts: MetadataFilter | MetadataFilters) -> MetadataFilters:
    """Conditions that all hold."""
    return MetadataFilters(filters=list(parts), condition=FilterCondition.AND)


def any_of(*parts: MetadataFilter | MetadataFilters) -> MetadataFilters:
    """Conditions of which one holds."""
    return MetadataFilters(filters=list(parts), condition=FilterCondition.OR)


def none_of(*parts: MetadataFilter | MetadataFilters) -> MetadataFilters:
    """Conditions of which none holds."""
    return MetadataFilters(filters=list(parts), condition=FilterCondition.NOT)


FILTERS: list[tuple[MetadataFilters, str]] = [
    (all_of(where("kind", "==", "animal")), "ab"),
    (all_of(where("kind", "!=", "animal")), "cdef"),
    (all_of(where("year", "==", 2020)), "b"),
    (all_of(where("year", ">", 2020)), "cd"),
    (all_of(where("year", ">=", 2020)), "bcd"),
    (all_of(where("year", "<", 2020)), "a"),
    (all_of(where("year", "<=", 2020)), "ab"),
    (all_of(where("price", ">", 1.6)), "b"),
    (all_of(where("price", "==", 2)), "b"),
    (all_of(where("kind", "in", ["pet", "space"])), "cef"),
    (all_of(where("kind", "nin", ["pet", "space"])), "abd"),
    (all_of(where("kind", "in", [])), ""),
    (all_of(where("kind", "nin", [])), "abcdef"),
    (all_of(where("year", "in", [2019, 2022])), "ad"),
    (all_of(where("kind", "contains", "nim")), "ab"),
    (all_of(where("kind", "text_match", "spa")), "ef"),
    (all_of(where("kind", "text_match_insensitive", "SPA")), "ef"),
    (all_of(where("kind", "is_empty", None)), "d"),
    (all_of(where("source", "==", "sky.pdf")), "ef"),
    (all_of(where("source", "contains", "sky")), "ef"),
    (all_of(where("source", "is_empty", None)), "abcd"),
    (all_of(where("page", ">=", 3)), "ef"),
    (all_of(where("page", ">=", 4)), "f"),
    (all_of(where("page", "in", [3, 12])), "ef"),
    (all_of(where("source", "==", "sky.pdf"), where("page", "<", 10)), "e"),
    (all_of(where("kind", "==", "animal"), where("year", ">", 2019)), "b"),
    (any_of(where("kind", "==", "pet"), where("page", "==", 12)), "cf"),
    (none_of(where("year", ">", 0), where("page", "==", 3)), "f"),
    (all_of(any_of(where("kind", "==", "pet"), where("kind", "==", "animal")), where("year", "<", 2021)), "ab"),
    (any_of(all_of(where("kind", "==", "space"), where("page", "==", 3)), where("year", "==", 2019)), "ae"),
    (all_of(none_of(where("kind", "==", "space")), where("year", ">", 2021)), "d"),
    (all_of(where("note", "==", "it's")), "c"),
    (all_of(where("note", "==", "x' OR '1'='1")), ""),
    (all_of(where("kind", "==", "animal') OR ('1'='1")), ""),
    (all_of(where("source", "==", "' OR 1=1 --")), ""),
    (all_of(where("no-such-key", "==", "x")), ""),
    (MetadataFilters(filters=[]), "abcdef"),
]
"""Filters, and the sample nodes that meet each."""


class VectorStoreSuite(ABC):
    """Inherit, give the fixture `store`, and pytest runs all of this on your store."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> BasePydanticVectorStore:
        """An empty store for vectors of `DIMENSION`."""

    @pytest.fixture
    def filled(self, store: BasePydanticVectorStore) -> BasePydanticVectorStore:
        """The store with the sample nodes."""
        store.add(sample_nodes())
        return store

    @staticmethod
    def dense(store: BasePydanticVectorStore, k: int = 10, **options: Any) -> VectorStoreQueryResult:
        """The nodes nearest to (1, 0.1)."""
        vector = [1.0, 0.1, 0.0, 0.0, 0.0, 0.0]
        return store.query(VectorStoreQuery(query_embedding=vector, similarity_top_k=k, **options))

    @staticmethod
    def lexical(
        store: BasePydanticVectorStore, text: str = "fox", k: int = 10, **options: Any
    ) -> VectorStoreQueryResult:
        """The nodes that match a text."""
        mode = VectorStoreQueryMode.TEXT_SEARCH
        return store.query(VectorStoreQuery(query_str=text, similarity_top_k=k, mode=mode, **options))

    @staticmethod
    def hybrid(
        store: BasePydanticVectorStore, alpha: float | None = None, text: str = "fox", k: int = 10, **options: Any
    ) -> VectorStoreQueryResult:
        """Both."""
        vector = [1.0, 0.1, 0.0, 0.0, 0.0, 0.0]
        return store.query(
            VectorStoreQuery(
                query_str=text,
                query_embedding=vector,
                similarity_top_k=k,
                mode=VectorStoreQueryMode.HYBRID,
                alpha=alpha,
                **options,
            )
        )

    # -- add, get, delete -----------------------------------------------------------------------------------------

    def test_add_returns_ids_in_order(self, store: BasePydanticVectorStore) -> None:
        """And adding nothing is no error."""
        assert store.add(sample_nodes()) == list("abcdef")
        assert store.add([]) == []

    def test_nodes_come_back_as_they_went_in(self, filled: BasePydanticVectorStore) -> None:
        """Text, metadata with their types, document, embedding."""
        for node in sample_nodes():
            (back,) = filled.get_nodes([node.node_id])
            assert back.get_content() == node.get_content()
            assert back.ref_doc_id == node.ref_doc_id
            assert node.metadata.items() <= back.metadata.items()
            assert back.embedding == pytest.approx(node.embedding, abs=1e-6)

    def test_get_nodes_keeps_the_order_of_ids(self, filled: BasePydanticVectorStore) -> None:
        """Unknown ids are left out; without ids, all."""
        assert [node.node_id for node in filled.get_nodes(["e", "nothing", "a", "c"])] == ["e", "a", "c"]
        assert filled.get_nodes([]) == []
        assert {node.node_id for node in filled.get_nodes()} == set("abcdef")

    def test_adding_a_known_id_replaces_the_node(self, filled: BasePydanticVectorStore) -> None:
        """Never two nodes of an id; nor with the same id twice in one call, where the last one counts."""
        filled.add([text_node("a", "a new text about whales", (0, 0, 1), "one", kind="sea")])
        (node,) = filled.get_nodes(["a"])
        assert (node.get_content(), node.metadata["kind"]) == ("a new text about whales", "sea")
        assert "year" not in node.metadata
        assert len(filled.get_nodes()) == 6
        assert self.lexical(filled, "whales").ids == ["a"]
        assert self.lexical(filled, "den").ids == []
        filled.add([text_node("a", "first", (1,)), text_node("a", "second", (1,))])
        assert [node.get_content() for node in filled.get_nodes(["a"])] == ["second"]

    def test_delete_removes_a_document(self, filled: BasePydanticVectorStore) -> None:
        """All its nodes, and no others; an unknown one is no error."""
        filled.delete("two")
        filled.delete("no such document")
        filled.delete("three' OR '1'='1")
        assert {node.node_id for node in filled.get_nodes()} == set("abef")
        assert set(self.dense(filled).ids or []) == set("abef")

    def test_delete_nodes(self, filled: BasePydanticVectorStore) -> None:
        """By ids, by filters, by both (nodes that meet both); by neither, none."""
        filled.delete_nodes()
        assert len(filled.get_nodes()) == 6
        filled.delete_nodes(["a", "c"], all_of(where("kind", "==", "pet")))
        assert {node.node_id for node in filled.get_nodes()} == set("abdef")
        filled.delete_nodes(["a", "nothing"])
        filled.delete_nodes([])
        assert {node.node_id for node in filled.get_nodes()} == set("bdef")
        filled.delete_nodes(filters=all_of(where("kind", "==", "space")))
        assert {node.node_id for node in filled.get_nodes()} == set("bd")

    def test_clear(self, filled: BasePydanticVectorStore) -> None:
        """Nothing is left, and the store goes on working."""
        filled.clear()
        assert filled.get_nodes() == []
        assert self.dense(filled).ids == []
        filled.add(sample_nodes()[:1])
        assert self.dense(filled).ids == ["a"]

    # -- queries --------------------------------------------------------------------------------------------------

    def test_dense_order_and_scores(self, filled: BasePydanticVectorStore) -> None:
        """Nearest first, similarities falling, as many as asked for."""
        found = self.dense(filled)
        assert found.ids == list("abcdef")
        assert [node.node_id for node in found.nodes or []] == found.ids
        assert found.similarities == sorted(found.similarities or [], reverse=True)
        assert (found.similarities or [0])[0] == pytest.approx(1.0, abs=1e-5)
        assert self.dense(filled, 2).ids == ["a", "b"]

    def test_text_search(self, filled: BasePydanticVectorStore) -> None:
        """Only what matches, best first; words are stemmed, case does not matter."""
        found = self.lexical(filled)
        assert found.ids == ["b", "a", "d"]
        assert found.similarities == sorted(found.similarities or [], reverse=True)
        assert self.lexical(filled, "FOXES").ids == ["b", "a", "d"]
        assert self.lexical(filled, "planet star").ids == ["e"]
        assert self.lexical(filled, "fox", 1).ids == ["b"]

    @pytest.mark.parametrize("k", [1, 2, 3, 10])
    def test_both_ends_of_alpha_are_the_pure_modes(self, filled: BasePydanticVectorStore, k: int) -> None:
        """0 is text search, 1 is dense."""
        assert self.hybrid(filled, 0.0, k=k).ids == self.lexical(filled, k=k).ids
        assert self.hybrid(filled, 1.0, k=k).ids == self.dense(filled, k).ids

    def test_hybrid_uses_both(self, filled: BasePydanticVectorStore) -> None:
        """What both rank high comes first; what only one finds is there too; without alpha it is 0.5."""
        found = self.hybrid(filled, 0.5)
        assert (found.ids or [])[:2] in (["a", "b"], ["b", "a"])
        assert set(found.ids or []) >= set("abcd")
        assert found.similarities == sorted(found.similarities or [], reverse=True)
        assert self.hybrid(filled).ids == found.ids
        assert len(self.hybrid(filled, 0.5, k=2).ids or []) == 2

    def test_unknown_modes_raise(self, filled: BasePydanticVectorStore) -> None:
        """Instead of silently being dense."""
        with pytest.raises(Exception, match=r"mode.*svm"):
            self.dense(filled, mode=VectorStoreQueryMode.SVM)

    def test_missing_parts_of_a_query_raise(self, filled: BasePydanticVectorStore) -> None:
        """A dense query needs a vector, a full-text one a text."""
        with pytest.raises(Exception, match="query_embedding"):
            filled.query(VectorStoreQuery(query_str="fox"))
        with pytest.raises(Exception, match="query_str"):
            filled.query(VectorStoreQuery(mode=VectorStoreQueryMode.TEXT_SEARCH))

    def test_empty_results_are_empty_lists(self, store: BasePydanticVectorStore) -> None:
        """On an empty store, and where nothing matches."""
        nothing = all_of(where("kind", "==", "nothing"))
        for _ in range(2):
            results = [
                self.lexical(store, "zebra"),
                self.dense(store, filters=nothing),
                self.lexical(store, filters=nothing),
                self.hybrid(store, 0.5, filters=nothing),
            ]
            for found in results:
                assert (found.ids, found.nodes, found.similarities) == ([], [], [])
            store.add(sample_nodes())

    @pytest.mark.parametrize("text", ["", "   ", "!!!", '"', "AND OR NOT", "fox*", "a:b", "(", "+-~^", "ﬁ\u0301", "🦊"])
    def test_any_text_may_be_searched(self, filled: BasePydanticVectorStore, text: str) -> None:
        """A query is words, never a query language."""
        found = self.hybrid(filled, 0.5, text=text) if text.strip() else self.dense(filled)
        assert len(found.ids or []) == 6

    # -- filters --------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize(("filters", "expected"), FILTERS, ids=range(len(FILTERS)))
    def test_filters(self, filled: BasePydanticVectorStore, filters: MetadataFilters, expected: str) -> None:
        """The same nodes in every mode, and in `get_nodes`."""
        assert sorted(node.node_id for node in filled.get_nodes(filters=filters)) == list(expected)
        assert sorted(self.dense(filled, filters=filters).ids or []) == list(expected)
        foxes = set(expected) & set("abd")
        assert set(self.lexical(filled, filters=filters).ids or []) == foxes
        assert set(self.hybrid(filled, 0.5, filters=filters).ids or []) == set(expected)

    def test_filters_are_applied_before_the_cut(self, filled: BasePydanticVectorStore) -> None:
        """The best of what meets the filter, however far down it stands."""
        space = all_of(where("kind", "==", "space"))
        assert self.dense(filled, 1, filters=space).ids == ["e"]
        assert self.hybrid(filled, 0.5, k=1, filters=space).ids == ["e"]

    def test_filters_doc_ids_and_node_ids_all_hold(self, filled: BasePydanticVectorStore) -> None:
        """None of the three overwrites another."""
        animals = all_of(where("kind", "==", "animal"))
        assert set(self.dense(filled, doc_ids=["one", "two"]).ids or []) == set("abcd")
        assert set(self.dense(filled, node_ids=["a", "f"]).ids or []) == set("af")
        assert set(self.dense(filled, doc_ids=["one", "two"], node_ids=["b", "c", "e"]).ids or []) == set("bc")
        assert self.dense(filled, doc_ids=["one", "two"], node_ids=["b", "c", "e"], filters=animals).ids == ["b"]
        assert self.lexical(filled, doc_ids=["two"], filters=animals).ids == []
        assert self.hybrid(filled, 0.5, doc_ids=["one"], node_ids=["a"], filters=animals).ids == ["a"]

    @pytest.mark.parametrize("value", ODD_TEXTS)
    def test_values_are_data_never_code(self, filled: BasePydanticVectorStore, value: str) -> None:
        """Quotes and SQL in texts, ids, documents and metadata, stored and compared."""
        filled.add([text_node(f"id {value}", f"text {value}", (0, 0, 1), f"doc {value}", tag=value, source=value)])
        for key in ("tag", "source"):
            found = self.dense(filled, filters=all_of(where(key, "==", value)))
            assert found.ids == [f"id {value}"]
            assert self.dense(filled, filters=all_of(where(key, "in", [value, "x"]))).ids == found.ids
            assert self.dense(filled, filters=all_of(where(key, "contains", value))).ids == found.ids
        (node,) = filled.get_nodes([f"id {value}"])
        assert (node.get_content(), node.metadata["tag"], node.ref_doc_id) == (f"text {value}", value, f"doc {value}")
        filled.delete(f"doc {value}")
        assert len(filled.get_nodes()) == 6

    # -- async ----------------------------------------------------------------------------------------------------

    async def test_async_does_what_sync_does(self, store: BasePydanticVectorStore) -> None:
        """Every method that has both."""
        assert await store.async_add(sample_nodes()) == list("abcdef")
        query = VectorStoreQuery(
            query_str="fox",
            query_embedding=[1.0, 0.1, 0, 0, 0, 0],
            mode=VectorStoreQueryMode.HYBRID,
            alpha=0.5,
            similarity_top_k=4,
        )
        there, here = await store.aquery(query), store.query(query)
        assert (there.ids, there.similarities) == (here.ids, here.similarities)
        assert [node.node_id for node in await store.aget_nodes(["c", "a"])] == ["c", "a"]
        await store.adelete("three")
        await store.adelete_nodes(["a"])
        assert {node.node_id for node in await store.aget_nodes()} == set("bcd")
        await store.aclear()
        assert await store.aget_nodes() == []
