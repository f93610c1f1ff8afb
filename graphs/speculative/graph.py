"""`speculative_rag`: Speculative RAG as published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from langgraph.graph import END, StateGraph

from ...errors import UsageError
from ...models import load_chat_model, load_embedder, load_scorer, parse_spec, supports_scoring
from ..common.joining import finish
from ..common.lazy import Lazy
from ..common.lazy_scorer import lazy_scorer
from ..common.nodes import Parts
from ..common.state import StrategyInput, StrategyOutput
from .choosing import Select
from .nodes import SpeculativeNodes
from .scoring import Normalise
from .state import SpeculativeState
from .verifying import Scoring

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langgraph.graph.state import CompiledStateGraph
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from typing_extensions import Unpack

    from ...models import Embedder, Scorer
    from ..common.nodes import PartOptions

__all__ = ("speculative_rag",)


def speculative_rag(
    retriever: BaseRetriever,
    llm: BaseChatModel,
    *,
    drafter: BaseChatModel | str | None = None,
    verifier: Scorer | str | None = None,
    draft_scorer: Scorer | str | None = None,
    embedder: Embedder | BaseEmbedding | str | None = None,
    drafts: int = 5,
    subset_size: int | None = 2,
    normalise: Normalise = "none",
    raw_yes: bool = False,
    abstain_below: float | None = None,
    select: Select = "full",
    seed: int = 0,
    checkpointer: Any = None,
    **parts: Unpack[PartOptions],
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Drafts answers from different passages beside each other, and tells the one that holds best.

    Idea: Wang et al., 2024, "Speculative RAG: Enhancing Retrieval Augmented Generation through Drafting",
    https://arxiv.org/abs/2407.08223. The passages are clustered by what they say to the question; every subset takes
    one passage of each cluster; a small drafter writes a rationale and an answer from each subset; and a verifier,
    which sees the rationales but no passage, scores all of them without writing a word: rho_draft * rho_SC * rho_SR,
    here in logarithms (`scoring`).

    What differs from the paper: the encoder reads no instructions, so passages are embedded behind the question;
    rho_SR is yes / (yes + no) unless `raw_yes`; a drafter may abstain; the best draft is told only where the critic
    finds its support in the passages, else the next best one, at last none. Without log-probabilities the language
    model is asked about each draft instead: the step then says `approx`, which is not the paper's score, and half of
    the calls are kept for it; without any verdict the answers are counted (`vote`). The paper's three defaults are
    5 drafts, subsets of 2, 10 passages (`kb.retriever(top_k=10)`). What differs from the popular code: subsets are
    unique and there are as many as exist, all three terms are there, labels are not scored, the best draft is told.

    Requires: for the paper's score a `verifier` and a drafter that give log-probabilities of a given text: local
    models by their spec. A chat model does not give them, not even a local one: name it as `bundled:smollm2`.
    State: see `SpeculativeState`. Cost: a call of the drafter for each draft, 5 by default, beside each other; the
    verifier writes nothing. In `approx` up to as many calls of the language model again.
    Good for: a small fast drafter and a large verifier on several machines; questions on which passages disagree. On
    one machine the drafts cost what they cost. Nothing streams before the last node.

    Args:
        retriever: any LlamaIndex retriever.
        llm: any LangChain chat model.
        drafter: writes the drafts: a chat model, or the spec of one (`drafter:bundled`); by default `llm`. A spec
            `drafter:...`, or `prompt="draft"`, says that it was trained as one.
        verifier: a `Scorer`, or the spec of one; by default `llm` where that is one.
        draft_scorer: gives the drafter's own log-probabilities; by default `drafter` where it is a spec that can.
            Without it rho_draft is left out of the score, and the step says `partial rho`.
        embedder: for the clusters: an `Embedder`, a LlamaIndex embedding, or the spec of one; by default that of the
            retriever's knowledge base, else `bundled:minilm`.
        drafts: drafts at most; fewer where fewer subsets exist or the budget pays fewer.
        subset_size: passages of a draft, which is also the number of clusters. None: all passages, so one draft (the
            paper's "drafter alone").
        normalise: `none` (paper), `mean` or `sqrt_len`: what becomes of summed log-probabilities. Without it a longer
            rationale has the lower rho_SC.
        raw_yes: rho_SR is P("Yes") itself, as in the paper.
        abstain_below: the log rho that a draft must have to be told; only applied where all three terms are known.
        select: `full`; for comparisons also `vote`, `random` or `first`, which score nothing.
        seed: of the clusters and the subsets.
        checkpointer: LangGraph checkpointer, for threads.
        parts: `reranker`, `critic`, `budget`, `max_answer_tokens` (of a draft), `transform`, as of every strategy
            (`Parts.of`). `prompt`: `draft` for a trained drafter, or the path of a Jinja file that asks for the lines
            "Rationale:" and "Answer:"; the readers' prompts are not used.

    Example:
        >>> graph = speculative_rag(  # doctest: +SKIP
        ...     kb.retriever(top_k=10), llm, drafter="drafter:bundled", verifier="bundled:smollm2"
        ... )
        >>> graph.invoke({"question": "Who is the ombudsperson?"})["answer"]  # doctest: +SKIP
        'Leonor Pinto'
    """
    _check(drafts, subset_size, normalise, select)
    made = Parts.of(retriever, llm, **parts)
    verifying = _scorer(verifier, llm)
    drafting = _scorer(draft_scorer, llm if drafter is None else drafter)
    scoring = None
    if verifying is not None:
        scoring = Scoring(draft_scorer=drafting, verifier=verifying, normalise=normalise, raw_yes=raw_yes)
    nodes = SpeculativeNodes(
        parts=made,
        drafter=_drafter(drafter, llm),
        trained=made.draft or (isinstance(drafter, str) and parse_spec(drafter).provider in _TRAINED),
        embedder=_embedder(embedder, retriever),
        scoring=scoring,
        drafts=drafts,
        subset_size=subset_size,
        abstain_below=abstain_below,
        select_by=select,
        seed=seed,
    )
    graph = StateGraph(SpeculativeState, input_schema=StrategyInput, output_schema=StrategyOutput)
    last = nodes.opening(graph)
    for name in ("cluster", "sample_subsets", "select", "cite"):
        graph.add_node(name, nodes.node(name))
    for name in ("draft", "verify"):  # drafts run beside each other: `verify` counts the time of both
        graph.add_node(name, nodes.node(name, clocked=False))
    graph.add_edge(last, "cluster")
    graph.add_edge("cluster", "sample_subsets")
    graph.add_conditional_edges("sample_subsets", nodes.after_sampling, ["draft", "cite"])
    graph.add_edge("draft", "verify")
    graph.add_edge("verify", "select")
    graph.add_edge("select", "cite")
    graph.add_edge("cite", END)
    return finish(graph, name="speculative", checkpointer=checkpointer, guard=nodes.parts.guard)


