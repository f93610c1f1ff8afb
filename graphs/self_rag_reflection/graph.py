"""`self_rag_tokens`: Self-RAG as published, with reflection tokens."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ...models import supports_scoring
from ..common.joining import enter, finish
from ..common.lazy_scorer import lazy_scorer
from ..common.nodes import Parts
from ..common.segment_score import DELTA, RatioMode, SegmentWeights
from ..common.state import StrategyInput, StrategyOutput
from .nodes import SelfRagTokensNodes
from .state import SelfRagTokensState

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from typing_extensions import Unpack

    from ...models import Scorer
    from ..common.nodes import PartOptions

__all__ = ("self_rag_tokens",)


def self_rag_tokens(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    scorer: Scorer | str | None = None,
    weights: SegmentWeights | None = None,
    delta: float = DELTA,
    ratio: RatioMode = "probability",
    beam: int = 2,
    passages: int = 3,
    most_segments: int = 6,
    segment_tokens: int = 96,
    hard: bool = False,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """A model with reflection tokens decides itself when to retrieve, and judges what it writes.

    Idea: Asai, Wu, Wang, Sil and Hajishirzi, 2023, "Self-RAG", https://arxiv.org/abs/2310.11511, Algorithm 1. The
    probabilities of its tokens say whether the model wants a passage, whether the passage is relevant, whether it
    supports the sentence and how useful the answer is. Every segment is written from several passages alone; a beam of
    answers grows by f = p(segment) + 1.0 * s_rel + 1.0 * s_sup + 0.5 * s_use.

    How: the chat model goes on with the assistant's turn that it is given (the last message), and only writes
    sentences. All decisions are read from the scorer, which has the same weights and gives exact probabilities. Of each
    kind the likeliest token is written into the turn, which is what the model would do greedily. The turn keeps its
    passages, as in training. Passages are cleaned of reflection tokens: none can judge itself.

    What differs from the paper: an answer goes on while a retrieve token is likelier than a utility token; passages are
    retrieved once, when the first answer wants one; a path is worth the mean of its segments' scores (the released code
    multiplies them); candidates are as many as the budget's calls. What differs from the released code: the retrieval
    ratio is of probabilities (`ratio="official_logratio"` is the code's inverted rule, for reproduction only), the
    utility term is not always 0, and no token is missing from a list of the likeliest.

    Citations: the model's own IsSup decides first. A sentence that it finds unsupported is not cited. The quote of the
    others is found by the support critic, and a sentence without any support by it is not shown either, nor is one that
    was written without a passage. An answer for which nothing at all was retrieved is shown like `closed_book`'s:
    unchecked, without citations, which the steps say.

    Requires: a model that was trained to write reflection tokens (`ragloom finetune`, role reflective), served so that
    a begun turn is continued (llama.cpp does, through `load_chat_model("reflective:PATH")`), and a `scorer` of the same
    weights. A server that begins a new turn instead says nothing that counts.
    State: see `SelfRagTokensState`. Cost: up to `passages` calls of the language model for the first sentence, side by
    side, up to `beam * passages` for every further one. The scorer reads 2 texts for each passage that was retrieved,
    4 or 1 more a sentence, 5 for its utility, 8 for how it goes on.
    Good for: comparing a trained model with `self_rag` and its critics.

    Args:
        retriever: any LlamaIndex retriever.
        llm: the chat model that writes.
        scorer: a `Scorer` of the same weights, or its spec, such as `reflective:PATH`. None: `llm`, if it is one.
        weights: of relevance, support and utility.
        delta: retrieve where p([Retrieval]) / (p([Retrieval]) + p([No Retrieval])) is above it.
        ratio: `probability`, or `official_logratio`.
        beam: how many answers are kept after each sentence.
        passages: from how many passages a sentence is written at most.
        most_segments: sentences of an answer at most.
        segment_tokens: room of one call.
        hard: drop segments whose likeliest support token is [No support / Contradictory], instead of weighing them.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens`, `transform`, as of every strategy (`Parts.of`). The
            prompt is the one that the model was trained on; another `prompt` is refused.

    Example:
        >>> llm = load_chat_model("reflective:out/reflective")  # doctest: +SKIP
        >>> graph = self_rag_tokens(kb.retriever(), llm, scorer="reflective:out/reflective")  # doctest: +SKIP
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["steps"][0]["decision"]  # doctest: +SKIP
        'retrieve'
    """
    for name, value in (("beam", beam), ("passages", passages), ("most_segments", most_segments)):
        if value < 1:
            raise UsageError(f"{name} is {value}", hint="use 1 or more")
    if ratio not in ("probability", "official_logratio"):
        raise UsageError(f"there is no ratio {ratio!r}", hint="use probability or official_logratio")
    if scorer is None and not supports_scoring(llm):
        needed = "give scorer='reflective:PATH', with the path that the chat model was loaded from"
        raise UsageError("self-rag-tokens needs a scorer of the model's own weights", hint=needed)
    parts["prompt"] = asked_for = parts.get("prompt") or "read"
    common = Parts.of(retriever, llm, **parts)
    if common.prompt != "read":
        raise UsageError(f"self-rag-tokens takes no prompt {asked_for!r}", hint="it has the trained one")
    given: Any = llm if scorer is None else scorer
    nodes = SelfRagTokensNodes(
        parts=common,
        scorer=lazy_scorer(given, wanted_by="self-rag-tokens"),
        weights=weights or SegmentWeights(),
        delta=delta,
        ratio=ratio,
        beam=beam,
        passages=passages,
        most_segments=most_segments,
        segment_tokens=min(segment_tokens, common.max_answer_tokens),
        hard=hard,
    )
    graph = StateGraph(SelfRagTokensState, input_schema=StrategyInput, output_schema=StrategyOutput)
    enter(graph, "decide", common.guard)
    wanted = {"transform": common.transform, "retrieve": True, "rerank": common.reranker}
    looking = [name for name, is_wanted in wanted.items() if is_wanted]
    for name in ("decide", *looking, "read", "choose", "cite", "tell"):
        graph.add_node(name, nodes.node(name))
    ways: dict[Hashable, str] = {"look": looking[0], "read": "read", "choose": "choose"}
    graph.add_conditional_edges("decide", nodes.after_decision, ways)
    for name, following in zip(looking, [*looking[1:], "read"], strict=True):
        graph.add_edge(name, following)
    graph.add_conditional_edges("read", nodes.after_reading, ["decide", "choose"])
    graph.add_conditional_edges("choose", nodes.after_choice, ["cite", "tell"])
    graph.add_edge("cite", END)
    graph.add_edge("tell", END)
    return finish(graph, name="self-rag-tokens", checkpointer=checkpointer, guard=common.guard)
