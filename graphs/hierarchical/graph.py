"""`hierarchical_rag`: extracts quotes of every passage, then composes an answer from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ..common.joining import finish
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from .nodes import HierarchicalNodes
from .state import HierarchicalState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ..common.nodes import PartOptions

__all__ = ("hierarchical_rag",)


def hierarchical_rag(
    retriever: BaseRetriever, llm: BaseChatModel, *, checkpointer: Any = None, **parts: Unpack[PartOptions]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Extracts from every passage what may answer, word for word, and composes an answer from the extracts alone.

    Idea: extract, then compose, in two levels: extractive compression as of Xu, Shi and Choi, 2023, "RECOMP",
    https://arxiv.org/abs/2310.04408, before one reading. The extracts are made beside each other, one call each.

    What differs from RECOMP: the chat model extracts instead of a trained encoder, so what it says is held against the
    passage: a quote that does not stand there, white space and letters' case aside, is dropped. The reader sees quotes
    and nothing else, and each citation points to the passage by its id.

    Requires: any chat model. No trained model, no log-probabilities.
    State: see `HierarchicalState`; `documents` holds the extracts that were read. Cost: 1 call of the language model,
    and 1 for each passage; as many as `Budget.llm_calls` allows beside the reading, the best passages first. Without
    any, passages are read whole.
    Good for: answers whose parts stand in several passages; passages full of other things.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`).

    Example:
        >>> graph = hierarchical_rag(kb.retriever(top_k=7), llm)  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["documents"][0].page_content  # doctest: +SKIP
        'Leonor Pinto is the ombudsperson of all sites.'
    """
    nodes = HierarchicalNodes(Parts.of(retriever, llm, **parts))
    graph = StateGraph(HierarchicalState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    for name in ("extract", "read", "cite"):
        graph.add_node(name, nodes.node(name))
    graph.add_edge(last, "extract")
    graph.add_edge("extract", "read")
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="hierarchical", checkpointer=checkpointer, guard=nodes.parts.guard)