def _check(drafts: int, subset_size: int | None, normalise: str, select: str) -> None:
    if drafts < 1 or (subset_size is not None and subset_size < 1):
        raise UsageError(f"drafts is {drafts}, subset_size {subset_size}", hint="use at least 1 of each")
    for name, given, known in (("normalise", normalise, Normalise), ("select", select, Select)):
        if given not in get_args(known):
            raise UsageError(f"unknown {name} {given!r}", hint=f"use {', '.join(get_args(known))}")


_TRAINED = ("drafter", "reader")
"""Providers of models that write drafts by a prompt of their own."""


def _drafter(given: BaseChatModel | str | None, llm: BaseChatModel) -> Lazy[BaseChatModel]:
    if not isinstance(given, str):
        return Lazy.of(llm if given is None else given)
    trained = parse_spec(given, role="chat").provider in _TRAINED
    # A draft that it is unsure of has a low rho_draft: scores choose, not the drafter's own threshold.
    options = {"abstain_below": None} if trained else {}
    return Lazy(lambda: load_chat_model(given, **options))


def _embedder(given: Any, retriever: BaseRetriever) -> Lazy[Any]:
    kb: Any = getattr(retriever, "kb", None)
    if given is None and hasattr(type(kb), "embedder"):
        return Lazy(lambda: kb.embedder)
    given = "bundled:minilm" if given is None else given
    if not isinstance(given, str):
        return Lazy.of(given)
    parse_spec(given, role="embedder")
    return Lazy(lambda: load_embedder(given))


def _scorer(given: Scorer | str | None, model: object) -> Lazy[Scorer] | None:
    """The scorer that was given, else the model's own, else none."""
    if given is None and not supports_scoring(model):
        return None
    wanted: Any = model if given is None else given
    if not isinstance(wanted, str):
        return Lazy.of(load_scorer(wanted))  # which refuses what is none
    scorer = lazy_scorer(wanted, wanted_by="speculative RAG")
    return Lazy(lambda: _loaded(scorer()))


def _loaded(scorer: Scorer) -> Scorer:
    """Loads its weights now: from here on, what it raises is no error of loading."""
    scorer.score("Question:", " yes")
    return scorer
