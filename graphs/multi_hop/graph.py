"""`multi_hop_rag`: retrieval interleaved with a chain of thought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ..common.joining import finish
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from .nodes import MultiHopNodes
from .state import MultiHopState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ..common.nodes import PartOptions

__all__ = ("multi_hop_rag",)


def multi_hop_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    most_passages: int = 15,
    per_round: int = 6,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Thinks one sentence, searches for it, and so on; then reads everything that was found.

    Idea: Trivedi, Balasubramanian, Khot and Sabharwal, 2023, "Interleaving Retrieval with Chain-of-Thought Reasoning"
    (IRCoT), https://arxiv.org/abs/2212.10509. Retrieve for the question; then alternate: the next sentence of a chain
    of thought, from the question, the passages and the thoughts so far, and a retrieval with that sentence as the
    query. It ends with "the answer is", then a reader answers the question from all passages.

    What differs from the paper: rounds are bounded by the budget's hops and calls (the paper: 8); the chain also ends
    at a thought that repeats an earlier one or the question, at a search that finds nothing new, and at any failure;
    one worked example stands in the prompt instead of a dozen; the reader sees the first passage of each round, then
    the second of each, so that no round falls out of a short prompt. Thoughts are neither shown, nor cited, nor read.

    Requires: any retriever, any chat model. No trained model, no log-probabilities.
    State: see `MultiHopState`. Cost: 1 call of the language model, and 1 for each thought: at most `Budget.hops` - 1.
    Good for: questions whose second search needs what the first one found. On single facts it costs more and finds no
    more.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        most_passages: passages that are collected at most.
        per_round: new passages of one round at most.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`). A reranker orders each round by its own query.

    Example:
        >>> graph = multi_hop_rag(kb.retriever(), llm, budget=Budget(hops=4))  # doctest: +SKIP
        >>> graph.invoke({"question": "Where was the author of Emma born?"})["answer"]  # doctest: +SKIP
        'Jane Austen was born in Steventon.'
    """
    nodes = MultiHopNodes(parts=Parts.of(retriever, llm, **parts), most_passages=most_passages, per_round=per_round)
    graph = StateGraph(MultiHopState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    nodes.chain(graph)
    graph.add_node("read", nodes.node("read"))
    graph.add_node("cite", nodes.node("cite"))
    graph.add_edge(last, "gather")
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="multi-hop", checkpointer=checkpointer, guard=nodes.parts.guard)
