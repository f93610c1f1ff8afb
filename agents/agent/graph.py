"""`rag_agent`: a model that searches step by step, within a budget, and cites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from langgraph.graph import END, START, StateGraph

from ...errors import UsageError
from ...graphs.common.joining import finish
from ...graphs.common.nodes import Parts
from ...graphs.common.prompting import render_prompt
from ...graphs.common.state import StrategyInput, StrategyOutput
from ..sources import MergedRetriever
from ..sources.llm_router import takes_json_schema
from .access import AccessScope, AnySource, named_sources
from .grounding import Unsupported, checked_policy
from .json_nodes import JsonNodes
from .modes import Mode, calls_tools
from .state import RagAgentState
from .tool_nodes import ToolNodes

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph

    from ...graphs.common.support import SupportCritic
    from ...guarding import Guard
    from ...types import Budget

__all__ = ("rag_agent",)


def rag_agent(
    sources: Sequence[AnySource],
    llm: BaseChatModel,
    *,
    budget: Budget | None = None,
    guard: Guard | None = None,
    critic: SupportCritic | None = None,
    unsupported: Unsupported = "regenerate",
    mode: Mode = "auto",
    json_schema: bool | None = None,
    max_answer_tokens: int = 256,
    prompt: str | None = None,
    reader: BaseChatModel | None = None,
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Lets the model decide what is searched where, until it can answer; the answer is checked, and cited.

    Idea: reasoning and acting in turns (Yao et al., 2023, "ReAct", https://arxiv.org/abs/2210.03629), with the sources
    as tools. What earlier searches found stays before the model, so that the next query can use it. What differs from
    the usual agent: it ends within a budget, with what it has; every sentence of the answer is checked against the
    passages; the scope of who asks comes with the run and never from the model; a guard sees every text.

    *tools*: LangChain's `create_agent`, with each concern a middleware of its own (`agents.agent.middleware`).
    *json*: for models that call no tools, a loop of decisions held to a JSON schema where the server can do that
    (llama.cpp, vLLM, OpenAI); a reply that is no decision ends the loop. The same searches, checks and rules in both.

    What happens where something goes wrong: a source that does not exist, an argument that is no query, a search that
    was made before, a source that fails or finds nothing are told to the model in a sentence, and count as a search.
    Where the loop ends without an answer that is supported (the budget is spent, the model fails), what was found is
    read as every strategy reads it: one call is kept for that. Where nobody searched, the question itself is looked up
    in the cheapest source first. Where nothing is supported, it abstains.

    Requires: any chat model. No trained model, no log-probabilities.
    State: see `RagAgentState`. Cost: a call for each decision, one for a second answer, one for the reading; at most
    `Budget.llm_calls`, and `Budget.hops` searches. Sources that are strategies are asked within what is left.
    Good for: questions whose next search depends on what the last one found, over several sources, with a model that
    follows instructions. For single facts the fixed strategies cost less and find no less
    (https://arxiv.org/abs/2601.07711).

    Args:
        sources: `Source`s, and `ScopedSource`s that are opened for who asks; each name once. A source that is a
            strategy reads its own passages under its own guard.
        llm: any LangChain chat model.
        budget: of one question.
        guard: checks the question (`input`), each passage (`tool`), each sentence of the answer and its quotes
            (`output`). A sentence that it changes is cited without quotes; where it blocks all, no passage is shown.
        critic: judges which passage supports a sentence; `OverlapCritic` by default.
        unsupported: what becomes of an answer with sentences that nothing supports: `drop`, `regenerate` or `abstain`.
        mode: `tools`, `json`, or `auto` (`calls_tools`).
        json_schema: whether the model takes `response_format` with a JSON schema; None: as for `LLMRouter`.
        max_answer_tokens: room kept for an answer.
        prompt: of the reading, and
        reader: the model that does it; as of every strategy (`Parts.of`).
        checkpointer: LangGraph checkpointer, for threads. A thread is of the tenant and user who began it: what
            somebody else asks in it is refused and taken out of the thread, and a run of the owner's that was killed
            cannot be resumed by others.

    Raises `UsageError` where a source, the mode or the policy cannot be; when it runs, where a source needs a scope and
    the run has none, and where a thread is somebody else's.

    Example:
        >>> files = ScopedSource("files", "The team's.", lambda who: kb.retriever(tenant=who.tenant))  # doctest: +SKIP
        >>> graph = rag_agent([files], llm, budget=Budget(llm_calls=6, hops=4))  # doctest: +SKIP
        >>> scope = AccessScope(tenant="acme", user="ana")  # doctest: +SKIP
        >>> graph.invoke({"question": "Where was the author of Emma born?"}, context=scope)["answer"]  # doctest: +SKIP
        'Jane Austen was born in Steventon.'
    """
    if mode not in get_args(Mode):
        raise UsageError(f"unknown mode {mode!r}", hint=f"use one of {', '.join(get_args(Mode))}")
    named = named_sources(sources)
    parts = Parts.of(
        MergedRetriever(()),  # sources are searched one by one: it has no retriever of its own
        llm,
        critic=critic,
        budget=budget,
        max_answer_tokens=max_answer_tokens,
        prompt=prompt or ("read-guarded" if guard else "read"),
        reader=reader,
    )
    common: dict[str, Any] = {
        "parts": parts,
        "sources": named,
        "guard": guard,
        "unsupported": checked_policy(unsupported),
    }
    if mode == "tools" or (mode == "auto" and calls_tools(llm)):
        graph = _with_tools(ToolNodes(agent=_agent(**common), **common))
    else:
        constrained = takes_json_schema(llm) if json_schema is None else json_schema
        graph = _with_json(JsonNodes(constrained=constrained, **common))
    return finish(graph, name="agent", checkpointer=checkpointer, guard=guard)


