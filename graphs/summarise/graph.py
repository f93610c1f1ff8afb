"""`summarise_rag`: sums up every passage for the question, and reads the summaries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ..common.joining import finish
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from .nodes import SummariseNodes
from .state import SummariseState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ..common.nodes import PartOptions

__all__ = ("summarise_rag",)


def summarise_rag(
    retriever: BaseRetriever, llm: BaseChatModel, *, checkpointer: Any = None, **parts: Unpack[PartOptions]
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Sums up every passage for the question, drops those of no use, and reads the summaries together.

    Idea: abstractive compression, as of Xu, Shi and Choi, 2023, "RECOMP", https://arxiv.org/abs/2310.04408, and the
    conditional summaries of Kim et al., 2024, "SuRe", https://arxiv.org/abs/2404.13081. Summaries are made beside each
    other, one call each; an answer is read over them.

    What differs from RECOMP: no compressor is trained, and a summary is no evidence: every sentence of the answer is
    checked against the passages themselves and cites them, so what only a summary says is dropped. What differs from
    SuRe: one summary a passage instead of one a candidate answer, and no ranking.

    Requires: any chat model. No trained model, no log-probabilities.
    State: see `SummariseState`. Cost: 1 call of the language model, and 1 for each passage; as many as
    `Budget.llm_calls` allows beside the reading, the best passages first. Without any, passages are read as they are.
    Good for: long passages of which little matters; more passages than a prompt holds.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`).

    Example:
        >>> graph = summarise_rag(kb.retriever(top_k=7), llm)  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["answer"]  # doctest: +SKIP
        'The ombudsperson is Leonor Pinto.'
    """
    nodes = SummariseNodes(Parts.of(retriever, llm, **parts))
    graph = StateGraph(SummariseState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    for name in ("summarise", "read", "cite"):
        graph.add_node(name, nodes.node(name))
    graph.add_edge(last, "summarise")
    graph.add_edge("summarise", "read")
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="summarise", checkpointer=checkpointer, guard=nodes.parts.guard)
