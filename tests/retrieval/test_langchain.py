"""The LangChain face, by LangChain's own suite; the LlamaIndex face, by ours, in every mode."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.retrievers import BaseRetriever
from langchain_tests.integration_tests import RetrieversIntegrationTests
from llama_index.core.base.base_retriever import BaseRetriever as LlamaIndexRetriever

from ragloom.errors import UsageError
from ragloom.retrieval import KnowledgeBase, LangChainRetriever, to_document, to_node
from ragloom.testing import HashEmbedding, RetrieverSuite
from ragloom.testing.retrievers import FIVE_TEXTS


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder = tmp_path_factory.mktemp("five")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, text in FIVE_TEXTS.items():
            Path(name).write_text(text)
        kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=512))
        kb.ingest(list(FIVE_TEXTS))
    return kb


class TestLangChainRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def _kb(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return LangChainRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.kb.retriever()}

    @property
    def retriever_query_example(self) -> str:
        return "roses in the garden"


@pytest.mark.parametrize("mode", ["bm25", "dense", "hybrid", "default"])
class TestKnowledgeBaseRetriever(RetrieverSuite):
    @pytest.fixture
    def make_retriever(self, kb: KnowledgeBase, mode: Any) -> Callable[[int], LlamaIndexRetriever]:
        return lambda top_k: kb.retriever(mode=mode, top_k=top_k)


def test_documents_say_where_they_are_from(kb: KnowledgeBase) -> None:
    document = LangChainRetriever(retriever=kb.retriever(), k=1).invoke("annual leave")[0]
    text = FIVE_TEXTS["leave.md"]
    assert document.page_content == text
    assert document.metadata["source"] == "leave.md"
    assert (document.metadata["start"], document.metadata["end"]) == (0, len(text))
    assert document.metadata["score_kind"] == "relative_score"
    assert document.id and document.metadata["doc_id"]


def test_a_document_survives_the_way_there_and_back(kb: KnowledgeBase) -> None:
    found = kb.retriever(top_k=1).retrieve("hotels")[0]
    document = to_document(found)
    again = to_document(to_node(document))
    assert again == document
    assert to_node(document).node.ref_doc_id == found.node.ref_doc_id


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "sparse"}, "unknown retrieval mode 'sparse' .*bm25, dense, hybrid, default"),
        ({"mode": "hybrid", "fusion": "max"}, "unknown fusion 'max' .*rank or relative"),
        ({"mode": "hybrid", "alpha": 1.5}, "alpha must lie between 0 .* and 1 .*, not 1.5"),
        ({"mode": "dense", "alpha": 0.5}, "belong to the mode 'hybrid'"),
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
    ],
)
def test_misuse_is_named(kb: KnowledgeBase, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kb.retriever(**options)


def test_bm25_never_loads_the_embedder(kb: KnowledgeBase) -> None:
    closed = KnowledgeBase.open(kb.folder, embedder="st:/no/such/model")
    assert closed.retriever(mode="bm25").retrieve("roses")[0].node.metadata["source"] == "garden.md"
    assert closed.retriever(mode="hybrid", alpha=0.0).retrieve("roses")[0].node.metadata["source"] == "garden.md"


@pytest.mark.parametrize("fusion", ["rank", "relative"])
def test_both_ends_of_alpha_are_the_pure_modes(kb: KnowledgeBase, fusion: Any) -> None:
    def ids(**options: Any) -> list[str]:
        return [item.node.node_id for item in kb.retriever(top_k=5, **options).retrieve("soup on fridays in vienna")]

    assert ids(mode="hybrid", alpha=0.0, fusion=fusion) == ids(mode="bm25")
    assert ids(mode="hybrid", alpha=1.0, fusion=fusion) == ids(mode="dense")
