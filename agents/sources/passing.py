"""When the answer of a source is the answer of the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage

from .answer import OwnAnswer, SourceAnswer

__all__ = ("own_update", "passed_through")


def passed_through(told: Sequence[SourceAnswer], *, may_read: bool) -> tuple[SourceAnswer, OwnAnswer] | None:
    """The source whose own answer stands; None where passages are to be read.

    That is the only one that gave anything. Of several: the first one with an answer, where there is no passage to
    read or, `may_read` being false, nothing left to read with.
    """
    giving = [each for each in told if each["documents"] or each["own"] is not None]
    if len(giving) == 1:
        own = giving[0]["own"]
        return None if own is None else (giving[0], own)
    if may_read and any(each["documents"] for each in giving):
        return None
    answers = ((each, each["own"]) for each in giving)
    return next(((each, own) for each, own in answers if own is not None and not own["abstained"]), None)


def own_update(own: OwnAnswer, documents: Sequence[Document], write: Callable[[Any], None]) -> dict[str, Any]:
    """The update of the state; what has not been streamed yet goes out."""
    citations, abstained = own["citations"], own["abstained"]
    answer = own["answer"] or "The source gave no answer."
    if not (own["streamed"] or abstained):
        write({"type": "sentence", "text": answer, "citations": citations})
    message = AIMessage(answer, additional_kwargs={"citations": citations, "abstained": abstained})
    return {
        "answer": answer,
        "abstained": abstained,
        "citations": citations,
        "documents": list(documents),
        "error": own["error"],
        "messages": [message],
    }
