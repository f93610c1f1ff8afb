"""`auto_rag`: a cheap strategy first, an expensive one where the first answer is weak."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ...graphs.common.joining import enter, finish
from ...graphs.common.state import StrategyInput, StrategyOutput
from ...types import Budget
from .nodes import AutoNodes
from .signals import Abstained
from .state import AutoState
from .strategy import CHEAP, Strategy, built, checked
from .weakness import Rule, Weakness

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from ...guarding import Guard

__all__ = ("auto_rag",)


def auto_rag(
    cheap: Strategy,
    expensive: Mapping[str, Strategy],
    *,
    weakness: Weakness | None = None,
    budget: Budget | None = None,
    support_margin: float = 0.0,
    guard: Guard | None = None,
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Answers by a cheap strategy, measures how weak that answer is, and runs an expensive one where it is.

    Idea: cascades of models (Chen, Zaharia and Zou, 2023, "FrugalGPT", https://arxiv.org/abs/2305.05176) over
    strategies in place of models, and the cost-quality curves of Adaptive-RAG (Jeong et al., 2024,
    https://arxiv.org/abs/2403.14403). What differs from Adaptive-RAG: the question alone decides there, before anything
    was searched for; here the first answer and its passages are evidence too, and the question's class is one signal.

    *Decision*: the first rule of `weakness` whose signals have all reached their thresholds names the strategy, where
    the budget has a call, tokens, time and a round of retrieval left for it. What is unknown reaches no threshold.
    *Answer*: the expensive one stands unless it abstained or failed, or is less supported by its citations than the
    cheap one (`choosing.stands` has the whole rule). A path that fails is told of in its step; what it spent counts.
    *Stream*: the cheap path's sentences are kept back until it is decided that they stay; those of the expensive one
    too, unless the cheap path has no answer: then they go out as they come. So what was streamed is never taken back.
    (A stream with `subgraphs=True`, or of the mode `messages`, shows what happens inside the paths, as of any graph.)

    Requires: what the strategies and the signals require.
    State: see `AutoState`. `steps` hold those of both paths, named `cheap/read`, `multi-hop/think`, and the decision
    with its scores. Cost: the cheap strategy, and the chosen one; signals call no language model.
    Good for: mixed questions, of which most are easy.

    Args:
        cheap: always runs: a compiled strategy without a checkpointer, or a function from a `Budget` to one.
        expensive: strategies by name. A function is called with what is left of the budget and builds its strategy for
            that; one that is compiled already keeps its own budget.
        weakness: signals and rules. None: where the cheap path abstains, the first expensive strategy runs.
        budget: what both paths may cost together.
        support_margin: how much less support, 0 to 1, an expensive answer may have and stand. Give both paths the same
            critic: scores of different ones lie on different scales.
        guard: checks the question before either path sees it. What a path finds and says is for its own guard: give
            that to the strategies, as `default_auto` does.
        checkpointer: LangGraph checkpointer, for threads.

    Raises `UsageError` for what is no strategy, or a rule that leads to none.

    Example:
        >>> graph = auto_rag(
        ...     naive_rag(retriever, llm),
        ...     {"multi-hop": lambda budget: multi_hop_rag(retriever, llm, budget=budget)},
        ... )  # doctest: +SKIP
        >>> graph.invoke({"question": "Where was the author of Emma born?"})["answer"]  # doctest: +SKIP
        'Jane Austen was born in Steventon.'
    """
    if not expensive:
        raise UsageError("there is no expensive strategy", hint='give at least one, by name: {"multi-hop": ...}')
    if not 0 <= support_margin <= 1:
        raise UsageError(f"support_margin is {support_margin}", hint="use a number from 0 to 1")
    for name, strategy in {CHEAP: cheap, **expensive}.items():
        checked(name, strategy)
    if wrong := [name for name in expensive if not isinstance(name, str) or not name.strip() or name == CHEAP]:
        raise UsageError(f"an expensive strategy cannot be called {wrong[0]!r}", hint="use corrective, multi-hop, ...")
    policy = weakness or Weakness([Abstained()], [Rule(next(iter(expensive)), {"abstained": 1})])
    if unknown := [rule.to for rule in policy.rules if rule.to not in expensive]:
        hint = f"expensive strategies are {', '.join(expensive)}"
        raise UsageError(f"a rule leads to {unknown[0]!r}, which is not given", hint=hint)
    budget = budget or Budget()
    nodes = AutoNodes(
        first=built(CHEAP, cheap, budget),
        expensive=dict(expensive),
        weakness=policy,
        budget=budget,
        support_margin=support_margin,
    )
    graph = StateGraph(AutoState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "run_cheap", guard)
    for name in ("run_cheap", "run_expensive"):
        graph.add_node(name, nodes.running(name))
    for name in ("decide", "keep"):
        graph.add_node(name, nodes.node(name))
    graph.add_edge("run_cheap", "decide")
    graph.add_conditional_edges("decide", nodes.after_decision, ["run_expensive", "keep"])
    graph.add_edge("run_expensive", "keep")
    graph.add_edge("keep", END)
    return finish(graph, name="auto", checkpointer=checkpointer, guard=guard)
