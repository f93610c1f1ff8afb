"""What one path gave: its answer, or why there is none, and what that cost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document
from typing_extensions import TypedDict

from ...graphs.common.metering import no_usage
from ...sentences import sentence_spans
from ...types import Citation, Step, Usage

__all__ = ("Outcome", "outcome_of", "sentence_events", "sentence_supports", "support_of")


class Outcome(TypedDict):
    """The result of one path."""

    path: str
    """`cheap`, or the name of the expensive strategy."""
    answer: str
    abstained: bool
    citations: list[Citation]
    documents: list[Document]
    error: str
    """Why the model, or the path as a whole, broke off; empty where nothing failed."""
    steps: list[Step]
    usage: Usage
    hops: int
    """Rounds of retrieval."""
    streamed: bool
    """Its sentences went out on the custom stream as they came."""


def outcome_of(
    path: str,
    values: Mapping[str, Any],
    said: Sequence[Mapping[str, Any]] = (),
    *,
    failed: str = "",
    streamed: bool = False,
) -> Outcome:
    """Of the last state of a strategy.

    `failed` says why it broke off. Then the sentences that it had said count, as in every strategy: each was checked
    before it was said. So do the steps and the usage of the nodes that it had finished.

    >>> outcome_of("cheap", {}, failed="ConnectionError: gone")["answer"]
    'The question could not be answered: ConnectionError: gone'
    """
    answer = values.get("answer")
    if not failed and not isinstance(answer, str):
        failed = "the strategy gave no answer"
    citations = values.get("citations") or []
    abstained = bool(values.get("abstained"))
    if failed:
        answer = " ".join(sentence["text"] for sentence in said)
        citations = [citation for sentence in said for citation in sentence["citations"]]
        abstained = not answer
    return Outcome(
        path=path,
        answer=answer or f"The question could not be answered: {failed or 'the answer is empty'}",
        abstained=abstained or not answer,
        citations=list(citations),
        documents=list(values.get("documents") or []),
        error=failed or str(values.get("error") or ""),
        steps=list(values.get("steps") or []),
        usage=values.get("usage") or no_usage(),
        hops=int(values.get("hops") or 0),
        streamed=streamed,
    )


def sentence_supports(outcome: Outcome) -> list[float]:
    """Of each sentence of the answer the score of its best citation; 0 for one that has none. Cited sentences come
    first. Empty for an abstention.
    """
    if outcome["abstained"]:
        return []
    best: dict[str, float] = {}
    for citation in outcome["citations"]:
        sentence = citation["sentence"]
        best[sentence] = max(best.get(sentence, 0.0), float(citation["score"]))
    rest = outcome["answer"]
    for sentence in sorted(best, key=len, reverse=True):  # one sentence may stand within a longer one
        rest = rest.replace(sentence, "\n", 1)
    uncited = [line[start:end] for line in rest.splitlines() for start, end in sentence_spans(line)]
    return [*best.values(), *(0.0 for sentence in uncited if re.search(r"\w", sentence))]


def support_of(outcome: Outcome) -> float:
    """The mean of `sentence_supports`, 0 to 1; 0 where there is no sentence."""
    supports = sentence_supports(outcome)
    return sum(supports) / len(supports) if supports else 0.0


def sentence_events(outcome: Outcome) -> list[dict[str, Any]]:
    """An answer as strategies stream it: a sentence with its citations at a time.

    An answer that is more than its cited sentences comes as one.
    """
    cited: dict[str, list[Citation]] = {}
    for citation in outcome["citations"]:
        cited.setdefault(citation["sentence"], []).append(citation)
    if " ".join(cited) != outcome["answer"]:
        cited = {outcome["answer"]: outcome["citations"]}
    return [{"type": "sentence", "text": text, "citations": citations} for text, citations in cited.items()]