def _agent(*, parts: Parts, sources: Mapping[str, AnySource], guard: Guard | None, unsupported: Unsupported) -> Any:
    """The loop of LangChain. Question and answer are screened outside of it, for both modes alike."""
    from langchain.agents import create_agent

    from .middleware import (
        BudgetMiddleware,
        GroundednessMiddleware,
        ScopeMiddleware,
        ScreeningMiddleware,
        SourcesMiddleware,
    )

    given = list(sources.values())
    middleware: list[Any] = [
        BudgetMiddleware(parts.budget, max_answer_tokens=parts.max_answer_tokens, reading_follows=True),
        ScopeMiddleware(given),
        GroundednessMiddleware(parts.critic, unsupported=unsupported),
        SourcesMiddleware(given, budget=parts.budget),
    ]
    if guard:
        middleware.insert(1, ScreeningMiddleware(guard, stages=["tool"]))
    system = str(render_prompt(__package__ or "", "agent")[0].text)
    return create_agent(parts.llm, [], system_prompt=system, middleware=middleware, context_schema=AccessScope)


def _with_tools(nodes: ToolNodes) -> StateGraph[Any, Any, Any, Any]:
    graph = _framed(nodes)
    graph.add_node("loop", nodes.outer("loop"))
    graph.add_conditional_edges("admit", nodes.after_admission, ["loop", "cite"])
    graph.add_conditional_edges("loop", nodes.after_loop, ["fallback", "read", "cite"])
    return graph


def _with_json(nodes: JsonNodes) -> StateGraph[Any, Any, Any, Any]:
    graph = _framed(nodes)
    graph.add_node("decide", nodes.node("decide"))
    graph.add_node("search", nodes.outer("search"))
    graph.add_node("check", nodes.node("check"))
    graph.add_conditional_edges("admit", nodes.after_admission, ["decide", "cite"])
    graph.add_conditional_edges("decide", nodes.after_decision, ["search", "check", "fallback", "read", "cite"])
    graph.add_edge("search", "decide")
    graph.add_conditional_edges("check", nodes.after_check, ["decide", "fallback", "read", "cite"])
    return graph


def _framed(nodes: Any) -> StateGraph[Any, Any, Any, Any]:
    """What stands around the loop."""
    graph: StateGraph[Any, Any, Any, Any] = StateGraph(
        RagAgentState, input_schema=StrategyInput, output_schema=StrategyOutput, context_schema=AccessScope
    )
    graph.add_node("begin", nodes.begin)
    graph.add_node("refuse", nodes.refuse)
    graph.add_node("fallback", nodes.outer("fallback"))
    for name in ("admit", "read", "cite"):
        graph.add_node(name, nodes.node(name))
    graph.add_edge(START, "begin")
    graph.add_conditional_edges("begin", nodes.after_begin, ["admit", "refuse"])
    graph.add_edge("refuse", END)
    graph.add_conditional_edges("fallback", nodes.after_fallback, ["read", "cite"])
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return graph
