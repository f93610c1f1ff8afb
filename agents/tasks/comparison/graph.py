"""`comparison_rag`: each side is asked by itself, and one answer is made of what is said of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ....graphs.common.joining import enter, finish
from ....graphs.common.nodes import Parts
from ....graphs.common.state import StrategyInput, StrategyOutput
from .nodes import ComparisonNodes
from .sides import MOST_SIDES
from .state import ComparisonState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever

    from ....graphs.common.support import SupportCritic
    from ....guarding import Guard
    from ....types import Budget

__all__ = ("comparison_rag",)


def comparison_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    most_passages: int = 15,
    reranker: Any = None,
    critic: SupportCritic | None = None,
    budget: Budget | None = None,
    max_answer_tokens: int = 256,
    guard: Guard | None = None,
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Searches and answers for each side of a comparison by itself, then compares.

    Idea: sub-questions that do not wait for each other, as of LlamaIndex's `SubQuestionQueryEngine`, for the one kind
    of question whose parts are known beforehand: which things (two to four), in which respect. Rules find them
    (`sides_of`), else one call of the model.

    What differs: each side has its own passages, and only those that name it, so that a side of which little is written
    is not crowded out; what is said of one side must stand in a passage on that side (`SideCritic`), as the commonest
    fault of comparisons is a right value at the wrong side; a side of which nothing is supported is named in the answer
    instead of being made up. Judgements that no passage makes ("more than in Leeds") are left out, the values stay.

    Where no sides are found, passages for the question itself are read. Where the budget has no call for each side,
    the passages of all sides are read at once.

    Requires: any chat model. No trained model, no log-probabilities.
    State: see `ComparisonState`. Cost: 1 call of the language model a side and 1 for the comparison; 1 more where rules
    find no sides.
    Good for: two things that are described in different places.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        most_passages: shown at most where sides are not read by themselves; each side gives its best first.
        reranker: any LlamaIndex postprocessor, applied to each side's passages.
        critic: judges which passage supports a clause; `OverlapCritic` by default.
        budget: what a run may cost.
        max_answer_tokens: room kept for the answer.
        guard: checks question, passages and sentences, as of every strategy (`Parts.of`).
        checkpointer: LangGraph checkpointer, for threads.

    Example:
        >>> graph = comparison_rag(kb.retriever(), llm)  # doctest: +SKIP
        >>> graph.invoke({"question": "Compare hotels in Vienna and in Leeds."})["answer"]  # doctest: +SKIP
        'Hotels in Vienna are paid up to 165 euros, in Leeds up to 120 euros.'
    """
    parts = Parts.of(
        retriever,
        llm,
        reranker=reranker,
        critic=critic,
        budget=budget,
        max_answer_tokens=max_answer_tokens,
        guard=guard,
    )
    nodes = ComparisonNodes(parts=parts, most_questions=MOST_SIDES, most_passages=most_passages)
    graph = StateGraph(ComparisonState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "split", guard)
    road = ("split", "search", "state_each", "compare", "cite")
    for name in road:
        graph.add_node(name, nodes.node(name))
    for before, name in zip(road, road[1:], strict=False):
        graph.add_edge(before, name)
    graph.add_edge("cite", END)
    return finish(graph, name="comparison", checkpointer=checkpointer, guard=guard)
