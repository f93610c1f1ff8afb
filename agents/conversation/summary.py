"""Long threads: what no longer fits is summarised, so that a late question can still be understood."""

from __future__ import annotations

from dataclasses import dataclass, replace

from langchain_core.language_models import BaseChatModel
from typing_extensions import TypedDict

from ...graphs.common.asking import ask, prompt_tokens
from ...graphs.common.effects import Doing
from ...graphs.common.prompting import render_prompt
from ...graphs.common.purse import Purse
from ...graphs.common.saying import declines
from ...graphs.common.support import content_terms
from ...models import context_window, count_tokens
from ...sentences import sentence_spans
from .history import History
from .phrases import terms_of

__all__ = ("Summarised", "ThreadSummary", "summarise_thread")

SUMMARY_TOKENS = 160
MOST_SENTENCES = 6


class ThreadSummary(TypedDict):
    """What a thread's state keeps beside its messages: state key `thread_summary`."""

    text: str
    turns: int
    """How many turns, from the first, it stands for."""


@dataclass(frozen=True, slots=True)
class Summarised:
    """A history that fits, and what became of the rest."""

    history: History
    folded: int = 0
    """Turns, from the oldest, that are in the summary now, or dropped: added to `ThreadSummary.turns`."""
    told: str = "it fits"
    """For the step: what was done, and why."""


def summarise_thread(
    history: History, llm: BaseChatModel, purse: Purse, *, most_tokens: int = 1500
) -> Doing[Summarised]:
    """Folds the oldest turns into the summary once all together exceed `most_tokens`, down to half of that.

    Of what the model says, sentences with a name or a number that was not said are left out. Where nothing is left, or
    the model fails, the oldest turns are dropped, the former summary stays, and `told` says so. Cost: nothing while the
    history fits, then one call, and none again until as much has been said once more.
    """

    def count(text: str) -> int:
        return count_tokens(llm, text)

    if count(history.text()) <= most_tokens:
        return Summarised(history)
    kept = history.newest(most_tokens // 2, count)
    folded = len(history.turns) - len(kept.turns)
    old = replace(history, turns=history.turns[:folded])
    shown = _fitting(old, llm, purse)
    messages = render_prompt(__package__ or "", "summary", history=shown.text(), most=MOST_SENTENCES)
    said = yield from ask(llm, purse, messages, max_tokens=SUMMARY_TOKENS)
    text = "" if said.failed else _believed(said.text, shown)
    if not text:
        why = said.failed or "the model gave no summary that can be believed"
        return Summarised(kept, folded, f"the {folded} oldest turns are dropped: {why}")
    unread = len(old.turns) - len(shown.turns)
    told = f"the {folded} oldest turns are summarised"
    told += f"; {unread} of them did not fit the prompt and are dropped" if unread else ""
    return Summarised(replace(kept, summary=text), folded, told)


def _fitting(old: History, llm: BaseChatModel, purse: Purse) -> History:
    """The newest of the old turns that fit the model's window and the purse."""
    room = min(context_window(llm), purse.tokens // 2) - SUMMARY_TOKENS
    frame = prompt_tokens(llm, render_prompt(__package__ or "", "summary", history="", most=MOST_SENTENCES))
    return old.newest(room - frame - 16, lambda text: count_tokens(llm, text) + 4)


def _believed(text: str, shown: History) -> str:
    """The sentences that name nothing new and mostly say what was said, at most so many."""
    held = terms_of(shown.text())
    text = " ".join(text.split())
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    kept = [
        sentence
        for sentence in dict.fromkeys(sentences)
        if _said(terms_of(sentence), held) and not declines(sentence) and _names(sentence) <= held
    ]
    return " ".join(kept[:MOST_SENTENCES])


def _said(terms: frozenset[str], held: frozenset[str]) -> bool:
    return bool(terms) and len(terms & held) * 2 >= len(terms)


def _names(sentence: str) -> set[str]:
    return {term for term, hard in content_terms(sentence) if hard}
