"""Sentences made false, one thing at a time: a number, a name, a negation, a word of the opposite meaning.

Cf. the synthetic negatives of FactCC (Kryscinski et al. 2020, arXiv 1910.12840). Each function returns what it changed,
or None where the sentence has nothing of the kind; what comes in is said to stand in the passage or not to, so that the
laws can be tested. That the result is false is likely, not certain: a passage may say two things.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from ...evals.questions.names import MONTHS
from ...evals.text_metrics import normalize

__all__ = ("Perturbed", "change_number", "negate", "perturb", "swap_antonym", "swap_name")

Change = Literal["number", "name", "negation", "antonym"]


@dataclass(frozen=True, slots=True)
class Perturbed:
    """A changed sentence."""

    text: str
    change: Change
    old: str
    """Words that were taken out; empty where a "not" was put in."""
    new: str
    """Words that came in; empty where a "not" was taken out."""
    in_passage: bool
    """Whether the new words stand in the passage, as whole words."""


class _Changer(Protocol):
    def __call__(self, text: str, passage: str, *, seed: int = 0) -> Perturbed | None: ...


_NUMBER = re.compile(r"(?<![\w.,])\d+(?:,\d{3})*(?:\.\d+)?(?![\w]|[.,]\d)")
# Capitalised words in a row, small words of names between them: "House of Commons".
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?:\s+(?:of|the|de|van|von|and)\s+[A-Z][\w'’-]+|\s+[A-Z][\w'’-]+)*")
# What may be may also not be: "may", "could" and "would" are left alone.
_AUXILIARY = re.compile(r"\b(?:is|are|was|were|has been|have been|had been|can|must|should|will)\b(?!\s*not\b)")
_NOT = re.compile(
    r"\b(is|are|was|were|has|have|had|do|does|did|can|could|may|might|must|should|will|would) not ", re.IGNORECASE
)
# fmt: off
_OPPOSITES = (
    ("increase", "decrease"), ("increased", "decreased"), ("increases", "decreases"), ("increasing", "decreasing"),
    ("higher", "lower"), ("highest", "lowest"), ("high", "low"), ("more", "less"), ("most", "least"),
    ("larger", "smaller"), ("largest", "smallest"), ("large", "small"), ("longer", "shorter"), ("long", "short"),
    ("before", "after"), ("first", "last"), ("early", "late"), ("earlier", "later"), ("oldest", "youngest"),
    ("older", "younger"), ("north", "south"), ("northern", "southern"), ("east", "west"), ("eastern", "western"),
    ("won", "lost"), ("win", "lose"), ("accepted", "rejected"), ("allowed", "forbidden"), ("always", "never"),
    ("all", "none"), ("above", "below"), ("best", "worst"), ("better", "worse"), ("positive", "negative"),
    ("strong", "weak"), ("stronger", "weaker"), ("male", "female"), ("husband", "wife"), ("father", "mother"),
    ("brother", "sister"), ("king", "queen"), ("son", "daughter"), ("begins", "ends"), ("began", "ended"),
    ("began", "stopped"), ("rich", "poor"), ("public", "private"), ("success", "failure"), ("successful", "failed"),
    ("common", "rare"), ("increasingly", "decreasingly"), ("inside", "outside"), ("upper", "lower"), ("rise", "fall"),
    ("rose", "fell"), ("majority", "minority"), ("same", "different"), ("hot", "cold"), ("warm", "cool"),
    ("opened", "closed"), ("supported", "opposed"), ("possible", "impossible"), ("legal", "illegal"),
    ("dependent", "independent"), ("maximum", "minimum"), ("external", "internal"), ("activate", "inhibit"),
    ("activates", "inhibits"), ("activated", "inhibited"), ("married", "divorced"), ("north", "south"),
)
# fmt: on
_OPPOSITE: dict[str, str] = {}
for _left, _right in _OPPOSITES:
    _OPPOSITE.setdefault(_left, _right)
    _OPPOSITE.setdefault(_right, _left)
_WORDS = re.compile(r"\b(?:" + "|".join(sorted(_OPPOSITE, key=len, reverse=True)) + r")\b")
_NO_NAMES = frozenset(
    {
        *("The", "This", "That", "These", "Those", "It", "He", "She", "They", "We", "You", "I", "His", "Her", "Their"),
        *("In", "On", "At", "By", "For", "From", "With", "As", "An", "A", "And", "But", "If", "When", "While", "After"),
    }
)


def change_number(text: str, passage: str, *, seed: int = 0) -> Perturbed | None:
    """One number changed to another of the passage that the sentence does not have, else to one near it that the
    passage does not have either.

        >>> change_number("It has 25 rooms.", "It has 25 rooms on 3 floors.").text
        'It has 3 rooms.'
    """
    dice = _dice("number", text, seed)
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    old = dice.choice(found)
    own = {match.group() for match in found}
    held = [match.group() for match in _NUMBER.finditer(passage)]
    # A year for a year: "in 12" tells at once that it is wrong.
    alike = [number for number in held if number not in own and _year(number) == _year(old.group())]
    new = dice.choice(sorted(set(alike))) if alike else _near(old.group(), {*own, *held}, dice)
    return _replaced(text, passage, "number", old.start(), old.end(), new)


def swap_name(text: str, passage: str, *, seed: int = 0) -> Perturbed | None:
    """One name changed to another name of the passage that the sentence does not have.

    >>> swap_name("It was built by Ann Lee.", "Tom Hall paid for it. It was built by Ann Lee.").text
    'It was built by Tom Hall.'
    """
    dice = _dice("name", text, seed)
    said = f" {normalize(text)} "
    found = _names(text)
    held = sorted({match.group() for match in _names(passage) if f" {normalize(match.group())} " not in said})
    if not found or not held:
        return None
    old = dice.choice(found)
    words = old.group().split()
    # A month for a month, and no name for one that it shares a word with: "Ann Lee" for "Mrs Lee" may be true.
    alike = [
        name
        for name in held
        if (name in MONTHS) == (old.group() in MONTHS) and not {*name.lower().split()} & {*old.group().lower().split()}
    ]
    near = sorted(alike, key=lambda name: (abs(len(name.split()) - len(words)), _dice(name, text, seed).random()))
    return _replaced(text, passage, "name", old.start(), old.end(), near[0]) if near else None


def negate(text: str, passage: str = "", *, seed: int = 0) -> Perturbed | None:
    """A "not" put in after the first auxiliary verb, or taken out where there is one.

    >>> negate("The bridge was opened in 1894.").text, negate("It is not open.").text
    ('The bridge was not opened in 1894.', 'It is open.')
    """
    if found := _NOT.search(text):
        new = f"{text[: found.start()]}{found[1]} {text[found.end() :]}"
        return Perturbed(new, "negation", "not", "", False)
    found = _AUXILIARY.search(text)
    if not found or not text[found.end() :].strip(" ."):
        return None
    first = found.start() + len(found.group().split()[0])
    new = f"{text[:first]} not{text[first:]}"
    return Perturbed(new, "negation", "", "not", _stands("not", passage))


def swap_antonym(text: str, passage: str = "", *, seed: int = 0) -> Perturbed | None:
    """One word changed to its opposite.

    >>> swap_antonym("Prices increased in May.").text
    'Prices decreased in May.'
    """
    dice = _dice("antonym", text, seed)
    found = list(_WORDS.finditer(text))
    if not found:
        return None
    old = dice.choice(found)
    return _replaced(text, passage, "antonym", old.start(), old.end(), _OPPOSITE[old.group()])


def perturb(text: str, passage: str, *, seed: int = 0) -> Perturbed | None:
    """The first change that applies, in an order drawn by seed; never one whose result stands in the passage."""
    plain = normalize(passage)
    for change in _order(text, seed):
        changed = change(text, passage, seed=seed)
        if changed and normalize(changed.text) not in plain:
            return changed
    return None


def _order(text: str, seed: int) -> Iterator[_Changer]:
    changes: list[_Changer] = [change_number, swap_name, negate, swap_antonym]
    _dice("order", text, seed).shuffle(changes)
    # Negation applies to nearly every sentence: only half as often first, or "not" alone would give the class away.
    if changes[0] is negate and _dice("half", text, seed).random() < 0.5:
        changes.append(changes.pop(0))
    yield from changes


def _names(text: str) -> list[re.Match[str]]:
    """Names of a text. A single capitalised word at the start of a sentence is a name only if it has to be one."""
    found = [match for match in _NAME.finditer(text) if match.group().split()[0] not in _NO_NAMES]
    inside = {match.group() for match in found if not _leads(text, match)}
    return [match for match in found if " " in match.group() or match.group() in inside]


def _leads(text: str, match: re.Match[str]) -> bool:
    before = text[: match.start()].rstrip(" \"'“‘([`*-#")
    return not before or before[-1] in ".!?:\n"


def _replaced(text: str, passage: str, change: Change, start: int, end: int, new: str) -> Perturbed | None:
    old = text[start:end]
    if normalize(old) == normalize(new):
        return None
    return Perturbed(f"{text[:start]}{new}{text[end:]}", change, old, new, _stands(new, passage))


def _stands(words: str, passage: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", passage) is not None


def _year(number: str) -> bool:
    return re.fullmatch(r"1\d{3}|20\d\d", number) is not None


def _near(number: str, taken: set[str], dice: random.Random) -> str:
    """A number of the same shape that is not taken."""
    plain = number.replace(",", "")
    places = len(plain.partition(".")[2])
    value = float(plain)
    for attempt in range(1, 60):
        spread = attempt + (3 if _year(number) else max(1, int(value * 0.3)))
        moved = abs(value + dice.choice((-1, 1)) * dice.randint(1, spread))
        text = f"{moved:,.{places}f}" if "," in number else f"{moved:.{places}f}"
        if text not in taken:
            return text
    return f"{value + 1000:.{places}f}"


def _dice(salt: str, text: str, seed: int) -> random.Random:
    return random.Random(f"{salt}\0{seed}\0{text}")
