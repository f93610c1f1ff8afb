"""Judges by name: `ragas:METRIC,METRIC`, `deepeval:METRIC,METRIC`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .deepeval import DeepEvalJudge
from .library_judge import LibraryJudge
from .ragas import RagasJudge

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable
    from llama_index.core.base.embeddings.base import BaseEmbedding

    from .protocol import Judge

__all__ = ("known_metrics", "load_judge")

_JUDGES: dict[str, type[LibraryJudge]] = {judge.library: judge for judge in (RagasJudge, DeepEvalJudge)}


def known_metrics() -> dict[str, tuple[str, ...]]:
    """The metrics of each library; nothing is imported for it.

    >>> known_metrics()["deepeval"]
    ('faithfulness', 'answer_relevancy', 'contextual_precision', 'contextual_recall', 'contextual_relevancy')
    """
    return {name: tuple(judge.needs) for name, judge in _JUDGES.items()}


def load_judge(
    spec: str, llm: Runnable[Any, Any], embedder: BaseEmbedding | None = None, *, timeout: float = 300.0
) -> Judge:
    """The judge that `spec` names, asking `llm`: a chat model, or one with options bound to it.

    `embedder` is needed by ragas' answer_relevancy and answer_correctness. `timeout` is in seconds, for one metric of
    one record. Raises `UsageError` for a name that is not known, `MissingExtraError` where the library is missing.

        >>> load_judge("ragas:faithfulness,answer_relevancy", llm, load_embedder()).names  # doctest: +SKIP
        ('ragas:faithfulness', 'ragas:answer_relevancy')
    """
    library, _, listed = spec.partition(":")
    if library not in _JUDGES:
        raise UsageError(f"unknown judge {spec!r}", hint=f"use one of {_listed()}")
    metrics = list(dict.fromkeys(name for part in listed.split(",") if (name := part.strip())))
    known = ", ".join(known_metrics()[library])
    if not metrics:
        raise UsageError(f"{spec!r} names no metric", hint=f"{library} has {known}")
    for name in metrics:
        if name not in known_metrics()[library]:
            raise UsageError(f"unknown metric {name!r} of {library}", hint=f"use one of {known}")
    if timeout <= 0:
        raise UsageError(f"timeout is {timeout:g}", hint="use a positive number of seconds")
    if library == RagasJudge.library:
        return RagasJudge(metrics, llm, embedder, timeout=timeout)
    return DeepEvalJudge(metrics, llm, timeout=timeout)


def _listed() -> str:
    return " or ".join(f"{library}:{','.join(metrics)}" for library, metrics in known_metrics().items())
