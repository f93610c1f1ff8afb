"""Whether a model's rewrite may stand for the user's question. Small models mostly answer it, or make things up."""

from __future__ import annotations

import re

from ...graphs.common.saying import declines
from .history import History
from .phrases import aspect_terms, terms_of

__all__ = ("first_line", "why_rejected")

MORE_WORDS = 20
"""How many words a rewrite may be longer than the question."""

_LABEL = re.compile(
    r"^\W*(?:(?:standalone|rewritten|rephrased|full|new|last) )?(?:question|rewrite|rewritten)\W*:\s*", re.I
)
_ASKS = re.compile(
    r"\?\W*$|^\W*(?:what|who|whom|whose|which|when|where|why|how|am|are|is|was|were|do|does|did|has|have|had|can|could"
    r"|may|must|shall|should|will|would|tell|describe|explain|compare|list|give|name|show|summari[sz]e)\b",
    re.I,
)


def first_line(text: str) -> str:
    """The rewrite in what a model says: its first line, without label and quotes.

    >>> first_line('Standalone question: "Is anemia curable?"\\nI hope this helps.')
    'Is anemia curable?'
    """
    line = next((line for line in text.splitlines() if line.strip()), "")
    line = " ".join(_LABEL.sub("", line).split())
    return line[1:-1] if len(line) > 1 and line[0] + line[-1] in ('""', "''", "“”") else line


def why_rejected(rewrite: str, history: History, question: str, prompt: str) -> str:
    """Why the rewrite does not stand for the question; empty where it does.

    It must ask, keep the question's content words and numbers, add something, and add only what the history holds (or
    words that name no subject). A line of the `prompt` is none: small models repeat its examples.
    """
    if not re.search(r"\w", rewrite):
        return "it is empty"
    if declines(rewrite) or (_ASKS.search(question) and not _ASKS.search(rewrite)):
        return "it is no question"
    if len(rewrite.split()) > len(question.split()) + MORE_WORDS:
        return f"it is more than {MORE_WORDS} words longer than the question"
    asked, said = terms_of(question), terms_of(rewrite)
    held = terms_of(history.text())
    if lost := sorted(asked - said - aspect_terms()):
        return f"it lost {', '.join(lost)}"
    if lost := sorted(term for term in asked - said if term[0].isdigit()):
        return f"it lost {', '.join(lost)}"
    if invented := sorted(said - asked - held - aspect_terms()):
        return f"it made up {', '.join(invented)}"
    if not said - asked:
        return "it adds nothing"
    lines = {first_line(line).casefold() for line in prompt.splitlines()}
    return "it repeats the prompt" if rewrite.casefold() in lines else ""
