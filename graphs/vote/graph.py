"""`vote_rag`: answers of single passages, and a majority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ..common.joining import finish
from ..common.lazy_scorer import lazy_scorer
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from .nodes import Rank, VoteNodes
from .state import VoteState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...models import Scorer
    from ..common.nodes import PartOptions

__all__ = ("vote_rag",)


def vote_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    rank: Rank = "vote",
    scorer: Scorer | str | None = None,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Asks every passage alone for a short answer, and lets the answers vote.

    Idea: late fusion of answers, generate-then-rank: self-consistency (Wang et al., 2022, https://arxiv.org/abs/2203.11171)
    over passages instead of samples; the sequence-level relative of REPLUG (https://arxiv.org/abs/2301.12652), which
    mixes next-token distributions and so needs them. Answers are the same where their words are, without case,
    punctuation and articles; ties go to the passage that was ranked higher.

    What the rule says that papers leave open: "I don't know" is a vote for nobody; a passage that repeats a better one
    has no vote; the winner must be supported by its own passages, else the next one is tried; `logprob` ranks the
    candidates by the mean log-probability of their tokens instead of votes.

    Requires: any chat model; a scorer for `rank="logprob"`. No trained model.
    State: see `VoteState`. Cost: 1 call of the language model for each passage, all beside each other; as many as
    `Budget.llm_calls` allows, the best passages first.
    Good for: single facts among passages that mislead each other; a reader that is lost in long prompts.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        rank: `vote` or `logprob`.
        scorer: a `Scorer`, or the spec of one.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`), but `prompt` is `short` by default: sentences hardly ever agree.

    Example:
        >>> graph = vote_rag(kb.retriever(), llm, budget=Budget(llm_calls=5))  # doctest: +SKIP
        >>> graph.invoke({"question": "In which year did the tower open?"})["answer"]  # doctest: +SKIP
        '1889'
    """
    if rank not in ("vote", "logprob"):
        raise UsageError(f"there is no rank {rank!r}", hint="use vote or logprob")
    parts["prompt"] = parts.get("prompt") or "short"
    nodes = VoteNodes(
        parts=Parts.of(retriever, llm, **parts),
        scorer=lazy_scorer(scorer, wanted_by="rank='logprob'") if rank == "logprob" else None,
    )
    graph = StateGraph(VoteState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    for name in ("read", "elect", "cite"):
        graph.add_node(name, nodes.node(name))
    graph.add_edge(last, "read")
    graph.add_edge("read", "elect")
    graph.add_edge("elect", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="vote", checkpointer=checkpointer, guard=nodes.parts.guard)
