"""`self_rag`: Self-RAG with critics of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ..closed.nodes import ClosedBookNodes
from ..common.joining import enter, finish
from ..common.nodes import Parts
from ..common.segment_score import DELTA, SegmentWeights
from ..common.state import StrategyInput, StrategyOutput
from .critics import evaluator_of, need_of, scorer_of, usefulness_of
from .nodes import SelfRagNodes
from .state import SelfRagState
from .writing import SegmentWriter

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...models import Scorer
    from ...models.evaluator import RetrievalEvaluator
    from ..common.nodes import PartOptions
    from .critics import NeedCritic, UsefulnessCritic

__all__ = ("self_rag",)


def self_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    need: NeedCritic | str | None = None,
    relevance: RetrievalEvaluator | str | None = "evaluator:bundled",
    utility: UsefulnessCritic | str | None = None,
    scorer: Scorer | str | None = None,
    weights: SegmentWeights | None = None,
    delta: float = DELTA,
    beam: int = 2,
    passages: int = 3,
    most_segments: int = 4,
    segment_tokens: int = 96,
    retries: int = 1,
    hard: bool = False,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Retrieves where that is needed, writes sentence by sentence from one passage each, keeps what critics rate best.

    Idea: Asai, Wu, Wang, Sil and Hajishirzi, 2023, "Self-RAG", https://arxiv.org/abs/2310.11511. Four judgements steer
    a run: is retrieval needed (Retrieve), is a passage relevant (IsRel), does it support the sentence (IsSup), is the
    answer useful (IsUse). The next sentence is written from every passage alone; a beam of answers grows by
    f = p(segment) + 1.0 * s_rel + 1.0 * s_sup + 0.5 * s_use.

    What differs from the paper: critics beside any model judge in the place of tokens that a trained model writes
    (`self_rag_tokens` has those). s_sup is the support critic's score of its best quote, taken for p(fully supported):
    of partial support nothing is known, and it is 0 where no quote reaches the critic's threshold. p(segment) counts
    only with a `scorer`, s_use only with a `utility`; every step names the terms that are missing, and they count as 0.
    Passages are retrieved once, as in the paper's long-form code. A path is worth the mean of its segments' scores, not
    their product. An answer goes on where the model went on after its first sentence, and ends where it stopped, has
    nothing new or declines. Only supported sentences are shown, from the best path that has any. Where no sentence has
    support the answer is begun again from the next passages.
    What differs from LangGraph's notebook: decisions have scores and thresholds, answers a beam, nothing is asked twice
    with the same prompt, every loop is bounded, and the question stays what it is.

    A question that needs no retrieval is answered as by `closed_book`: shown, unchecked, without citations, which the
    steps say. Without a trained `retrieve:` critic every run retrieves; each says so in its step `decide`.

    Requires: an evaluator (one ships). Log-probabilities only with a `scorer`.
    State: see `SelfRagState`. Cost: up to `passages` calls of the language model, side by side, where one sentence
    answers; up to `beam * passages` for every further sentence; 1 without retrieval. One batch of the evaluator, one of
    the utility critic for each sentence.
    Good for: answers of several sentences from several passages; models that are led astray by a second passage.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        need: a critic of the need, `retrieve:PATH`, "always" (so is None) or "never".
        relevance: a `RetrievalEvaluator`, or the spec of one. None: passages stay in their order, s_rel is unknown.
        utility: a critic of usefulness, or `utility:PATH`.
        scorer: a `Scorer` of the model's own weights, or the spec of one.
        weights: of relevance, support and utility.
        delta: retrieve where the probability of the need is above it.
        beam: how many answers are kept after each sentence.
        passages: from how many passages a sentence is written at most.
        most_segments: sentences of an answer at most.
        segment_tokens: room of one call; what the model says after its first new sentence is not used.
        retries: how many times an answer without support is begun again, from other passages.
        hard: drop segments without support, instead of weighing them.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `prompt`, `transform`, as of every strategy
            (`Parts.of`). A prompt of the user's own has the further variable `so_far`. Drafters are refused.

    Example:
        >>> graph = self_rag(kb.retriever(top_k=10), llm, need="retrieve:out/need")  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["steps"][0]["reason"]  # doctest: +SKIP
        'the probability that retrieval is needed: 0.97, delta 0.2'
    """
    for name, value in (("beam", beam), ("passages", passages), ("most_segments", most_segments)):
        if value < 1:
            raise UsageError(f"{name} is {value}", hint="use 1 or more")
    common = Parts.of(retriever, llm, **parts)
    if common.draft:
        raise UsageError("self-rag writes sentence by sentence, a drafter whole drafts", hint="use another prompt")
    nodes = SelfRagNodes(
        parts=common,
        need=need_of(need),
        evaluator=evaluator_of(relevance),
        writer=SegmentWriter(
            parts=common,
            utility=usefulness_of(utility),
            scorer=scorer_of(scorer),
            weights=weights or SegmentWeights(),
            segment_tokens=min(segment_tokens, common.max_answer_tokens),
        ),
        delta=delta,
        beam=beam,
        passages=passages,
        most_segments=most_segments,
        retries=retries,
        hard=hard,
    )
    graph = StateGraph(SelfRagState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "decide", common.guard)
    wanted = {
        "transform": common.transform is not None,
        "retrieve": True,
        "rerank": common.reranker is not None,
        "relevance": nodes.evaluator is not None,
        "read": True,
    }
    looking = [name for name, is_wanted in wanted.items() if is_wanted]
    for name in ("decide", *looking, "choose", "cite"):
        graph.add_node(name, nodes.node(name))
    unread = "short" if common.prompt == "short" else "read"
    closed = ClosedBookNodes(llm, common.budget, common.max_answer_tokens, unread, common.guard)
    graph.add_node("answer", closed.node("answer"))
    graph.add_conditional_edges("decide", nodes.after_decision, {"look": looking[0], "answer": "answer"})
    for name, following in zip(looking, looking[1:], strict=False):
        graph.add_edge(name, following)
    graph.add_conditional_edges("read", nodes.after_reading, ["read", "choose"])
    graph.add_edge("choose", "cite")
    graph.add_edge("cite", END)
    graph.add_edge("answer", END)
    return finish(graph, name="self-rag", checkpointer=checkpointer, guard=common.guard)
