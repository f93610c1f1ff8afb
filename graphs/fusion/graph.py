"""`fusion_rag`: RAG-Fusion, where the first search needs it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ...models import load_evaluator, parse_spec
from ..common.joining import finish
from ..common.lazy import Lazy
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from ..transforms import DiverseRewrites
from .nodes import FusionNodes, Gate
from .state import FusionState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...models.evaluator import RetrievalEvaluator
    from ..common.nodes import PartOptions

__all__ = ("fusion_rag",)


def fusion_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    rewrites: int = 4,
    gate: Gate = "weak",
    evaluator: RetrievalEvaluator | str = "evaluator:bundled",
    weak: float | None = None,
    vector_only: bool = False,
    original_weight: float = 1.0,
    drift_weight: float = 0.5,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Searches for the question in other words too, where the first search looks weak, and fuses what all found.

    Idea: Raudaschl, 2023, RAG-Fusion, https://github.com/Raudaschl/rag-fusion; Rackauckas, 2024,
    https://arxiv.org/abs/2402.03367. The model writes other queries for the question, each of another angle; the
    rankings of all, and of the question, are fused by reciprocal rank (Cormack, Clarke and Buettcher, SIGIR 2009), and
    the best passages of the fused ranking are read.

    What differs from the published one: rewrites are only made where the first pass looks weak (the best grade of an
    evaluator is below `weak`), every query is searched for lexically and densely, a reranker comes after the fusion
    and not before, rewrites that share no content word with the question count less, ranks are counted from 1, and
    the reader is asked the question alone, for told of the rewrites it answers those. What differs from LlamaIndex's
    `QueryFusionRetriever` and LangChain's notebooks: ranks are fused and not scores, over the passages' ids, weights
    count, and a list's marks are taken off without cutting "Python 3.11" in two. `gate="always"` with
    `vector_only=True` comes nearest to the published one.

    Requires: a trained evaluator (one ships), unless `gate="always"`. No log-probabilities.
    State: see `FusionState`. Cost: 1 call of the language model where the first pass is good, else 2; two rounds of
    retrieval; one batch of the evaluator.
    Good for: questions in other words than the documents', and questions of several sides.

    Args:
        retriever: any LlamaIndex retriever; of a knowledge base every query is searched for lexically and densely,
            unless its mode is one of the two alone.
        llm: any LangChain chat model.
        rewrites: how many other queries are asked for at most.
        gate: `weak`: only where the first pass looks weak; `always`: for every question.
        evaluator: a `RetrievalEvaluator`, or the spec of one; it grades the first pass. A grade that it does not give
            counts as weak.
        weak: below which best grade, of this evaluator, the first pass is weak; None: below its `upper`.
        vector_only: search densely alone: an ablation, and worse. `UsageError` where the retriever has no such mode.
        original_weight: how much a ranking of the question counts, where one of a rewrite counts 1.
        drift_weight: how much a ranking of a rewrite counts that shares no content word with the question; 0: it is not
            searched for.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`). What a `transform` makes is searched for in both passes.

    Example:
        >>> graph = fusion_rag(kb.retriever(), llm)  # doctest: +SKIP
        >>> graph.invoke({"question": "Who helps me against bullying?"})["steps"][1]["decision"]  # doctest: +SKIP
        'rewrite'
    """
    _check(gate, weak, original_weight, drift_weight)
    nodes = FusionNodes(
        parts=Parts.of(_dense(retriever) if vector_only else retriever, llm, **parts),
        rewriter=DiverseRewrites(rewrites),
        when=gate,
        evaluator=_evaluator(evaluator),
        weak=weak,
        original_weight=original_weight,
        drift_weight=drift_weight,
    )
    graph = StateGraph(FusionState, input_schema=StrategyInput, output_schema=StrategyOutput)
    # The reranker waits for what is fused: reranked lists fuse worse, and the gate has a scorer of its own.
    last = replace(nodes, parts=replace(nodes.parts, reranker=None)).opening(graph)
    for name in ("gate", "rewrite", "fuse", "read", "cite"):
        graph.add_node(name, nodes.node(name))
    then = "read"
    if nodes.parts.reranker:
        graph.add_node("rerank", nodes.node("rerank"))
        graph.add_edge("rerank", "read")
        then = "rerank"
    graph.add_edge(last, "gate")
    graph.add_conditional_edges("gate", nodes.after_gate, {"rewrite": "rewrite", "read": then})
    graph.add_conditional_edges("rewrite", nodes.after_rewrite, {"fuse": "fuse", "read": then})
    graph.add_edge("fuse", then)
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="fusion", checkpointer=checkpointer, guard=nodes.parts.guard)


def _check(gate: str, weak: float | None, original_weight: float, drift_weight: float) -> None:
    if gate not in get_args(Gate):
        raise UsageError(f"unknown gate {gate!r}", hint=f"use {' or '.join(get_args(Gate))}")
    if weak is not None and not 0 <= weak <= 1:
        raise UsageError(f"weak is {weak}", hint="it is a grade, from 0 to 1")
    if not (0 < original_weight < math.inf and 0 <= drift_weight < math.inf):
        raise UsageError(
            f"original_weight is {original_weight}, drift_weight {drift_weight}",
            hint="use a number above 0, and one of 0 or more",
        )


def _dense(retriever: Any) -> BaseRetriever:
    if not hasattr(retriever, "with_mode"):
        hint = "use the retriever of a knowledge base"
        raise UsageError(f"vector_only: a {type(retriever).__name__} has no dense mode", hint=hint)
    dense: BaseRetriever = retriever.with_mode("dense")
    return dense


def _evaluator(given: RetrievalEvaluator | str) -> Lazy[RetrievalEvaluator]:
    if not isinstance(given, str):
        return Lazy.of(given)
    parse_spec(given, role="evaluator")  # an unknown name is refused now, not with the first question
    return Lazy(lambda: load_evaluator(given))
