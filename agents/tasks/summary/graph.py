"""`summary_rag`: summaries of documents, of collections, and of topics."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ....errors import UsageError
from ....graphs.common.joining import enter, finish
from ....graphs.common.nodes import Parts
from ....graphs.common.state import StrategyInput, StrategyOutput
from ....retrieval import KnowledgeBaseRetriever
from .library import KnowledgeBaseLibrary, Library
from .nodes import SummaryNodes
from .state import SummaryState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever

    from ....graphs.common.support import SupportCritic
    from ....guarding import Guard
    from ....types import Budget

__all__ = ("summary_rag",)


def summary_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    library: Library | None = None,
    most_documents: int = 20,
    reranker: Any = None,
    critic: SupportCritic | None = None,
    budget: Budget | None = None,
    max_answer_tokens: int = 256,
    guard: Guard | None = None,
    checkpointer: Any = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Sums up the documents that a request names, all documents, or what is found about a topic.

    Idea: map-reduce along a document's own hierarchy, as of Wu et al., 2021, "Recursively Summarizing Books",
    https://arxiv.org/abs/2109.10862, with one level: neighbouring passages are put together along the sections (of
    several documents, along the documents) into as many windows as the budget pays for; each is summed up alone; the
    summaries are read together. What fits one prompt is read at once.

    What differs: a summary of a summary is no evidence. Every sentence is checked against the passages themselves and
    cites them. Where nothing of the whole is supported, the supported sentences of the parts are the answer.

    *Which documents*: by title and source (`matching.meant`). Where several may be meant, it asks back and names them;
    where none is named, passages about the topic are searched for. What is left out (documents above `most_documents`,
    passages that the budget does not pay for) the answer says itself, with the documents that it covers, in sentences
    without a citation. What is kept is spread over the text; of a topic it is the best.

    *Scope*: documents are seen through a `Library`. Of a knowledge base's retriever it is what that retriever sees: its
    tenant, collection and filters. Any other retriever has none, and everything is a topic then.

    Requires: any chat model. No trained model, no log-probabilities.
    State: see `SummaryState`. Cost: 1 call of the language model where the text fits its prompt, else as many as
    `Budget.llm_calls` allows: 1 for each window, 1 for the reading.
    Good for: what a whole document says. Not for a fact that stands in one place.

    Args:
        retriever: any LlamaIndex retriever, for topics.
        llm: any LangChain chat model.
        library: the documents; None: those that the retriever of a knowledge base sees.
        most_documents: read for one summary at most.
        reranker: any LlamaIndex postprocessor, for topics.
        critic: judges which passage supports a sentence; `OverlapCritic` by default.
        budget: what a run may cost.
        max_answer_tokens: room kept for the answer.
        guard: checks question, passages and sentences, as of every strategy (`Parts.of`).
        checkpointer: LangGraph checkpointer, for threads.

    Raises `UsageError` for a library that is none.

    Example:
        >>> graph = summary_rag(kb.retriever(), llm)  # doctest: +SKIP
        >>> graph.invoke({"question": "Summarise the travel policy."})["steps"][0]["decision"]  # doctest: +SKIP
        'documents: Travel policy'
    """
    if most_documents < 1:
        raise UsageError(f"most_documents is {most_documents}", hint="use 1 or more")
    parts = Parts.of(
        retriever,
        llm,
        reranker=reranker,
        critic=critic,
        budget=budget,
        max_answer_tokens=max_answer_tokens,
        guard=guard,
    )
    nodes = SummaryNodes(parts=parts, library=_library(library, retriever), most_documents=most_documents)
    graph = StateGraph(SummaryState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "choose", guard)
    searching = ["retrieve", "rerank"] if reranker else ["retrieve"]
    for name in ("choose", "ask_back", *searching, "gather", "sum_up", "read", "cite"):
        graph.add_node(name, nodes.node(name))
    ways: dict[Hashable, str] = {name: name for name in ("ask_back", "gather", "retrieve")}
    graph.add_conditional_edges("choose", nodes.after_choice, ways)
    graph.add_edge("ask_back", END)
    road = [*searching, "gather", "sum_up", "read", "cite"]
    for before, name in zip(road, road[1:], strict=False):
        graph.add_edge(before, name)
    graph.add_edge("cite", END)
    return finish(graph, name="summary", checkpointer=checkpointer, guard=guard)


def _library(given: Any, retriever: BaseRetriever) -> Library | None:
    """The library that is given, else what the retriever of a knowledge base sees."""
    if given is None:
        return KnowledgeBaseLibrary.seen_by(retriever) if isinstance(retriever, KnowledgeBaseRetriever) else None
    if not isinstance(given, Library):
        hint = "it has `entries()` and `passages(doc_ids)`"
        raise UsageError(f"{type(given).__name__} is no library", hint=hint)
    return given
