"""How good a segment is, as Self-RAG scores it, and when it retrieves: pure functions of probabilities.

Asai, Wu, Wang, Sil and Hajishirzi, 2023, "Self-RAG", https://arxiv.org/abs/2310.11511:

    f = p(segment) + S,   S = w_rel * s_rel + w_sup * s_sup + w_use * s_use

where p is the exponential of the mean log-probability of the segment's tokens. What is unknown (`None`, or no finite
number from 0 on) makes the term that needs it unknown. An unknown term is left out of the sum, as if it were 0, and
`SegmentScore.unknown` names it: a segment never gains by what nobody could judge.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = (
    "DELTA",
    "UTILITY_VALUES",
    "RatioMode",
    "SegmentScore",
    "SegmentWeights",
    "known_probability",
    "probability_of",
    "relevance_score",
    "retrieve_ratio",
    "support_score",
    "utility_of_grade",
    "utility_score",
    "wants_retrieval",
)

RatioMode = Literal["probability", "official_logratio"]
UTILITY_VALUES = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""What a utility of 1 to 5 is worth."""
DELTA = 0.2
"""The paper's threshold of retrieval."""
ROUNDING = 1e-3


@dataclass(frozen=True, slots=True)
class SegmentWeights:
    """The weights of the three judgements, by default the paper's."""

    relevance: float = 1.0
    support: float = 1.0
    utility: float = 0.5


@dataclass(frozen=True, slots=True)
class SegmentScore:
    """The four terms of a segment's score; None where one is unknown.

    >>> SegmentScore(sequence=0.5, relevance=1.0, support=0.5, utility=-1.0).total(SegmentWeights())
    1.5
    >>> SegmentScore(relevance=1.0).unknown
    ['sequence', 'support', 'utility']
    """

    sequence: float | None = None
    relevance: float | None = None
    support: float | None = None
    utility: float | None = None

    def total(self, weights: SegmentWeights) -> float:
        """The paper's f, of the terms that are known."""
        terms = (
            (1.0, self.sequence),
            (weights.relevance, self.relevance),
            (weights.support, self.support),
            (weights.utility, self.utility),
        )
        return sum(weight * term for weight, term in terms if term is not None)

    @property
    def known(self) -> dict[str, float]:
        """The terms that are known, by name."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}

    @property
    def unknown(self) -> list[str]:
        """The names of those that are not."""
        return [name for name in self.__slots__ if getattr(self, name) is None]


def known_probability(value: object) -> float | None:
    """A probability that a critic gave; None for anything that is none.

    >>> known_probability(0.25), known_probability(float("nan")), known_probability(7), known_probability("much")
    (0.25, None, None, None)
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if 0.0 <= number <= 1.0 else None


def probability_of(logprob: object) -> float | None:
    """The probability whose natural logarithm is given; rounding may have lifted that a little above 0.

    >>> probability_of(0.0), probability_of(1e-7), probability_of(float("-inf")), probability_of(2.0)
    (1.0, 1.0, 0.0, None)
    """
    try:
        number = float(logprob)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return math.exp(min(number, 0.0)) if number <= ROUNDING else None


def relevance_score(relevant: float | None, irrelevant: float | None) -> float | None:
    """p(Relevant) / (p(Relevant) + p(Irrelevant)).

    >>> relevance_score(0.75, 0.25)
    0.75
    """
    return _mean([relevant, irrelevant], [1.0, 0.0])


def support_score(fully: float | None, partially: float | None, none: float | None) -> float | None:
    """(p(Fully) + 0.5 * p(Partially)) / (p(Fully) + p(Partially) + p(No support)).

    >>> support_score(0.25, 0.25, 0.0)
    0.75
    """
    return _mean([fully, partially, none], [1.0, 0.5, 0.0])


def utility_score(probabilities: Sequence[float | None], values: Sequence[float] = UTILITY_VALUES) -> float | None:
    """The mean worth of the utilities 1 to 5, weighed by their probabilities: -1 to 1.

    >>> utility_score([0.0, 0.0, 0.1, 0.0, 0.1])
    0.5
    """
    return _mean(probabilities, values)


def utility_of_grade(grade: object) -> float | None:
    """The same of a mean grade from 1 to 5. The paper's values lie on a line, so it is the same number.

    >>> utility_of_grade(4.0), utility_of_grade(6.0)
    (0.5, None)
    """
    try:
        number = float(grade)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return (number - 3.0) / 2.0 if 1.0 <= number <= 5.0 else None


def retrieve_ratio(yes: float | None, no: float | None, mode: RatioMode = "probability") -> float | None:
    """What is compared with delta: p(yes) / (p(yes) + p(no)).

    `official_logratio` is for reproduction only: the released code of short answers divides the LOG-probabilities,
    log p(yes) / (log p(yes) + log p(no)), which turns the rule round. The surer the model is that it wants retrieval,
    the smaller the ratio; with delta 0.2 and two competing tokens it retrieves where p(yes) is below about 0.72.

    >>> round(retrieve_ratio(0.9, 0.1), 3), round(retrieve_ratio(0.9, 0.1, "official_logratio"), 3)
    (0.9, 0.044)
    """
    if mode == "probability":
        return relevance_score(yes, no)
    if not yes or not no or relevance_score(yes, no) is None:
        return None
    whole = math.log(yes) + math.log(no)
    return math.log(yes) / whole if whole else None


def wants_retrieval(ratio: float | None, delta: float = DELTA) -> bool:
    """Whether to retrieve. Where it is not known: yes, for what is looked up can be checked.

    >>> wants_retrieval(0.21, 0.2), wants_retrieval(0.2, 0.2), wants_retrieval(None)
    (True, False, True)
    """
    return ratio is None or ratio > delta


def _mean(weights: Sequence[float | None], values: Sequence[float]) -> float | None:
    if len(weights) != len(values):
        return None
    known = [weight for weight in weights if weight is not None and math.isfinite(weight) and weight >= 0]
    whole = sum(known)
    if len(known) < len(weights) or whole <= 0:
        return None
    return sum(weight * value for weight, value in zip(known, values, strict=True)) / whole
