"""What a question compares, and in which respect: English rules."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ....graphs.common.support import held_terms

__all__ = ("MOST_SIDES", "Comparison", "cleaned_sides", "sides_of")

MOST_SIDES = 4
LONGEST_SIDE = 10
"""Words: what is longer is a sentence, not the name of a thing."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared."""

    sides: tuple[str, ...]
    """Two at least, in the question's words."""
    aspect: str = ""
    """In which respect; empty where the question does not say."""


_ASPECT = (
    r"(?:,?\s+(?P<mark>in terms of|with (?:regard|respect) to|regarding|concerning|as to|when it comes to|based on|"
    r"on|in|by|for)\s+(?P<aspect>[^,]+?))?"
)
_WEAK = frozenset({"on", "in", "by", "for"})
"""Prepositions that belong to a side as often as they open an aspect."""
_LEFT, _RIGHT = r"(?P<left>.+?)", r"(?P<right>.+?)"
_COMPARED = (
    r"(?:is|are|was|were|has|have|had|gets?|got|costs?|pays?|takes?|needs?|uses?|offers?|lasts?|earns?|sells?|makes?|runs?|"
    r"goes|lies|works?|holds?)\s+(?:(?:the\s+)?(?:more|less|fewer|most|least|fewest|better|best|worse|worst)\b|"
    r"(?!other|rather|over|under|after|ever\b|never|either|neither|whether)[a-z]{2,}er\b|"
    r"(?:the\s+)?(?!latest|interest|request|forest|guest|harvest|contest|digest|manifest|protest)[a-z]{2,}est\b)"
)
"""A comparative or superlative right behind the verb: "What is the deadline, Monday or Friday?" has one answer, and
compares nothing.
"""
_STANDARD = (
    r"(?!(?:(?:was|were|is|are|had|been|it|first|\w+ly)\s+)*(?:(?-i:[a-z]{3,}(?<!e)ed)|thought|known|shown|built|usual|normal|"
    r"average|before|necessary|possible|ever|now|today|yesterday|previously|originally|usually|normally)(?:\s+before)?$|"
    r"(?:last|previous|other|any\s+other|all\s+other|most\s+other)\s+\w+$|(?:all\s+|the\s+)?(?:others?|rest|average|norm)$|"
    r"(?:most|any(?:one|body|thing)?)(?:\s+else)?$|(?:during|since|at)\s)"
)
"""Not what something can be compared with by searching for it: longer than expected, than originally planned."""
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"^(?:compare(?:\s+and\s+contrast)?|contrast)\s+{_LEFT},?\s+(?:and|with|to|against|vs\.?|versus)\s+{_RIGHT}{_ASPECT}$",
        r"\b(?:differences?|distinctions?|similarit(?:y|ies)|comparison)(?:\s+(?:in|of)\s+(?P<aspect>.+?))?\s+"
        rf"between\s+{_LEFT},?\s+and\s+{_RIGHT}$",
        r"\b(?:differences?|distinctions?|similarit(?:y|ies)|comparison)\s+"
        rf"between\s+{_LEFT},?\s+and\s+{_RIGHT}{_ASPECT}$",
        rf"^how\s+(?:do|does|did|is|are)\s+{_LEFT}\s+(?:differ(?:ent)?|compared?|stack\s+up)\s+(?:from|to|with|against)\s+{_RIGHT}{_ASPECT}$",
        rf"^how\s+(?:do|are|did)\s+{_LEFT},?\s+and\s+{_RIGHT}\s+(?:differ(?:ent)?|compared?){_ASPECT}$",
        rf"^what\s+do\s+{_LEFT},?\s+and\s+{_RIGHT}\s+have\s+in\s+common$",
        rf"^(?:which|who|what)\b\s*(?P<aspect>(?:[^,:]+\s)??{_COMPARED}[^,:]*)[,:]\s*{_LEFT},?\s+or\s+(?P<right>[^,]+)$",
        r"^(?:is|are|was|were|does|do|did|has|have)\s+(?!there\b|it\b)"
        rf"{_LEFT}(?:\s+(?:have|get|cost|pay|take|need|use|offer|receive|earn|last|sell|make))?\s+"
        r"(?P<aspect>(?:more|less|fewer)\s+\w+|(?!other\b|rather\b)\w{2,}er(?:\s+to\s+\w+)?)\s+than\s+"
        rf"{_STANDARD}{_RIGHT}$",
        rf"^(?:what\s+(?:is|are|about)\s+)?{_LEFT}\s+(?:vs\.?|versus)\s+{_RIGHT}{_ASPECT}$",
    )
)
_POLITE = re.compile(
    r"^(?:(?:please|hi|hello|hey|so|and)[,\s]+)*(?:(?:can|could|would|will)\s+you\s+)?(?:please\s+)?"
    r"(?:(?:tell|show|explain(?:\s+to)?|give)\s+me\s+)?",
    re.IGNORECASE,
)
_SHARED = re.compile(r"^(?:the\s+)?(?P<aspect>[^A-Z]+?)\s+(?P<of>of|for|in|at)\s+(?P<side>.+)$")
"""The price of X and Y: both sides have the head."""
_ARTICLE = re.compile(r"^(?:(?:both|either|between|the|an?)\s+)+", re.IGNORECASE)
_PRONOUN = re.compile(r"^(?:it|he|she|they|them|we|us|i|you|this|that|these|those|there)\b", re.IGNORECASE)
_COUNT = re.compile(r"^(?:\d|(?:one|two|three|four|five|six|seven|eight|nine|ten|a|an)\s+\w+s?$)", re.IGNORECASE)
_EDGES = " \t\n.,;:!?\"'“”‘’()"


def sides_of(question: str) -> Comparison | None:
    """What the question compares; None where no rule finds two things that differ and say something.

    >>> sides_of("What is the difference in price between the Basic plan and the Premium plan?")
    Comparison(sides=('Basic plan', 'Premium plan'), aspect='price')
    >>> sides_of("Which office is larger: Vienna, Leeds or Porto?").sides
    ('Vienna', 'Leeds', 'Porto')
    >>> sides_of("Does the policy differ for interns?") is None
    True
    """
    asked = _POLITE.sub("", " ".join(question.split()).strip(_EDGES))
    for pattern in _PATTERNS:
        if not (found := pattern.search(asked)):
            continue
        parts = found.groupdict()
        left, right, aspect = parts["left"], parts["right"], parts.get("aspect") or ""
        mark = (parts.get("mark") or "").lower()
        if mark in _WEAK and re.search(rf"\b{mark}\b", left, re.IGNORECASE):
            right, aspect = f"{right} {mark} {aspect}", ""  # "hotels in Vienna and hotels in Leeds"
        if not aspect and (head := _SHARED.match(left)) and not re.search(rf"\b{head['of']}\b", right):
            left, aspect = head["side"], head["aspect"]
        sides = cleaned_sides([*left.split(", "), right])
        if len(sides) >= 2 and not _COUNT.match(right.strip()):
            return Comparison(sides[:MOST_SIDES], aspect.strip(_EDGES))
    return None


def cleaned_sides(given: Iterable[str]) -> tuple[str, ...]:
    """Names without articles and quotation marks, each once; without those that name nothing ("it") or
    say too much."""
    named: dict[str, str] = {}
    for each in given:
        side = _ARTICLE.sub("", each.strip(_EDGES)).strip(_EDGES)
        if held_terms(side) and not _PRONOUN.match(side) and len(side.split()) <= LONGEST_SIDE:
            named.setdefault(side.casefold(), side)
    return tuple(named.values())
