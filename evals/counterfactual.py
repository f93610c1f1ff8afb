"""False answers for counterfactual passages, out of the answer set itself (see `stress`)."""

from __future__ import annotations

import re
from typing import Literal

from .answer_sets import AnswerSet, Question, share_of

__all__ = ("FalseAnswers", "answer_kind", "plain_words", "replace_answers")

Kind = Literal["year", "date", "number", "name"]

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_YEAR = re.compile(r"1\d{3}|20\d\d")
_DATE = re.compile(
    rf"(?:{_MONTH}\s+(?:\d{{1,2}}(?:st|nd|rd|th)?)?,?\s*(?:\d{{4}})?"  # May 5, 1850
    rf"|\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s*(?:\d{{4}})?"  # 5 May 1850
    r"|\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4})",  # 1850-05-05
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[^\w\s]{0,2}\d[\d.,]*\s*(?:%|percent|per cent|(?:hundred|thousand|[mbtr]+illion)\b)?", re.I)
_LITTLE_WORDS = frozenset({"a", "an", "and", "at", "de", "for", "in", "of", "on", "or", "the", "to", "van", "von"})
_LONGEST_NAME = 6


def answer_kind(answer: str) -> Kind | None:
    """The rough kind of an answer; None for phrases, for which another's phrase would make no sentence.

    >>> [answer_kind(text) for text in ("1850", "5 May 1850", "$1,496.5", "Marie Curie", "by boat", "Yes")]
    ['year', 'date', 'number', 'name', None, None]
    """
    text = answer.strip().rstrip(".")
    if _YEAR.fullmatch(text):
        return "year"
    if _DATE.fullmatch(text):
        return "date"
    if _NUMBER.fullmatch(text):
        return "number"
    words = text.split()
    big = [word for word in words if word.lower() not in _LITTLE_WORDS]
    named = bool(big) and all(word[0].isupper() for word in big) and len(words) <= _LONGEST_NAME
    return "name" if named and len(text) > 2 and text.lower() not in ("yes", "no") else None


def replace_answers(text: str, question: Question, false: str) -> str:
    """The text with every occurrence of the question's answers, as whole words, replaced by the false one.

    >>> asked = Question("q", "How many?", ("25", "25 days"), ("d",))
    >>> replace_answers("25 days, and 2.25 or 125 of something else.", asked, "31")
    '31 days, and 2.25 or 125 of something else.'
    """
    for answer in _core(question):
        inside = r"(?<!\w)(?<!\d[.,])" + r"\s+".join(map(re.escape, answer.split())) + r"(?!\w)(?![.,]\d)"
        text = re.sub(inside, lambda _: false, text)  # in its own case: the month of May is not every "may"
    return text


class FalseAnswers:
    """False answers out of an answer set: another question's answer of the same kind, chosen by hash.

    One whose question asks with the same word (who, where, ...) is taken first. A false answer holds no right one and
    does not stand in the question, its answers or its gold passages: who gives it can only have it from a passage that
    was changed.

        >>> FalseAnswers(found, seed=0).of(found.questions[0])  # doctest: +SKIP
        'Madagascar'
    """

    def __init__(self, corpus: AnswerSet, *, seed: int = 0) -> None:
        self.corpus, self.seed = corpus, seed
        pools: dict[tuple[Kind, str], dict[str, None]] = {}
        for question in corpus.questions:
            answer = next(iter(_core(question)), "")
            if kind := answer_kind(answer):
                for word in ("", _asks_with(question)):
                    pools.setdefault((kind, word), {})[answer] = None
        self._pools = {key: list(answers) for key, answers in pools.items()}

    def of(self, question: Question) -> str | None:
        """The false answer of a question; None where its answer is of no kind, stands in no gold passage, or no other
        answer of the kind will do.
        """
        core = _core(question)
        kind = answer_kind(core[0]) if core else None
        passages = [" ".join(self.corpus.documents.get(key, ())) for key in question.gold]
        if kind is None or (any(passages) and all(replace_answers(text, question, "") == text for text in passages)):
            return None
        known = plain_words(" ".join((question.question, *question.answers, *passages)))
        for word in (_asks_with(question), ""):
            pool = self._pools.get((kind, word), [])
            for attempt in range(2 * len(pool)):
                share = share_of(f"{question.id}\0{attempt}", seed=self.seed, salt="false")
                false = pool[int(share * len(pool))]
                plain = plain_words(false)
                if plain not in known and not any(plain_words(answer) in plain for answer in core):
                    return false
        return None


def _asks_with(question: Question) -> str:
    found = re.search(r"\b(who|where|when|which|what|how)\b", question.question.lower())
    return found[1] if found else "-"


def _core(question: Question) -> list[str]:
    """Its answers without those that hold another of them (`25 days` beside `25`), the longest first."""
    texts = {" ".join(answer.split()).strip(" .,;"): None for answer in question.answers}
    plain = {text: plain_words(text) for text in texts if text}
    core = [
        text
        for text in plain
        if not any(other != text and plain[other] in plain[text] and plain[other] != plain[text] for other in plain)
    ]
    return sorted(core, key=lambda text: (-len(text), text))


def plain_words(text: str) -> str:
    """Words alone, in lower case, with a space around each: so that `in` finds whole words only."""
    words = re.findall(r"\w+", text.lower())
    return f" {' '.join(words)} "
