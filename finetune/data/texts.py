"""Small questions about texts that several builders ask."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...evals.text_metrics import contains, normalize
from ...sentences import sentence_spans

__all__ = ("answer_sentence", "holds_answer", "near_duplicate", "place_of", "sentences_of", "telling")

SHINGLE = 3
NEAR = 0.8
"""Share of the shorter text's shingles from which two texts count as one."""
_SAYS_LITTLE = frozenset({"yes", "no", "maybe", "true", "false", "none", ""})


def sentences_of(text: str) -> list[str]:
    """The sentences of a text."""
    return [text[start:end] for start, end in sentence_spans(text)]


def telling(answers: Sequence[str]) -> list[str]:
    """Answers whose presence in a passage means something: not "yes", and no single letter."""
    return [answer for answer in answers if normalize(answer) not in _SAYS_LITTLE and len(normalize(answer)) > 1]


def holds_answer(text: str, answers: Sequence[str]) -> bool:
    """Whether one of the answers stands in the text, in normal form and as whole words.

    >>> holds_answer("It borders nine nations.", ["Nine", "9"]), holds_answer("Yes.", ["yes"])
    (True, False)
    """
    known = telling(answers)
    return bool(known) and contains(text, known) == 1


def answer_sentence(text: str, answers: Sequence[str], *, start: int | None = None) -> str:
    """The sentence of the text that holds an answer; with `start`, the one at that offset. Empty: none does."""
    spans = sentence_spans(text)
    if start is not None:
        for left, right in spans:
            if left <= start < right:
                return text[left:right]
    found = [text[left:right] for left, right in spans if holds_answer(text[left:right], answers)]
    return found[0] if found else ""


def place_of(text: str, words: str, begin: int = 0) -> int | None:
    """Where `words` stand in the text; None: nowhere.

    As whole words before parts of words, in their case before any case, from `begin` on before anywhere else.

    >>> place_of("Usain used us, said US Weekly.", "us"), place_of("Usain", "AI"), place_of("Usain", "it")
    (11, 2, None)
    """
    folded = text.lower()
    if len(folded) != len(text):  # of few letters, such as İ
        folded = text
    for before, after in ((r"(?<!\w)", r"(?!\w)"), ("", "")):
        for shown, wanted in ((text, words), (folded, words.lower())):
            looked_for = re.compile(before + re.escape(wanted) + after)
            if found := looked_for.search(shown, begin) or looked_for.search(shown):
                return found.start()
    return None


def near_duplicate(left: str, right: str) -> bool:
    """Whether nearly all that the shorter text says stands word for word in the other.

    >>> near_duplicate("It was built in 1894 by Ann Lee.", "The bridge: it was built in 1894 by Ann Lee!")
    True
    """
    short, long = sorted((_shingles(left), _shingles(right)), key=len)
    return bool(short) and len(short & long) / len(short) >= NEAR


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    size = min(SHINGLE, len(words))
    return {tuple(words[at : at + size]) for at in range(len(words) - size + 1)} if words else set()
