"""The joints with Presidio, which this imports: a recogniser by rules, and context words in linear time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import regex
from presidio_analyzer import LocalRecognizer, RecognizerResult

__all__ = ("Rule", "RuleRecognizer", "raised")

_WORD = re.compile(r"[^\W\d_]+")
_BEFORE, _BEHIND = 60, 25
"""Characters around a finding in which context words are looked for."""


@dataclass(frozen=True)
class Rule:
    """A pattern and how sure it is: the group `value` is what was found, else all of the match.

    Every repetition in a pattern has a bound, so that no text takes more than its length.
    """

    pattern: regex.Pattern[str]
    score: float
    check: Callable[[str], bool] | None = None
    """Says of a value whether it can be one at all: a checksum, a range."""

    def found(self, text: str) -> Iterator[tuple[int, int]]:
        """Start and end of each value, in characters."""
        group: int | str = "value" if "value" in self.pattern.groupindex else 0
        for match in self.pattern.finditer(text):
            if self.check is None or self.check(match[group]):
                yield match.span(group)


class RuleRecognizer(LocalRecognizer):
    """Finds one type by rules; `context` are words which, standing near, make a finding surer."""

    def __init__(self, kind: str, rules: Sequence[Rule], context: Sequence[str] = ()) -> None:
        self.rules = rules
        super().__init__([kind], name=f"ragloom {kind}", context=list(context))

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """Every match of every rule."""
        kind = self.supported_entities[0]
        return [RecognizerResult(kind, *place, rule.score) for rule in self.rules for place in rule.found(text)]


def raised(text: str, found: Sequence[RecognizerResult], context: Sequence[str]) -> Iterator[tuple[Any, float]]:
    """Findings and their scores: 0.35 more, and at least 0.5, for what stands near one of the context words.

    In place of Presidio's `LemmaContextAwareEnhancer`: that one compares parts of words ("us" is in "because"), walks
    all tokens for every finding, and logs the words around it at DEBUG.
    """
    words = frozenset(context)
    for each in found:
        near = f"{text[max(0, each.start - _BEFORE) : each.start]} {text[each.end : each.end + _BEHIND]}"
        if words and not words.isdisjoint(_WORD.findall(near.lower())):
            yield each, min(1.0, max(each.score + 0.35, 0.5))
        else:
            yield each, each.score
