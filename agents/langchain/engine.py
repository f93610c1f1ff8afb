"""A strategy as a LlamaIndex query engine: for routers, tools and evaluators of LlamaIndex."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.response.schema import Response
from llama_index.core.prompts.mixin import PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle

from ...graphs import StrategyRetriever
from ...retrieval import to_node

__all__ = ("StrategyQueryEngine", "query_engine")


class StrategyQueryEngine(BaseQueryEngine):
    """Made by `query_engine`."""

    def __init__(self, graph: Any) -> None:
        self._graph = graph
        self._retriever = StrategyRetriever(graph=graph)
        super().__init__(callback_manager=None)

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """The passages that the strategy would read. The answer is made as well, and thrown away."""
        return [to_node(document) for document in self._retriever.invoke(query_bundle.query_str)]

    def _query(self, query_bundle: QueryBundle) -> Response:
        return _response(self._graph.invoke({"question": query_bundle.query_str}))

    async def _aquery(self, query_bundle: QueryBundle) -> Response:
        return _response(await self._graph.ainvoke({"question": query_bundle.query_str}))

    def _get_prompt_modules(self) -> PromptMixinType:
        return {}


def query_engine(graph: Any) -> BaseQueryEngine:
    """A LlamaIndex query engine that answers by a strategy.

    The response's `source_nodes` are the passages that were read, best first; its `metadata` holds the strategy's
    `abstained`, `citations`, `error`, `steps` and `usage`. Where nothing supports an answer the response says so, and
    `abstained` is true. `UsageError` for a strategy with a checkpointer: a query engine has no threads.

        >>> engine = query_engine(naive_rag(kb.retriever(), llm))  # doctest: +SKIP
        >>> engine.query("Who is the ombudsperson?").source_nodes[0].node.metadata["page"]  # doctest: +SKIP
        4
    """
    return StrategyQueryEngine(graph)


def _response(result: Mapping[str, Any]) -> Response:
    told = ("abstained", "citations", "error", "steps", "usage")
    return Response(
        response=result["answer"],
        source_nodes=[to_node(document) for document in result["documents"]],
        metadata={name: result[name] for name in told},
    )
