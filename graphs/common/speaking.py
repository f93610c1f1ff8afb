"""Sentences on their way out: what a guard has not passed is not said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document

from ...guarding import Finding, Guard
from ...types import Citation, Step
from .effects import Doing
from .screening import check_context, findings, is_blocked, tell_blocked

__all__ = ("Speech", "sentence_event", "speech_context", "told_of", "unheard")


def sentence_event(text: str, citations: Sequence[Citation]) -> dict[str, Any]:
    """A sentence as the custom stream has it."""
    return {"type": "sentence", "text": text, "citations": list(citations)}


@dataclass(slots=True)
class Speech:
    """An answer under a guard, said sentence by sentence.

    Each sentence passes the stage `output` before it goes out, with its quotes, and together with all that was said
    before: so the whole answer has passed, and a pattern across two sentences is seen before the second one is said.
    The first sentence that is blocked ends the speech: what was said stands, and nothing follows.

    A sentence that the guard changes is said as changed, without quotes: what was taken out may stand in them. What was
    said can no longer be changed: where the guard would change the whole, it ends as well.
    """

    guard: Guard
    context: Mapping[str, Any]
    write: Callable[[Any], None]
    """Takes what passes, as `sentence_event`."""
    blocked: Finding | None = None
    """What ended it."""
    said: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All that was said."""
        return " ".join(self.said)

    def say(self, text: str, citations: Sequence[Citation]) -> Doing[dict[str, Any] | None]:
        """The sentence as it was said, {text, citations}; None where it was not."""
        if self.blocked is not None:
            return None
        texts = [text, *(each["quote"] for each in citations)]
        found, *of_quotes = yield from findings(self.guard, "output", texts, self.context)
        if is_blocked(found):
            self.blocked = found
            return None
        if self.said:
            whole = f"{self.text} {found.text}"
            (of_whole,) = yield from findings(self.guard, "output", [whole], self.context)
            if of_whole.verdict != "pass":
                self.blocked = of_whole
                return None
        self.said.append(found.text)
        changed = found.verdict == "change"
        shown: list[Any] = [
            {
                **each,
                "sentence": found.text,
                "quote": each["quote"] if of_quote.verdict == "pass" and not changed else "",
            }
            for each, of_quote in zip(citations, of_quotes, strict=True)
        ]
        self.write(sentence_event(found.text, shown))
        return {"text": found.text, "citations": shown}

    def say_all(self, draft: Sequence[Mapping[str, Any]], *, uncited: bool = False) -> Doing[list[dict[str, Any]]]:
        """What was said of a draft, with the sentences that are not said for want of a citation; `uncited`: are too."""
        kept: list[dict[str, Any]] = []
        for item in draft:
            if item["citations"] or uncited:
                said = yield from self.say(item["text"], item["citations"])
                kept += [said] if said else []
            else:
                kept.append(dict(item))
        return kept


def speech_context(state: Mapping[str, Any], passages: Sequence[Document]) -> dict[str, Any]:
    """What a guard is told with a sentence: `question`, `scope` and the texts of the `passages` that it was read in."""
    return check_context(state["asked"], passages=[passage.page_content for passage in passages])


def told_of(speech: Speech, step: Step) -> dict[str, str]:
    """The update that says what a speech came to; the step says what ended it."""
    if speech.blocked is None:
        return {"passed": speech.text, "withheld": ""}
    tell_blocked(step, [("", speech.blocked)], "sentences")
    return {"passed": speech.text, "withheld": speech.blocked.reason or speech.blocked.rail or "by the guard"}


def unheard(piece: Any) -> None:
    """Takes what a speech would stream, where that is not to be."""
