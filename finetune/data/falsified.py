"""Counterfactual rows: the passage says something else than the data, and so must the answer.

A reader that learns from them takes the answer from what it is shown, not from what it remembers (Longpre et al., 2021,
"Entity-Based Knowledge Conflicts in Question Answering", https://arxiv.org/abs/2109.05052).
"""

from __future__ import annotations

from dataclasses import dataclass

from ...evals.answer_sets import AnswerSet, Question, share_of
from ...evals.counterfactual import FalseAnswers, replace_answers
from .parts import PARTS
from .question_sets import Asked, QuestionSet

__all__ = ("Falsified", "Falsifier")


@dataclass(frozen=True, slots=True)
class Falsified:
    """A passage with another answer in the place of the right one."""

    text: str
    start: int
    """Where the sentence that carries the answer begins and ends now."""
    end: int
    answer: str


class Falsifier:
    """Falsifies a share of the questions, chosen by hash; another question of the same part lends the answer."""

    def __init__(self, found: QuestionSet, share: float, *, seed: int) -> None:
        self._share, self._seed = share, seed
        self._lenders = {}
        for part in PARTS if share else ():
            asked = tuple(_question(item) for item in found.questions if item.part == part and item.answerable)
            self._lenders[part] = FalseAnswers(AnswerSet(found.name, found.documents, asked), seed=seed)

    def of(self, asked: Asked, text: str, start: int, end: int) -> Falsified | None:
        """The passage `text` with a false answer wherever a right one stands, also in the sentence from `start` to
        `end`; None for a question that stays as it is, or whose answer is no name, number or date.
        """
        if share_of(asked.id, seed=self._seed, salt="counterfactual") >= self._share:
            return None
        question = _question(asked)
        false = self._lenders[asked.part].of(question)
        if not false:
            return None
        before, carrier, behind = (
            replace_answers(piece, question, false) for piece in (text[:start], text[start:end], text[end:])
        )
        if carrier == text[start:end]:  # the sentence says it in other words: it would now answer nothing
            return None
        return Falsified(before + carrier + behind, len(before), len(before) + len(carrier), false)


def _question(asked: Asked) -> Question:
    return Question(asked.id, asked.question, asked.answers, asked.gold)
