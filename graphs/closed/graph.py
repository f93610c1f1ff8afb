"""`closed_book`: the model alone, the floor under every table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...types import Budget
from ..common.joining import enter, finish
from ..common.prompting import prompt_name
from ..common.state import StrategyInput, StrategyOutput, StrategyState
from .nodes import ClosedBookNodes

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever

    from ...guarding import Guard

__all__ = ("closed_book",)


def closed_book(
    retriever: BaseRetriever | None,
    llm: BaseChatModel,
    *,
    budget: Budget | None = None,
    max_answer_tokens: int = 256,
    prompt: str | None = None,
    guard: Guard | None = None,
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Asks the model without any document.

    Idea: what the model knows by itself (the "closed-book" setting of Roberts et al. 2020, arXiv 2002.08910). A
    strategy that is not better than this row pays nothing on the documents at hand. Answers carry no citations and
    nothing is checked, so it is for measuring, not for users.

    Requires: any chat model. The retriever is taken, like by every strategy, and not used.
    State: see `StrategyState`; `documents` and `citations` stay empty. Cost: 1 call of the language model.
    Good for: the floor of an evaluation. `prompt` is `read` (short sentences), `short` (the bare answer), or the path
    of a Jinja file with the variable `question`. `guard` checks the question, and every sentence before it is said.

    Example:
        >>> graph = closed_book(None, load_chat_model("bundled:smollm2"))  # doctest: +SKIP
        >>> graph.invoke({"question": "What is the capital of France?"})["answer"]  # doctest: +SKIP
        'The capital of France is Paris.'
    """
    name = prompt_name(__package__ or "", prompt or "read")
    nodes = ClosedBookNodes(llm, budget or Budget(), max_answer_tokens, name, guard)
    graph = StateGraph(StrategyState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "answer", guard)
    graph.add_node("answer", nodes.node("answer"))
    graph.add_edge("answer", END)
    return finish(graph, name="closed-book", checkpointer=checkpointer, guard=guard)
