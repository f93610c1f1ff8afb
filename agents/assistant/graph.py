"""`assistant_graph`: a strategy within a conversation, as one state machine."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel

from ...errors import UsageError
from ...graphs.common.state import StrategyInput
from ...types import Budget
from ..conversation.memory import LongTermMemory
from ..sources.router import BudgetedRouter, SourceRouter
from .nodes import AssistantNodes, Strategy
from .state import AssistantOutput, AssistantState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph

    from ...guarding import Guard

__all__ = ("AssistantOptions", "assistant_graph")


class AssistantOptions(TypedDict, total=False):
    """What an assistant takes beside its strategy, model, threads and memory; `assistant_graph` says what each is."""

    guard: Guard | None
    router: SourceRouter | BudgetedRouter | None
    sure: float
    margin: float
    budget: Budget | None
    most_tokens: int
    most_facts: int


def assistant_graph(
    strategy: Strategy,
    llm: BaseChatModel,
    *,
    memory: LongTermMemory | None = None,
    guard: Guard | None = None,
    router: SourceRouter | BudgetedRouter | None = None,
    sure: float = 0.6,
    margin: float = 0.15,
    budget: Budget | None = None,
    most_tokens: int = 1500,
    most_facts: int = 3,
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Hears, makes the question whole, recalls, answers by the strategy, and keeps the thread.

    Idea: conversational question answering as "rewrite, then retrieve" (Vakulenko et al., 2021,
    https://arxiv.org/abs/2004.14652) around any strategy. The strategy is asked one standalone question and knows
    nothing of the conversation; `messages` hold what the user said, word for word, and `asked` what was made of it.

    *Memory*: "remember that ..." keeps a fact (`fact_to_remember`), without a model; nothing else is ever kept. Facts
    that have to do with a question are shown to a reader that was made by `with_memory`; they are no passages, nothing
    cites them. Where the strategy abstains they are repeated as what the user told. *Clarifying*: with a router, a
    question between sources is asked back, never twice in a row. *Interrupts* of the strategy (`approve_web` of
    `corrective_rag`) stop this graph; it goes on with `Command(resume=...)`.

    *Guard*: what the user says is checked before anything else is done with it, and recalled facts before a reader is
    shown them, both at the stage `input`. A question that is blocked is answered by an abstention; no prompt of this
    turn or a later one shows it, and nothing of it is remembered. One that is changed is used as changed. `messages`
    hold what was said word for word all the same, each with what of it may be shown in `additional_kwargs["screened"]`.
    Passages and answers are for the strategy's own guard.

    Requires: any strategy, any chat model. With memory, or a strategy that is built for who asks, the `thread_id` must
    be one of `AccessScope.thread_key`: its owner is whose facts and passages are seen. The owner's groups come with the
    run (`context=scope`), as `Assistant.chat` does it.
    State: see `AssistantState`. Cost: that of the strategy, 1 call for a follow-up, 1 more where a thread outgrows
    `most_tokens`, and what the router takes.
    Good for: chat over documents; without threads use the strategy itself.

    Args:
        strategy: what answers: any graph of ours (`routed_rag` for several sources), or a function from the scope (an
            `AccessScope`) of who asks to one, so that each sees the passages that are theirs to see: `lambda scope:
            naive_rag(kb.retriever(scope=scope), llm)`. A checkpointer of its own is not used: it joins the thread of
            this graph.
        llm: makes follow-ups whole and summarises.
        memory: facts that outlive a thread.
        guard: checks what the user says and told (`ragloom.guarding.Guard`). None: nothing is checked.
        router: is asked first whether it is sure which source is meant.
        sure: from this score of the router on nothing is asked back. In the router's own scale: the defaults are for
            probabilities; choose others for the cosines of an `EmbeddingRouter`.
        margin: how near a source must be to the best one to be offered.
        budget: what resolving, routing and summarising may cost together; the strategy keeps to its own.
        most_tokens: of a thread's history, before its oldest turns are summarised.
        most_facts: recalled for a question.
        checkpointer: LangGraph checkpointer, for threads.

    Example:
        >>> answers = naive_rag(retriever, llm, reader=with_memory(llm))  # doctest: +SKIP
        >>> graph = assistant_graph(answers, llm, memory=memory, checkpointer=threads.saver)  # doctest: +SKIP
        >>> config = threads.config(AccessScope(user="ana"), "first")  # doctest: +SKIP
        >>> graph.invoke({"messages": [("user", "Is it paid?")]}, config)["asked"]  # doctest: +SKIP
        'Is annual leave paid?'
    """
    _check_strategy(strategy)
    nodes = AssistantNodes(
        strategy=strategy,
        llm=llm,
        memory=memory,
        guard=guard,
        router=router,
        budget=budget or Budget(),
        sure=sure,
        margin=margin,
        most_tokens=most_tokens,
        most_facts=most_facts,
    )
    return _joined(nodes).compile(checkpointer=checkpointer, name="assistant")


def _joined(nodes: AssistantNodes) -> StateGraph[Any, Any, Any, Any]:
    graph = StateGraph(AssistantState, input_schema=StrategyInput, output_schema=AssistantOutput)
    graph.add_node("hear", nodes.hear)
    for name in ("summarise", "resolve"):
        graph.add_node(name, nodes.node(name))
    graph.add_node("answer", nodes.answering())
    graph.add_edge(START, "hear")
    graph.add_edge("summarise", "resolve")
    heard, before_answer = "hear", "answer"
    first: dict[Hashable, str] = {"listen": "summarise"}
    if nodes.guard is not None:
        heard, first["end"] = "admit", END
        graph.add_node("admit", nodes.node("admit"))
        graph.add_edge("hear", "admit")
    if nodes.memory is not None:
        before_answer, first["remember"] = "recall", "remember"
        for name in ("remember", "recall"):
            graph.add_node(name, nodes.node(name))
        graph.add_edge("remember", END)
        graph.add_edge("recall", "answer")
    if len(first) > 1:
        graph.add_conditional_edges(heard, nodes.chosen_way, first)
    else:
        graph.add_edge(heard, "summarise")
    if nodes.router is not None:
        graph.add_node("clarify", nodes.node("clarify"))
        graph.add_edge("resolve", "clarify")
        ways: dict[Hashable, str] = {"answer": before_answer, "end": END}
        graph.add_conditional_edges("clarify", nodes.chosen_way, ways)
    else:
        graph.add_edge("resolve", before_answer)
    graph.add_edge("answer", END)
    return graph


def _check_strategy(strategy: Any) -> None:
    if isinstance(strategy, Pregel):
        if {"question", "answer"} - set(strategy.channels):
            hint = "it takes `question` and gives `answer`, `documents`, `citations`"
            raise UsageError(f"the graph {strategy.get_name()!r} is no strategy", hint=hint)
    elif not callable(strategy):
        hint = "give a graph such as naive_rag(retriever, llm), or a function from an AccessScope to one"
        raise UsageError(f"a {type(strategy).__name__} cannot answer", hint=hint)
