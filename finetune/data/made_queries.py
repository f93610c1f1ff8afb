"""Queries made of a corpus itself, so that a model learns more than questions: topics, statements, keywords.

    title      what a document is called; its passages are relevant, and all are read without titles
    sentence   a sentence of a passage, which then stands without it (the inverse cloze task of Lee, Chang and
               Toutanova, 2019, https://arxiv.org/abs/1906.00300)
    keywords   a few of the words that tell a passage from the others of its set (tf-idf), in the order of the text

They are for training only: the first stage finds a passage by its own words, so a list of such a query says nothing
about lists in use.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...errors import UsageError
from ...evals.answer_sets import share_of
from ...evals.text_metrics import normalize
from .question_sets import Asked, QuestionSet
from .texts import sentences_of

__all__ = ("KINDS", "MadeQuery", "check_made", "made_queries")

Kind = Literal["title", "sentence", "keywords"]
KINDS: tuple[Kind, ...] = ("title", "sentence", "keywords")
FEWEST_WORDS = 30
"""A text with fewer says too little once a sentence is taken out."""
SENTENCE = (6, 40)
"""Words of a sentence that is asked."""
KEYWORDS = (3, 6)
"""How many, drawn from twice as many of the most telling ones."""


@dataclass(frozen=True, slots=True)
class MadeQuery:
    """A query with the passages that it was made of."""

    asked: Asked
    kind: Kind
    sentence: str = ""
    """What is taken out of the passage."""


def check_made(made: float) -> None:
    """Raises `UsageError` for what is no number of made queries for each question."""
    if not 0 <= made <= 10:
        raise UsageError(f"made is {made!r}", hint="use a number from 0 to 10")


def made_queries(questions: QuestionSet, count: int, *, seed: int = 0) -> list[MadeQuery]:
    """At most `count` queries made of passages of the train part, the kinds by turns, always the same ones.

    A set whose documents have no titles gives the other two kinds.
    """
    keys = [key for key in questions.documents if questions.part(key) == "train"]
    keys = [key for key in keys if len(questions.documents[key][1].split()) >= FEWEST_WORDS]
    keys.sort(key=lambda key: share_of(key, seed=seed, salt="made"))
    found: dict[Kind, Iterator[MadeQuery]] = {
        "title": _titles(questions, keys),
        "sentence": _sentences(questions, keys, seed),
        "keywords": _keywords(questions, keys[::-1], seed),  # of other passages, while there are enough
    }
    made: list[MadeQuery] = []
    while found and len(made) < count:
        for kind in list(found):
            one = next(found[kind], None)
            if one is None:
                del found[kind]
            elif len(made) < count:
                made.append(one)
    return made


def _titles(questions: QuestionSet, keys: Sequence[str]) -> Iterator[MadeQuery]:
    together: dict[str, list[str]] = {}
    for key in keys:
        if len(questions.documents[key][0].split()) > 1:  # one word names too much
            together.setdefault(normalize(questions.documents[key][0]), []).append(key)
    for group in together.values():
        title = " ".join(questions.documents[group[0]][0].replace("_", " ").split())
        yield MadeQuery(_asked(questions, "title", title, group), "title")


def _sentences(questions: QuestionSet, keys: Sequence[str], seed: int) -> Iterator[MadeQuery]:
    for key in keys:
        shortest, longest = SENTENCE
        sentences = sentences_of(questions.documents[key][1])
        told = [each for each in sentences if shortest <= len(each.split()) <= longest]
        if told and len(sentences) > 1:
            sentence = random.Random(f"{seed}:{questions.name}:{key}").choice(told)
            yield MadeQuery(_asked(questions, "sentence", sentence, [key]), "sentence", sentence)


def _keywords(questions: QuestionSet, keys: Sequence[str], seed: int) -> Iterator[MadeQuery]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    if not keys:
        return
    vectorizer = TfidfVectorizer(stop_words="english", token_pattern=r"(?u)\b[^\W\d_]{3,}\b", sublinear_tf=True)
    try:
        matrix = vectorizer.fit_transform(questions.documents[key][1] for key in keys)
    except ValueError:  # no word in any of them
        return
    words = vectorizer.get_feature_names_out()
    for row, key in enumerate(keys):
        rng = random.Random(f"{seed}:{questions.name}:{key}:keywords")
        count = rng.randint(*KEYWORDS)
        weights: Any = matrix.getrow(row)
        best = [words[at] for _, at in sorted(zip(-weights.data, weights.indices, strict=True))[: 2 * count]]
        text = questions.documents[key][1].lower()
        chosen = sorted(rng.sample(best, min(count, len(best))), key=text.find)
        if len(chosen) >= KEYWORDS[0]:
            yield MadeQuery(_asked(questions, "keywords", " ".join(chosen), [key]), "keywords")


def _asked(questions: QuestionSet, kind: Kind, query: str, gold: Sequence[str]) -> Asked:
    return Asked(f"{kind}.{gold[0]}", query, (), tuple(gold), True, questions.document(gold[0]))
