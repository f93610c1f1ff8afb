"""Several queries, one ranking: all are searched for at once, and what they find is fused by reciprocal rank.

Cormack, Clarke and Buettcher, SIGIR 2009: score(d) = sum of weight / (60 + rank). In a knowledge base every query has a
lexical and a dense ranking, in any other retriever one. Made-up passages (HyDE, https://arxiv.org/abs/2212.10496) move
the vector of the question in its dense search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.documents import Document
from llama_index.core.base.base_retriever import BaseRetriever

from ...types import Step
from .effects import Compute, Doing, Search, Together
from .mixing import fuse
from .support import held_terms

__all__ = ("DRIFT_WEIGHT", "query_weights", "search_all")

DRIFT_WEIGHT = 0.5
"""Of a rewrite that shares no content word with the question: it may be about something else."""
DEPTH = 20
"""How deep each ranking of a knowledge base is read at least: a passage that many rankings hold, and none on top, has
to be seen in them."""


@dataclass(frozen=True, slots=True)
class _Way:
    """How every query is searched for, and how much that counts."""

    mode: str
    """`bm25`, `dense`, or nothing where the retriever has one way only."""
    retriever: BaseRetriever
    weight: float


def search_all(
    retriever: BaseRetriever,
    queries: Sequence[str],
    hypotheses: Sequence[str],
    step: Step,
    *,
    original_weight: float = 1.0,
    drift_weight: float = DRIFT_WEIGHT,
) -> Doing[list[Document]]:
    """Passages for the first query, which is the question, and all others: `found = yield from search_all(...)`.

    A knowledge base is searched lexically and densely, unless its retriever's mode is `bm25` or `dense` alone: `bm25`
    promises that no model is loaded. There are as many passages as the retriever's `top_k`, or as the longest ranking
    has. Of passages with the same score the one that an earlier ranking holds comes first.

    Fills the step. A search of another query that fails is left out and told of; one of the question is raised.
    """
    question, *others = _distinct(queries)
    ways = _ways(retriever)
    vector, notes = None, []
    if hypotheses and any(way.mode == "dense" for way in ways):
        vector, note = yield from _moved_vector(retriever, question, hypotheses)
        notes.append(note)
    elif hypotheses:
        others = _distinct([question, *others, *hypotheses])[1:]
        notes.append(f"{len(hypotheses)} hypotheses searched for as text, the retriever takes no vector")
    asked = [question, *others]
    weights = query_weights(question, others, original_weight=original_weight, drift_weight=drift_weight)
    plan = [(at, way) for at in range(len(asked)) for way in ways if weights[at] > 0]
    found = yield Together(
        [Search(way.retriever, asked[at], vector if at == 0 and way.mode == "dense" else None) for at, way in plan]
    )
    rankings: list[list[Document]] = []
    counts: list[float] = []
    failures: list[Exception] = []
    for (at, way), documents in zip(plan, found, strict=True):
        if not isinstance(documents, Exception):
            rankings.append(documents)
            counts.append(weights[at] * way.weight)
        elif at == 0:
            raise documents
        else:
            failures.append(documents)
    if failures:
        notes.append(f"{len(failures)} of {len(plan)} searches failed: {failures[0]}")
    fused = fuse(rankings, counts)[: _top_k(retriever) or max(map(len, rankings), default=0)]
    step["decision"] = f"{len(fused)} passages"
    step["reason"] = "; ".join([f"by reciprocal rank in {len(rankings)} rankings of {len(asked)} queries", *notes])
    step["scores"] = {str(document.id): round(document.metadata["score"], 4) for document in fused}
    step["details"] = {"weights": dict(zip(asked, weights, strict=True))}
    return fused


def query_weights(
    question: str, others: Sequence[str], *, original_weight: float = 1.0, drift_weight: float = DRIFT_WEIGHT
) -> list[float]:
    """How much the question counts, and each other query; one that shares no content word with it has drifted.

    Drifted ones share `drift_weight` among them: many of them do not outvote the question.

    >>> query_weights("How many days of leave?", ["days off per year", "canteen menu"])
    [1.0, 1.0, 0.5]
    """
    about = held_terms(question)
    drifted = [bool(about) and not about & held_terms(query) for query in others]  # "What is it?" is about nothing
    shared = drift_weight / max(1, sum(drifted))
    return [original_weight, *(shared if each else 1.0 for each in drifted)]


def _ways(retriever: BaseRetriever) -> list[_Way]:
    """Lexical and dense where the retriever has both; in its mode `hybrid`, weighted by its `alpha`."""
    base: Any = retriever
    if not hasattr(base, "with_mode"):
        return [_Way("", retriever, 1.0)]
    weights = {"bm25": 1.0, "dense": 1.0}
    if base.mode in weights:
        weights = {base.mode: 1.0}
    elif base.mode == "hybrid":
        weights = {"bm25": 2 * (1 - base.alpha), "dense": 2 * base.alpha}
    depth = max(base.top_k, DEPTH)
    return [_Way(mode, base.with_mode(mode, depth), weight) for mode, weight in weights.items() if weight > 0]


def _moved_vector(retriever: Any, question: str, hypotheses: Sequence[str]) -> Doing[tuple[list[float] | None, str]]:
    """HyDE's vector and what to tell of it; none where the embedder fails, and the question's own is used."""
    try:
        vector: list[float] = yield Compute(_mean_vector, retriever.kb, question, hypotheses)
    except Exception as error:
        return None, f"no vector of the hypotheses: {type(error).__name__}: {error}"
    return vector, f"the question's vector is the mean of its own and {len(hypotheses)} hypotheses'"


def _mean_vector(kb: Any, question: str, hypotheses: Sequence[str]) -> list[float]:
    import numpy as np

    # The question as a query, the hypotheses as documents: embedders that are told which is which tell them apart.
    vectors = np.vstack([kb.query_vector(question), kb.embedder.embed(list(hypotheses))])
    mean = vectors.mean(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(mean))
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"the mean vector has length {length}")
    return [float(value) for value in mean / length]


def _top_k(retriever: Any) -> int:
    top_k = getattr(retriever, "top_k", None)
    return top_k if isinstance(top_k, int) else 0


def _distinct(queries: Sequence[str]) -> list[str]:
    """Each once, whatever its case and spaces; blank ones not at all."""
    first: dict[str, str] = {}
    for query in queries:
        if query.strip():
            first.setdefault(" ".join(query.casefold().split()), query.strip())
    return list(first.values())
