"""`decompose_rag`: a plan of sub-questions that may wait for each other's answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ..common.joining import finish
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from .nodes import DecomposeNodes
from .state import DecomposeState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ..common.nodes import PartOptions

__all__ = ("decompose_rag",)


def decompose_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    most_questions: int = 4,
    most_passages: int = 15,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Splits the question into sub-questions, searches for each, and reads the passages of all of them.

    Idea: the follow-up questions of Press et al., 2022, "Measuring and Narrowing the Compositionality Gap" (Self-Ask),
    https://arxiv.org/abs/2210.03350, planned at once: "2. When was #1 born?" waits for the answer of the first. What
    can be asked is searched for together; a sub-question that another one waits for is answered in a few words, and the
    answer takes its placeholder's place only where the critic supports it. Else what waits for it is skipped, and the
    step says so. At last the question itself is answered from the passages of all hops.

    What differs from Self-Ask: the plan is one call, so independent searches run beside each other and only what is
    needed is answered; intermediate answers are queries, not evidence; the question itself is searched for first, so
    that a plan that leads nowhere costs no evidence. What differs from LlamaIndex's `SubQuestionQueryEngine`:
    sub-questions may depend on each other, and nothing is made up from failed ones.

    Requires: any retriever, any chat model. No trained model, no log-probabilities.
    State: see `DecomposeState`. Cost: 2 calls of the language model, and 1 for each sub-question that another one waits
    for.
    Good for: questions that compare two things or ask for a thing of a thing.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        most_questions: sub-questions of a plan at most.
        most_passages: passages that are read at most; each hop gives its best first.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`). A transform serves the search for the question itself.

    Example:
        >>> graph = decompose_rag(kb.retriever(), llm)  # doctest: +SKIP
        >>> graph.invoke({"question": "Where was the author of Emma born?"})["answer"]  # doctest: +SKIP
        'The author of Emma was born in Steventon.'
    """
    nodes = DecomposeNodes(
        parts=Parts.of(retriever, llm, **parts), most_questions=most_questions, most_passages=most_passages
    )
    graph = StateGraph(DecomposeState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    for name in ("plan", "hop", "read", "cite"):
        graph.add_node(name, nodes.node(name))
    graph.add_edge(last, "plan")
    graph.add_conditional_edges("plan", nodes.next_hop, ["hop", "read"])
    graph.add_conditional_edges("hop", nodes.next_hop, ["hop", "read"])
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="decompose", checkpointer=checkpointer, guard=nodes.parts.guard)
