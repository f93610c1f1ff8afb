"""LangChain's standard suites over every LangChain face, offline.

Elsewhere: `LangChainRetriever` in tests/retrieval/test_langchain.py, `FakeChatModel` in tests/models/test_fakes.py.
Not run, and why:

- `EmbeddingsUnitTests`: our embedders are LlamaIndex's `BaseEmbedding`; none is a LangChain `Embeddings`.
- `VectorStoreIntegrationTests`, `DocumentIndexerTestSuite`: `LanceVectorStore` is a LlamaIndex vector store.
- `BaseStoreSyncTests`: `KnowledgeBaseParents` and `StoreParents` are read, and no stores.
- `ChatModelIntegrationTests`: `LlamaChatModel` answers by llama.cpp with real weights, and its answers are the model's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool
from langchain_kit import TEXTS
from langchain_tests.integration_tests import RetrieversIntegrationTests, ToolsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, ToolsUnitTests
from llama_index.core.postprocessor import SimilarityPostprocessor

from ragloom.agents.langchain import (
    CompressionRetriever,
    EnsembleRetriever,
    KnowledgeBaseParents,
    LlamaIndexRetriever,
    MultiQueryRetriever,
    ParentRetriever,
)
from ragloom.graphs import StrategyRetriever, as_tool, naive_rag
from ragloom.models.local_chat import LlamaChatModel
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    folder = tmp_path_factory.mktemp("standard")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, text in TEXTS.items():
            Path(name).write_text(text)
        kb = KnowledgeBase(folder / "kb", embedder=HashEmbedding(size=512))
        kb.ingest(list(TEXTS))
    return kb


class Retriever(RetrieversIntegrationTests):
    """What the faces share: a tiny knowledge base."""

    __test__ = False
    face: type[BaseRetriever]

    @pytest.fixture(autouse=True)
    def _kb(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return self.face

    @property
    def retriever_query_example(self) -> str:
        return "roses in the garden"

    @property
    def dense(self) -> Any:
        return self.kb.retriever(mode="dense")


class TestLlamaIndexRetriever(Retriever):
    __test__ = True
    face = LlamaIndexRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.kb.retriever()}


class TestEnsembleRetriever(Retriever):
    __test__ = True
    face = EnsembleRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retrievers": [self.kb.retriever(mode="bm25"), self.dense], "weights": [0.4, 0.6]}


class TestMultiQueryRetriever(Retriever):
    __test__ = True
    face = MultiQueryRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.dense, "llm": FakeChatModel(replies=["watering of roses\nflowers"])}


class TestCompressionRetriever(Retriever):
    __test__ = True
    face = CompressionRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.dense, "compressor": SimilarityPostprocessor()}


class TestParentRetriever(Retriever):
    __test__ = True
    face = ParentRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.dense, "parents": KnowledgeBaseParents(self.kb)}


class TestStrategyRetriever(Retriever):
    __test__ = True
    face = StrategyRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"graph": naive_rag(self.dense, FakeChatModel(replies=["The roses are watered at dawn."]))}


class TestLlamaChatModel(ChatModelUnitTests):
    """The model itself is started by none of these tests, so no weights are needed."""

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return LlamaChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model_file": Path("model.gguf")}


class Tool:
    """A strategy as a tool."""

    @pytest.fixture(autouse=True)
    def _kb(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    @property
    def tool_constructor(self) -> BaseTool:
        llm: BaseChatModel = FakeChatModel(replies=["The roses are watered at dawn."])
        return as_tool(naive_rag(self.kb.retriever(mode="bm25"), llm), description="Answers about the handbook.")

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        return {"question": "When are the roses in the garden watered?"}


class TestToolUnit(Tool, ToolsUnitTests):
    pass


class TestToolIntegration(Tool, ToolsIntegrationTests):
    pass
