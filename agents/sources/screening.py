"""What a source without our guard gave, under the guard of who asks it: a tool, somebody else's strategy, a table."""

from __future__ import annotations

from typing import Any

from ...graphs.common.effects import Doing
from ...graphs.common.nodes import UNSEEN
from ...graphs.common.screening import WITHHELD, check_context, screened_passages
from ...graphs.common.speaking import Speech, told_of, unheard
from ...guarding import Guard
from ...types import Step
from .answer import OwnAnswer, SourceAnswer

__all__ = ("screened_answer",)


def screened_answer(guard: Guard | None, question: str, given: SourceAnswer, step: Step) -> Doing[SourceAnswer]:
    """The answer as the guard lets it be used: each passage at the stage `tool`, its own answer as a whole at `output`.

    Of an answer that is blocked nothing is left, no passage either. One that is changed keeps the citations of the
    sentences that still stand in it, without quotes. Of its steps their names are told: no guard has seen the rest.
    Without a guard it is as it was.
    """
    if guard is None:
        return given
    context = check_context(question, tool="+".join(given["names"]))
    documents = yield from screened_passages(guard, given["documents"], context, step)
    steps: list[Any] = [
        {**each, "decision": UNSEEN, "reason": UNSEEN, "scores": {}, "details": {}} for each in given["steps"]
    ]
    own = given["own"]
    if own is not None:
        speech = Speech(guard, {**context, "passages": [each.page_content for each in documents]}, unheard)
        said = yield from speech.say(own["answer"], own["citations"])
        told_of(speech, step)
        documents = documents if said else []
        known = {document.id for document in documents}
        own = _as_said(own, said, known)
    return {**given, "documents": documents, "steps": steps, "own": own}


def _as_said(own: OwnAnswer, said: dict[str, Any] | None, known: set[str | None]) -> OwnAnswer:
    if said is None:
        return {**own, "answer": WITHHELD, "abstained": True, "citations": [], "error": ""}
    pairs = zip(own["citations"], said["citations"], strict=True)
    citations: list[Any] = [{**before, "quote": after["quote"]} for before, after in pairs]
    stands = [each for each in citations if each["sentence"] in said["text"] and each["id"] in known]
    return {**own, "answer": said["text"], "citations": stands}
