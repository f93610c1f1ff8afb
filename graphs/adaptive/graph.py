"""`adaptive_rag`: no retrieval, one step or several, by how hard the question is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ..closed.nodes import ClosedBookNodes
from ..common.joining import enter, finish
from ..common.lazy_scorer import lazy_scorer
from ..common.nodes import Parts
from ..common.prompting import prompt_name
from ..common.state import StrategyInput, StrategyOutput
from .nodes import CLOSED_BOOK, AdaptiveNodes
from .routing import LABELS, Chooser, Way, decider
from .state import AdaptiveState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...models import Scorer
    from ..common.nodes import PartOptions

__all__ = ("adaptive_rag",)

EVEN = (1.0, 1.0, 1.0)


def adaptive_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    router: Chooser = None,
    labels: Mapping[str, Way] | None = None,
    retrieve_above: float | None = None,
    multi_above: float | None = None,
    scorer: Scorer | str | None = None,
    certain_above: float = math.log(0.5),
    mix: tuple[float, float, float] = EVEN,
    seed: int = 0,
    most_passages: int = 15,
    per_round: int = 6,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Answers without retrieval, with one, or with several, as a classifier of the question says.

    Idea: Jeong et al., 2024, "Adaptive-RAG", https://arxiv.org/abs/2403.14403. *None*: the model alone, as
    `closed_book`, unchecked and uncited. *Single*: retrieve and read, as `naive_rag`. *Multi*: the loop of
    `multi_hop_rag`. The way is `single` where the router abstains, fails, or says something else.

    What differs from the paper: no classifier ships, as its labels belong to one reader, retriever and corpus; without
    one every question goes `single`, and the step says so. Any router with probabilities will do, and thresholds on
    them sweep quality against cost. A model that declines without documents is given them. What differs from
    LangGraph's notebook, which chooses between two sources by a prompt: complexity is what is routed.

    Routers: the spec of one, or a `Router` (`labels` says what its labels mean); a function from the question to
    probabilities by label; `uncertainty`: the model answers alone, and retrieval follows where the mean
    log-probability of that answer's tokens, by `scorer`, is below `certain_above` (the strong baseline of
    https://arxiv.org/abs/2501.12835); and the baselines of a curve: `always-none`, `always-single`, `always-multi`,
    `random`.

    Requires: a router; a scorer for `uncertainty`.
    State: see `AdaptiveState`. Cost: 1 call of the language model for none and single, as `multi_hop_rag` for multi; 1
    more where the model had no answer of its own, or was not certain of it.
    Good for: mixed questions, of which many need no retrieval and few need several.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        router: see above.
        labels: what the router's labels mean; `no_retrieval`, `single_hop`, `multi_hop` and the ways' own names are
            known.
        retrieve_above: retrieve where the probability that it is needed is above this, 0 to 1. None: where one step or
            several is the most probable way.
        multi_above: take several steps where their probability is above this, 0 to 1. None: where it is the greatest.
        scorer: gives log-probabilities of the model's own answer.
        certain_above: natural logarithm, mean over the tokens. The default, a probability of one half, is a
            starting-point: fit it on questions of your own.
        mix: weights of none, single and multi for `random`.
        seed: of `random`.
        most_passages: of the multi-step branch.
        per_round: of the multi-step branch.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`). The model alone is asked with the closed book's prompts: `short` where `prompt` is, else
            `read`.

    Example:
        >>> graph = adaptive_rag(kb.retriever(), llm, router="router:out/router")  # doctest: +SKIP
        >>> graph.invoke({"question": "Where was the author of Emma born?"})["steps"][0]["decision"]  # doctest: +SKIP
        'multi'
    """
    uncertain = router == "uncertainty"
    known: dict[str, Way] = {**LABELS, **(labels or {})}
    if wrong := [way for way in known.values() if way not in ("none", "single", "multi")]:
        raise UsageError(f"{wrong[0]!r} is no way", hint="ways are none, single and multi")
    name, decide = decider(None if uncertain else router, known, mix=mix, seed=seed)
    common = Parts.of(retriever, llm, **parts)
    closed = "short" if parts.get("prompt") == "short" else "read"
    nodes = AdaptiveNodes(
        parts=common,
        most_passages=most_passages,
        per_round=per_round,
        router_name=name,
        decide=decide,
        labels=known,
        retrieve_above=retrieve_above,
        multi_above=multi_above,
        scorer=lazy_scorer(scorer, wanted_by="router='uncertainty'") if uncertain else None,
        certain_above=certain_above,
        closed=ClosedBookNodes(
            llm, common.budget, common.max_answer_tokens, prompt_name(CLOSED_BOOK, closed), common.guard
        ),
    )
    graph = StateGraph(AdaptiveState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "route", common.guard)
    steps = ["transform"] * bool(common.transform) + ["retrieve"] + ["rerank"] * bool(common.reranker)
    for node in ("route", "alone", *steps, "read", "cite"):
        graph.add_node(node, nodes.node(node))
    nodes.chain(graph)
    graph.add_conditional_edges("route", nodes.after_route, {"alone": "alone", "retrieve": steps[0]})
    graph.add_conditional_edges("alone", nodes.after_alone, {"end": END, "retrieve": steps[0]})
    for before, after in zip(steps, steps[1:], strict=False):
        graph.add_edge(before, after)
    graph.add_conditional_edges(steps[-1], nodes.after_retrieval, ["gather", "read"])
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="adaptive", checkpointer=checkpointer, guard=common.guard)
