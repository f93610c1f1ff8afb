"""What a judge is: scores of one record by name, and for every score that it does not give, the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..records import Record

__all__ = ("Judge", "Scores")


class Scores(dict[str, float | None]):
    """Metric to score, 0 to 1, more is better; None is "no score", and `reasons` says why, by metric.

    >>> Scores({"ragas:faithfulness": None}, {"ragas:faithfulness": "no passages were read"}).reasons
    {'ragas:faithfulness': 'no passages were read'}
    """

    def __init__(self, scores: Mapping[str, float | None], reasons: Mapping[str, str]) -> None:
        super().__init__(scores)
        self.reasons = dict(reasons)


class Judge(Protocol):
    """Scores records, for example by asking a language model; anything with these two members is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics, as `library:metric`: names of different libraries mean different things."""

    def judge(self, record: Record) -> Scores:
        """One entry for each of `names`.

        Never raises for what the model or the record does, and never makes up a number: a judge that fails, babbles or
        takes too long gives None with the reason. May be called from several threads.
        """
