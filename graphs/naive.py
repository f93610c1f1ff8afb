"""`naive_rag`: the honest baseline that every other strategy is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from .common.joining import finish
from .common.nodes import CommonNodes, Parts
from .common.state import StrategyInput, StrategyOutput, StrategyState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from .common.nodes import PartOptions

__all__ = ("naive_rag",)


def naive_rag(
    retriever: BaseRetriever, llm: BaseChatModel, *, checkpointer: Any = None, **parts: Unpack[PartOptions]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Retrieve, rerank where a reranker is given, read, cite.

    Idea: one retrieval, one reading ("retrieve-then-read"; Lewis et al. 2020, arXiv 2005.11401, without the joint
    training). Every sentence of the answer is checked against the passages before it is shown; a sentence that no
    passage supports is dropped, and with none left the answer abstains and shows the nearest passages.

    Requires: any retriever, any chat model. No trained model, no log-probabilities. A trained critic, reranker and
    drafter may take the place of the overlap critic, no reranker and the chat model.
    State: see `StrategyState`. Cost: 1 call of the language model.
    Good for: single facts that stand in one place; the baseline for everything else.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        checkpointer: LangGraph checkpointer, for threads.
        parts: what every strategy takes: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`,
            `transform` (`Parts.of`).

    Example:
        >>> graph = naive_rag(kb.retriever(), load_chat_model("bundled:smollm2"))  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["answer"]  # doctest: +SKIP
        'The ombudsperson is Leonor Pinto.'
    """
    nodes = CommonNodes(Parts.of(retriever, llm, **parts))
    graph = StateGraph(StrategyState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    graph.add_node("read", nodes.node("read"))
    graph.add_node("cite", nodes.node("cite"))
    graph.add_edge(last, "read")
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="naive", checkpointer=checkpointer, guard=nodes.parts.guard)
