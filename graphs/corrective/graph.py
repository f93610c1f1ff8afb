"""`corrective_rag`: Corrective RAG as published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ...models import load_evaluator, parse_spec
from ..common.joining import finish
from ..common.lazy import Lazy
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from .nodes import CorrectiveNodes, Trigger
from .state import CorrectiveState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...models.evaluator import RetrievalEvaluator
    from ..common.nodes import PartOptions

__all__ = ("corrective_rag",)


def corrective_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    evaluator: RetrievalEvaluator | str = "evaluator:bundled",
    web: BaseRetriever | None = None,
    trigger: Trigger = "paper",
    most_strips: int = 5,
    strip_threshold: float | None = None,
    refine: bool = True,
    approve_web: bool = False,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Grades what was retrieved, refines it, and looks elsewhere where it is not right.

    Idea: Yan, Gu, Zhu and Ling, 2024, "Corrective Retrieval Augmented Generation", https://arxiv.org/abs/2401.15884. A
    trained evaluator scores every passage. One score above `upper`: *correct*, the passages are refined (cut into
    strips, graded again, the good ones kept in their order). All below `lower`: *incorrect*, they are discarded, and
    the question, rewritten as keyword phrases, goes to the second source (another knowledge base is asked the question
    itself). Else *ambiguous*: both.

    What differs from the paper: scores are calibrated probabilities instead of numbers from -1 to 1, with the
    evaluator's own thresholds; without a second source an incorrect retrieval ends in an abstention; the best strip is
    always kept. What differs from LangGraph's notebook: thresholds, the three actions and the strips exist, the
    question is never overwritten, and nothing leaves the machine unless `web` is given.

    Requires: a trained evaluator (one ships). No log-probabilities.
    State: see `CorrectiveState`. Cost: 1 call of the language model where the retrieval was right or there is no `web`,
    else 2; two batches of the evaluator.
    Good for: corpora with gaps and noise, where a wrong passage is worse than none.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        evaluator: a `RetrievalEvaluator`, or the spec of one.
        web: the second source, any retriever: a web search, or another corpus. None: nothing is asked of anyone.
        trigger: `paper`; `any_irrelevant` as in LangGraph's notebook; `never`: every retrieval counts as correct.
        most_strips: strips that are read at most.
        strip_threshold: from which score a strip is kept; None: as far from the evaluator's `lower` to its `upper` as
            the paper's -0.5 is.
        refine: whether passages are cut into strips at all; without, they are read whole.
        approve_web: stop before the second source is asked, until a person resumes the thread with True, False or other
            queries; needs a checkpointer.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, as of every strategy (`Parts.of`).

    Example:
        >>> graph = corrective_rag(kb.retriever(top_k=10), llm, web=other.retriever())  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["steps"][1]["decision"]  # doctest: +SKIP
        'correct'
    """
    if approve_web and checkpointer is None:
        raise UsageError("approve_web needs a checkpointer", hint="give checkpointer=InMemorySaver(), or another one")
    nodes = CorrectiveNodes(
        parts=Parts.of(retriever, llm, **parts),
        evaluator=_evaluator(evaluator),
        web=web,
        trigger=trigger,
        most_strips=most_strips,
        strip_threshold=strip_threshold,
        cut=refine,
        approve_web=approve_web,
    )
    graph = StateGraph(CorrectiveState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    for name in ("evaluate", "refine", "read", "cite"):
        graph.add_node(name, nodes.node(name))
    graph.add_edge(last, "evaluate")
    ways = ["refine", "cite"]
    if web is not None:
        graph.add_node("rewrite", nodes.node("rewrite"))
        graph.add_node("search_web", nodes.node("search_web"))
        graph.add_edge("rewrite", "search_web")
        graph.add_edge("search_web", "refine")
        ways += ["rewrite", "search_web"]
    graph.add_conditional_edges("evaluate", nodes.after_evaluation, ways)
    graph.add_conditional_edges("refine", nodes.after_refining, ["read", "cite"])
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="corrective", checkpointer=checkpointer, guard=nodes.parts.guard)


def _evaluator(given: RetrievalEvaluator | str) -> Lazy[RetrievalEvaluator]:
    if not isinstance(given, str):
        return Lazy.of(given)
    parse_spec(given, role="evaluator")  # an unknown name is refused now, not with the first question
    return Lazy(lambda: load_evaluator(given))
