"""What a follow-up leaves out, found in the history without a model, and a question that says it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ...sentences import sentence_spans
from .follow_up import ANAPHOR, PERSONAL, why_follow_up
from .history import History, Turn
from .phrases import Phrase, names_in, phrases_in, terms_of

__all__ = ("left_out", "rewrite_by_rules")

MOST_TOPIC = 2
"""Phrases of the first question: people come back to what the conversation is about."""
MOST_NAMES = 3
ANSWER_SENTENCES = 2
"""Of an answer: what it names first is what was asked for."""

SHORT = 10
"""Words of a question in which a pronoun is replaced. In a longer one it may well mean something else."""

_ASKS_NAME = re.compile(r"^\W*(?:who|whose|whom|which)\b|\bwhat(?:'s| is| was) the name\b", re.I)
_CHOOSES = re.compile(r"\b(?:first|second|third|last|other|others|both|former|latter|each|either|neither)\b", re.I)
_TIME = re.compile(r"\b(?:then|that (?:year|day|date|month|time))\b", re.I)
_YEAR = re.compile(r"\b[12]\d{3}\b")
_FRONTED = frozenset({"it", "its", "they", "them", "their", "theirs", "he", "him", "his", "she", "her", "hers"})
"""Pronouns that a phrase can stand for. "these" and "this" may belong to a noun: "these languages"."""
_EMPTY_IT = re.compile(
    r"\bit (?:is |be )?(?:ok|okay|good|bad|possible|safe|legal|worth|true|better|right) (?:to|that)\b", re.I
)


def left_out(history: History, question: str) -> list[Phrase]:
    """What the question is about and does not say, most salient first: the subject, what the answers named, the topic.

    The subject goes from turn to turn: a question that stands alone sets it, a follow-up keeps it and may add to it.
    Answers count only for what refers to them: a person ("she"), a choice ("the second one"), a time ("that year"), or
    where the question before asked for a name.
    """
    if not history.turns:
        return _new(phrases_in(history.summary)[:1], terms_of(question))
    said = set(terms_of(question))
    found: list[Phrase] = []
    topic = [each for each in phrases_in(history.turns[0].question) if not each.text.isdecimal()]
    for candidates, most in (
        (_person(history.turns) if PERSONAL.search(question) else [], 1),
        (_subjects(history.turns), 1),
        (_chosen(history.turns[-1], question), MOST_NAMES),
        (topic, MOST_TOPIC),
    ):
        new = _new(candidates, said)[:most]
        found += new
        said |= {term for phrase in new for term in phrase.terms}
    return found or _new(names_in(_beginning(history.turns[-1].answer)), said)[:MOST_NAMES]


def rewrite_by_rules(history: History, question: str) -> str:
    """The question with its first pronoun replaced by the most salient phrase, and the others appended in brackets.

    >>> rewrite_by_rules(History.of(["What is anemia?", "What causes it?"]), "Can it be cured?")
    'Can anemia be cured?'
    """
    if (last := history.turns[-1:]) and last[0].offered:
        return _answered(last[0], question)
    phrases = [phrase.text for phrase in left_out(history, question)]
    pronoun = ANAPHOR.search(question)
    stands_for = pronoun and pronoun.group().lower() in _FRONTED and not _EMPTY_IT.search(question)
    if phrases and pronoun and stands_for and len(question.split()) <= SHORT:
        word = _possessive(phrases[0]) if _owns(question, pronoun) else phrases[0]
        question, phrases = question[: pronoun.start()] + word + question[pronoun.end() :], phrases[1:]
    return f"{question} ({', '.join(phrases)})" if phrases else question


def _subjects(turns: Sequence[Turn]) -> list[Phrase]:
    """What the conversation is about after these turns, most salient first."""
    subjects: list[Phrase] = []
    for turn in turns:
        own = list(phrases_in(turn.question))
        why = why_follow_up(turn.question)
        if own and not why:
            subjects = own
        elif own and ("pronoun" not in why or own[0].is_name):
            subjects = [*own, *subjects]
        else:
            subjects = [*subjects, *own]
        if _ASKS_NAME.search(turn.question):
            subjects = [*_answer_names(turn)[:1], *subjects]
    return [each for each in dict.fromkeys(subjects) if not each.text.isdecimal()]


def _person(turns: Sequence[Turn]) -> list[Phrase]:
    """Whom "she" may mean: named where the conversation last spoke of a person without a pronoun."""
    for turn in reversed(turns):
        if not PERSONAL.search(turn.question):
            asked, told = names_in(turn.question), _answer_names(turn)
            return [*told, *asked] if _ASKS_NAME.search(turn.question) else [*asked, *told]
    return []


def _chosen(turn: Turn, question: str) -> list[Phrase]:
    """What of the last answer the question points at."""
    if _TIME.search(question) and (years := _YEAR.findall(turn.answer)):
        return [Phrase(years[-1], terms_of(years[-1]), True)]
    return _answer_names(turn) if _CHOOSES.search(question) else []


def _answer_names(turn: Turn) -> list[Phrase]:
    """Names that the answer adds to its question."""
    return [name for name in names_in(_beginning(turn.answer)) if not name.terms <= terms_of(turn.question)]


def _beginning(answer: str) -> str:
    spans = sentence_spans(answer)[:ANSWER_SENTENCES]
    return answer[: spans[-1][1]] if spans else ""


def _new(phrases: Iterable[Phrase], said: Iterable[str]) -> list[Phrase]:
    """Those that add a word to what is said already, and to one another."""
    known, new = set(said), []
    for phrase in phrases:
        if not phrase.terms <= known:
            new.append(phrase)
            known |= phrase.terms
    return new


def _owns(question: str, pronoun: re.Match[str]) -> bool:
    word = pronoun.group().lower()
    if word == "her":  # "about her", "her novels"
        return bool(re.match(r"\s+\w", question[pronoun.end() :]))
    return word in {"its", "their", "theirs", "his", "hers"}


def _possessive(text: str) -> str:
    return f"{text}'" if text.endswith("s") else f"{text}'s"


_ORDINALS = {"first": 0, "second": 1, "third": 2, "1": 0, "2": 1, "3": 2, "last": -1}
_PICKS = re.compile(r"^\W*(?:the |number |option )*(first|second|third|last|[123])(?: one)?\W*$", re.I)


def _answered(turn: Turn, reply: str) -> str:
    """The question that a clarifying question was asked about, with what the user chose."""
    if picked := _PICKS.match(reply):
        at = _ORDINALS[picked.group(1).lower()]
        reply = turn.offered[at] if at < len(turn.offered) else reply
    return f"{turn.question} ({reply.strip().rstrip('.')})"
