"""What an answer denotes: a set of numbers, dates and texts, compared as WikiTableQuestions' official evaluator does.

After Pasupat and Liang, 2015, "Compositional Semantic Parsing on Semi-Structured Tables"
(https://arxiv.org/abs/1508.00305) and the evaluator of its data set. That evaluator takes the numbers and dates of the
right answers from annotations made with CoreNLP; where there are none, as here, they are read from the text itself:
thousands separators and dates in words are understood on both sides.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .cells import cell_text
from .dates import read_date

__all__ = ("Value", "denotation", "same_denotation")

Day: TypeAlias = tuple[int, int, int]
"""Year, month, day; -1 for what is not said."""
TOLERANCE = 1e-6
_QUOTES = str.maketrans({**dict.fromkeys("‘’´`", "'"), **dict.fromkeys("“”", '"'), **dict.fromkeys("‐‑‒–—−", "-")})
_NOTES = re.compile(r"((?<!^)\[[^\]]*\]|\[\d+\]|[•♦†‡*#+])*$")
_BRACKETS = re.compile(r"(?<!^)( \([^)]*\))*$")
_IN_QUOTES = re.compile(r'^"([^"]*)"$')
_PARTED = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[-+]?\d{1,3})?", re.ASCII)
_DAY = re.compile(r"(x{2}|x{4}|\d{1,4})-(xx|\d{1,2})-(xx|\d{1,2})")
_UNITS = re.compile(
    r"[$€£¥₹]?\s*(?P<number>[-+]?[\d.,]+)\s*(?P<scale>thousand|million|billion)?\s*(?:%|percent|"
    r"[$€£¥₹]|dollars?|euros?|pounds?|years?|months?|weeks?|days?|hours?|minutes?|seconds?|points?|goals?|times?|"
    r"people|km|m|mi|miles?|metres?|meters?|feet|ft|kg|lbs?)?"
)
_SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}


@dataclass(frozen=True, slots=True)
class Value:
    """One value of an answer: its normalised text, and the number or the date that the text writes."""

    text: str
    number: float | None = None
    day: Day | None = None

    def matches(self, other: Value) -> bool:
        """Whether the texts are the same, or both are numbers within a millionth, or both the same day."""
        if self.text == other.text:
            return True
        if self.number is not None and other.number is not None:
            return abs(self.number - other.number) < TOLERANCE
        return self.day is not None and self.day == other.day

    @property
    def key(self) -> str:
        """What votes are counted by: the same for values that match, but for numbers at the edge of the tolerance."""
        if self.number is not None:
            return f"number {round(self.number, 6) + 0.0:.15g}"  # + 0.0: there is one zero
        return f"day {self.day}" if self.day else f"text {self.text}"


def denotation(values: Iterable[object], *, units: bool = False) -> frozenset[Value]:
    """The set of values that an answer denotes. `units`: also take "4 years", "$4" and "4 %" for the number 4.

    >>> sorted(value.text for value in denotation(["  Linz (Austria)[2] ", "“Graz”", "Linz"]))
    ['graz', 'linz']
    >>> [value.number for value in denotation(["1,538"])], [value.day for value in denotation(["March 5, 1990"])]
    ([1538.0], [(1990, 3, 5)])
    """
    made = (_value(cell_text(value), units) for value in values)
    return frozenset({value.key: value for value in made}.values())


def same_denotation(expected: Iterable[object], given: Iterable[object]) -> bool:
    """Whether two answers have as many values, and every expected one is among the given ones.

    >>> same_denotation(["1,538", "Graz"], ["graz", 1538.0]), same_denotation(["4"], ["4", "5"])
    (True, False)
    """
    wanted, found = denotation(expected), denotation(given)
    return len(wanted) == len(found) and all(any(each.matches(value) for value in found) for each in wanted)


def _value(original: str, units: bool) -> Value:
    text = _normalised(original)
    plain = _PARTED.sub("", original.strip().translate(_QUOTES).lower())
    if _NUMBER.fullmatch(plain):
        return Value(text, float(plain))
    if units and (found := _UNITS.fullmatch(plain)) and _NUMBER.fullmatch(found["number"]):
        return Value(text, float(found["number"]) * _SCALES.get(found["scale"] or "", 1.0))
    if day := _day(plain, original):
        return Value(text, float(day[0])) if day[1] == day[2] == -1 else Value(text, None, day)
    return Value(text)


def _day(plain: str, original: str) -> Day | None:
    if found := _DAY.fullmatch(plain):
        year, month, day = (-1 if part.startswith("x") else int(part) for part in found.groups())
        known = (month == -1 or 1 <= month <= 12) and (day == -1 or 1 <= day <= 31)
        return (year, month, day) if known and not year == month == day == -1 else None
    date = read_date(original)
    return (date.year, date.month, date.day) if date else None


def _normalised(text: str) -> str:
    """Without accents, footnote marks, remarks in brackets at the end, outer quotation marks, case and extra space."""
    bare = "".join(sign for sign in unicodedata.normalize("NFKD", text) if unicodedata.category(sign) != "Mn")
    bare = bare.translate(_QUOTES)
    before = None
    while bare != before:
        before = bare
        bare = _NOTES.sub("", bare.strip())
        bare = _BRACKETS.sub("", bare.strip())
        bare = _IN_QUOTES.sub(r"\1", bare.strip())
    return " ".join(bare.removesuffix(".").split()).lower()
