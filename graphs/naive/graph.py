"""`naive_rag`: the honest baseline that every other strategy is measured against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, START, StateGraph

from ...models.drafts import DRAFTER_PROMPT
from ...types import Budget
from ..common.prompts import prompt_name
from ..common.state import StrategyInput, StrategyOutput, begin
from ..common.support import OverlapCritic, SupportCritic
from .nodes import NaiveNodes
from .state import NaiveState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

__all__ = ("naive_rag",)


def naive_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    reranker: BaseNodePostprocessor | None = None,
    critic: SupportCritic | None = None,
    budget: Budget | None = None,
    max_answer_tokens: int = 256,
    prompt: str = "read",
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Retrieve, rerank where a reranker is given, read, cite.

    Idea: one retrieval, one reading ("retrieve-then-read"; Lewis et al. 2020, arXiv 2005.11401, without the joint
    training). Every sentence of the answer is checked against the passages before it is shown; a sentence that no
    passage supports is dropped, and with none left the answer abstains and shows the nearest passages.

    Requires: any retriever, any chat model. No trained model, no log-probabilities. A trained critic, reranker and
    drafter may take the place of the overlap critic, no reranker and the chat model.
    State: see `NaiveState`. Cost: 1 call of the language model.
    Good for: single facts that stand in one place; the baseline for everything else.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        reranker: any LlamaIndex postprocessor, applied before reading; `load_reranker` loads a trained one.
        critic: judges which passage supports a sentence; default `OverlapCritic`; `load_support_critic` has others.
        budget: `tokens` bounds the prompt and answer together; passages that do not fit are left out whole.
        max_answer_tokens: room kept for the answer.
        prompt: `read` (short sentences), `short` (the bare answer), `draft` (for a drafter: a rationale, then the
            answer, as it was trained), or the path of a Jinja file with the variables `passages` (each with number,
            context, text) and `question`.
        checkpointer: LangGraph checkpointer, for threads.

    Example:
        >>> graph = naive_rag(kb.retriever(), load_chat_model("bundled:smollm2"))  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["answer"]  # doctest: +SKIP
        'The ombudsperson is Leonor Pinto.'
    """
    draft = prompt == "draft"
    nodes = NaiveNodes(
        retriever=retriever,
        llm=llm,
        reranker=reranker,
        critic=critic or OverlapCritic(),
        budget=budget or Budget(),
        max_answer_tokens=max_answer_tokens,
        prompt=DRAFTER_PROMPT if draft else prompt_name(__package__ or "", prompt),
        draft=draft,
    )
    graph = StateGraph(NaiveState, input_schema=StrategyInput, output_schema=StrategyOutput)
    graph.add_node("begin", begin)
    graph.add_node("retrieve", nodes.retrieve)
    graph.add_node("read", nodes.read)
    graph.add_node("cite", nodes.cite)
    graph.add_edge(START, "begin")
    graph.add_edge("begin", "retrieve")
    if reranker:
        graph.add_node("rerank", nodes.rerank)
        graph.add_edge("retrieve", "rerank")
        graph.add_edge("rerank", "read")
    else:
        graph.add_edge("retrieve", "read")
    graph.add_edge("read", "cite")
    graph.add_edge("cite", END)
    return graph.compile(checkpointer=checkpointer, name="naive")
