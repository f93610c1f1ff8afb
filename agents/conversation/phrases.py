"""Noun phrases without a tagger: runs of content words between function words and punctuation.

As the candidates of RAKE (Rose, Engel, Cramer and Cowley, 2010, "Automatic keyword extraction from individual
documents"). Words that ask or that name an aspect ("tell", "symptoms", "different") make no phrase by themselves: what
a question is about is the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from ...graphs.common.support import content_terms

__all__ = ("Phrase", "aspect_terms", "names_in", "phrases_in", "terms_of")

_WORD = re.compile(r"[^\W_]+(?:['’.&/-][^\W_]+)*")
_CLITIC = re.compile(r"(?:n['’]t|['’](?:s|m|re|ve|ll|d))$", re.I)
_SENTENCE_START = re.compile(r"(?:^|[.?!:]\s)[\s\"'“‘(]*$")
_JOINS = re.compile(r"[\s\"'“”‘’]*")
"""What may stand between two words of one phrase."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """Some words of a text that stand together."""

    text: str
    terms: frozenset[str]
    """Stems of its content words."""
    is_name: bool
    """One of its words is capitalised within the sentence, a number or an abbreviation."""


@lru_cache(maxsize=1 << 14)
def terms_of(text: str) -> frozenset[str]:
    """Stems of the content words."""
    return frozenset(term for term, _ in content_terms(text))


@cache
def aspect_terms() -> frozenset[str]:
    """Stems of words that ask, or name an aspect, and no subject."""
    return terms_of(files(__package__).joinpath("stopwords.txt").read_text(encoding="utf-8"))


@lru_cache(maxsize=1 << 12)
def phrases_in(text: str) -> tuple[Phrase, ...]:
    """The phrases, in their order.

    >>> [phrase.text for phrase in phrases_in("What are the side effects of long term PPI use?")]
    ['PPI']
    """
    found: list[Phrase] = []
    run: list[tuple[str, bool]] = []
    end = 0
    for match in _WORD.finditer(text):
        if not _JOINS.fullmatch(text, end, match.start()):
            _close(run, found)
        word = _CLITIC.sub("", match.group())
        starts = bool(_SENTENCE_START.search(text[: match.start()]))
        if terms_of(word):
            named = (word[0].isupper() and not starts) or word[0].isdigit() or any(map(str.isupper, word[1:]))
            run.append((word, named))
        else:
            _close(run, found)
        end = match.end()
    _close(run, found)
    return tuple(found)


def _close(run: list[tuple[str, bool]], found: list[Phrase]) -> None:
    """Makes a phrase of a run, without the aspect words at its ends, and empties it."""
    words, aspects = list(run), aspect_terms()
    run.clear()
    while words and terms_of(words[0][0]) <= aspects:
        words.pop(0)
    while words and terms_of(words[-1][0]) <= aspects and not words[-1][1]:
        words.pop()
    if words:
        text = " ".join(word for word, _ in words)
        found.append(Phrase(text, terms_of(text), any(named for _, named in words)))


_NAME_JOINS = re.compile(r"\s+(?:(?:of|de|da|van|von|the)\s+)*")
"""What may stand between two words of one name."""


def names_in(text: str) -> list[Phrase]:
    """Names of people, places and things, in their order. The first word of a sentence alone is none.

    >>> [name.text for name in names_in("The ombudsperson is Leonor Pinto. Ask her.")]
    ['Leonor Pinto']
    """
    runs: list[list[re.Match[str]]] = []
    for match in _WORD.finditer(text):
        # The first word of "The Tay Bridge" and "I" are no part of a name.
        if not match.group()[0].isupper() or not terms_of(match.group()):
            continue
        if runs and _NAME_JOINS.fullmatch(text, runs[-1][-1].end(), match.start()):
            runs[-1].append(match)
        else:
            runs.append([match])
    found: dict[frozenset[str], Phrase] = {}
    for run in runs:
        name = _CLITIC.sub("", text[run[0].start() : run[-1].end()])
        starts = _SENTENCE_START.search(text[: run[0].start()])
        if not (starts and len(run) == 1 and name[1:].islower()):
            found.setdefault(terms_of(name), Phrase(" ".join(name.split()), terms_of(name), True))
    return list(found.values())
