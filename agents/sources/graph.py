"""`routed_rag`: a question goes to the sources that can answer it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ...graphs import build_strategy
from ...graphs.closed.nodes import ClosedBookNodes
from ...graphs.common.joining import Admitted, enter, finish
from ...graphs.common.nodes import Parts
from ...graphs.common.prompting import prompt_name
from ...graphs.common.state import StrategyInput, StrategyOutput
from ...types import Budget
from .cascade_router import CascadeRouter
from .embedding_router import EmbeddingRouter
from .llm_router import LLMRouter
from .merged_retriever import MergedRetriever
from .merging import Merge
from .nodes import Reader, RoutedNodes
from .route import NONE, UNKNOWN
from .router import BudgetedRouter, SourceRouter
from .source import Source, checked_sources
from .state import RoutedState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from typing_extensions import Unpack

    from ...graphs.common.nodes import PartOptions

__all__ = ("routed_rag",)

CLOSED_BOOK = ClosedBookNodes.__module__.rpartition(".")[0]
"""The package of the closed book's prompts."""


def routed_rag(
    sources: Sequence[Source],
    llm: BaseChatModel,
    *,
    router: SourceRouter | BudgetedRouter | None = None,
    strategy: str | Callable[..., CompiledStateGraph[Any, Any, Any, Any]] = "naive",
    most_sources: int = 2,
    merge: Merge = "reciprocal_rank",
    fallback: str | None = None,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Routes, asks the chosen sources beside each other, merges what they found by rank, reads, cites.

    Idea: query routing over a closed set of sources, as LlamaIndex's `RouterQueryEngine` and LangGraph's templates do
    it. What differs from them: the cheap router comes first and a language model is asked only where it knows nothing;
    names are chosen, not numbers, and what is no name is unknown, so no source is asked by mistake; unknown is an
    outcome of its own; several sources are merged by rank with their provenance instead of by further calls.

    *Sources*: passages of retrievers and the texts of tools are read together. One strategy that was chosen alone is
    passed through with its own citations; beside others, its passages are read with theirs. *None*: the model alone,
    as `closed_book`, unchecked and uncited; where it has no answer, the fallback is asked. *Unknown*: the fallback, or
    an abstention that names the sources. A source that fails is told of in its step, and the others go on.

    Every passage says in its metadata `source_name` where it is from. What a retriever may see (tenant, filters,
    collection) is never widened.

    Requires: an embedder for the default router (one ships). No trained model, no log-probabilities.
    State: see `RoutedState`. Cost: 1 call of the language model for the reading, 1 more where the cheap router knows
    nothing, and those of sources that are strategies. A strategy given as a function of a `Budget` keeps within what is
    left; one that is compiled already keeps its own budget, is not asked where nothing is left, and is counted. A
    tool's own model calls are not seen, unless it gives a strategy's result.
    Good for: assistants over several knowledge bases, tables and searches that know different things.

    Args:
        sources: what can be asked, each name once.
        llm: any LangChain chat model.
        router: a router of these sources. None: `EmbeddingRouter`, and `LLMRouter` where that knows nothing.
        strategy: reads what retrievers hold: `naive` is done here; the name of any other strategy, or a function such
            as `corrective_rag` (with options: `functools.partial`), is run over the chosen retrievers as one.
        most_sources: asked for one question at most.
        merge: `reciprocal_rank` or `round_robin`.
        fallback: name of the source that is asked where none is known.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, `guard`, as of every
            strategy (`Parts.of`). Under a guard what tools and strategies give is checked as well (`screened_answer`);
            sentences of a strategy go out when it has ended.

    Raises `UsageError` where a source, the router, the fallback or an option cannot be.

    Example:
        >>> sources = [
        ...     Source("handbook", "Rules for employees: leave, travel, money.", kb.retriever()),
        ...     Source("web", "News and everything public.", load_web("duckduckgo"), cost=5),
        ... ]  # doctest: +SKIP
        >>> graph = routed_rag(sources, llm, fallback="handbook")  # doctest: +SKIP
        >>> graph.invoke({"question": "How many days of leave do I get?"})["steps"][0]["decision"]  # doctest: +SKIP
        'handbook'
    """
    named = checked_sources(sources)
    if fallback is not None and fallback not in named:
        raise UsageError(f"the fallback {fallback!r} is no source", hint=f"sources are {', '.join(named)}")
    if most_sources < 1:
        raise UsageError(f"most_sources is {most_sources}", hint="use 1 or more")
    if merge not in ("reciprocal_rank", "round_robin"):
        raise UsageError(f"unknown merge {merge!r}", hint="use reciprocal_rank or round_robin")
    if router is None:
        router = CascadeRouter(EmbeddingRouter(sources), LLMRouter(sources, llm, most=most_sources))
    _check_router(router, named)
    common = Parts.of(MergedRetriever(()), llm, **parts)  # sources are asked one by one: it has none of its own
    closed = "short" if parts.get("prompt") == "short" else "read"
    nodes = RoutedNodes(
        parts=common,
        sources=named,
        router=router,
        reader=None if strategy in ("naive", "auto") else _reader(strategy, llm, dict(parts)),
        most_sources=most_sources,
        merging=merge,
        fallback=fallback,
        closed=ClosedBookNodes(
            llm, common.budget, common.max_answer_tokens, prompt_name(CLOSED_BOOK, closed), common.guard
        ),
    )
    return finish(_joined(nodes), name="routed", checkpointer=checkpointer, guard=common.guard)


def _joined(nodes: RoutedNodes) -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(RoutedState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "route", nodes.parts.guard)
    optional = ["transform"] * bool(nodes.parts.transform) + ["rerank"] * bool(nodes.parts.reranker)
    for name in ("route", "alone", "abstain", *optional, "read", "cite"):
        graph.add_node(name, nodes.node(name))
    graph.add_node("ask", nodes.asking())
    graph.add_node("merge", nodes.node("merge", clocked=False))
    to_sources = ["transform", "ask"] if "transform" in optional else ["ask"]
    graph.add_conditional_edges("route", nodes.after_route, ["alone", "abstain", *to_sources])
    ends: dict[Hashable, str] = {"end": END, **{name: name for name in to_sources}}
    graph.add_conditional_edges("alone", nodes.after_alone, ends)
    if "transform" in optional:
        graph.add_conditional_edges("transform", nodes.sends, ["ask"])
    graph.add_edge("ask", "merge")
    reading = "rerank" if "rerank" in optional else "read"
    ways: dict[Hashable, str] = {"read": reading, "answered": END, "failed": "abstain"}
    graph.add_conditional_edges("merge", nodes.after_merge, ways)
    if "rerank" in optional:
        graph.add_edge("rerank", "read")
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    graph.add_edge("abstain", END)
    return graph


def _check_router(router: Any, named: dict[str, Source]) -> None:
    if not isinstance(router, (SourceRouter, BudgetedRouter)):
        hint = "it has `labels`, `route(question)` and `aroute(question)`"
        raise UsageError(f"{type(router).__name__} is no router of sources", hint=hint)
    if wrong := [label for label in router.labels if label not in (*named, NONE, UNKNOWN)]:
        hint = f"sources are {', '.join(named)}; beside them there are none and unknown"
        raise UsageError(f"the router knows a source {wrong[0]!r} that is not given", hint=hint)


def _reader(
    strategy: str | Callable[..., CompiledStateGraph[Any, Any, Any, Any]], llm: BaseChatModel, parts: dict[str, Any]
) -> Reader:
    """The strategy over any retrievers. It is built once now: an unknown name or option is refused with the graph."""

    def build(retriever: MergedRetriever, budget: Budget) -> Any:
        guard = parts.get("guard")
        options = {**parts, "budget": budget, **({"guard": Admitted(guard)} if guard else {})}
        if isinstance(strategy, str):
            return build_strategy(strategy, retriever, llm, **options)
        return strategy(retriever, llm, **options)

    if not (isinstance(strategy, str) or callable(strategy)):
        raise UsageError(f"{strategy!r} is no strategy", hint="use a name, or a function such as corrective_rag")
    Source("strategy", "reads what retrievers hold", build(MergedRetriever(()), Budget()))
    return build
