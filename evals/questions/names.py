"""Questions about a name that occurs nowhere: a name or number of a question is changed, or a name is added.

Cf. "entity swap" in SQuAD 2.0 (Rajpurkar et al. 2018, arXiv 1806.03822). No passage speaks of the new name, which is
certain without a judge. A rule about "everyone else" may answer the question all the same: the person who edits the
questions has to look out for that.
"""

from __future__ import annotations

import random
import re

__all__ = ("MONTHS", "add_name", "change_name", "words_of")

# fmt: off
MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
    "December",
)
_CALENDAR = (*MONTHS, "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
# Well-known ones too, so that a strange name does not give the question away; those that occur are not taken.
_CITIES = (
    "Reykjavik", "Montevideo", "Ulaanbaatar", "Windhoek", "Tallinn", "Asunción", "Vientiane", "Ljubljana", "Nairobi",
    "Helsinki", "Lima", "Riga", "Vienna", "Paris", "London", "Berlin", "Madrid", "Rome", "Lisbon", "Porto", "Leeds",
    "Toronto", "Sydney", "Tokyo", "Zurich", "Dublin", "Oslo", "Prague", "Warsaw", "Boston", "Chicago", "Mumbai",
)
_COUNTRIES = (
    "Iceland", "Uruguay", "Mongolia", "Namibia", "Estonia", "Paraguay", "Laos", "Slovenia", "Kenya", "Peru",
    "Finland", "Latvia", "Austria", "France", "Germany", "Spain", "Italy", "Portugal", "Canada", "Australia",
    "Japan", "Switzerland", "Ireland", "Norway", "Poland", "India", "China", "Brazil", "Mexico", "Sweden",
)
# For names of any other kind: such names are borne by people, places and products alike.
_NAMES = (
    "Velmora", "Castrin", "Ordaine", "Tessaly", "Brunwick", "Halvorsen", "Quenby", "Marrowgate", "Ilvane", "Dorsk",
)
# fmt: on

NUMBERS_DRAWN = 20
"""Numbers of the same shape that are drawn, of which one has to be free."""

# "Maria Costa" in "Is Maria Costa in?": capitalised words that do not begin a sentence.
_NAME = re.compile(r"(?<![.?!:]\s)(?<=\s)[A-Z][a-z]{2,}(?:\s[A-Z][a-z]{2,})*")
# "2024", "EUR165", "HR-12". Small numbers are left alone: "after 7 years" may well be answered by "after 3 or more".
_NUMBER = re.compile(r"\b[A-Z]*-?\d{3,}\b|\b[A-Z]{1,4}-\d+\b")


def change_name(question: str, passage: str, known: set[str], *, seed: int = 0) -> str | None:
    """The question with one of its names or numbers changed to one that is not among the `known` words; None where it
    has none that the passage has too.

        >>> change_name("What may a hotel in Vienna cost?", "Hotels in Vienna: 165 euros", {"hotels", "vienna"})
        'What may a hotel in Oslo cost?'
    """
    dice = random.Random(f"{seed}{question}")
    for found in [*_NUMBER.finditer(question), *_NAME.finditer(question)]:
        old = found.group()
        if old not in passage or old.removesuffix("s") in _CALENDAR:
            continue
        free = [name for name in _others(old, dice) if name.lower() not in known and name != old]
        if free:
            return question[: found.start()] + dice.choice(free) + question[found.end() :]
    return None


def _others(old: str, dice: random.Random) -> tuple[str, ...]:
    """Names or numbers of the kind of `old`."""
    if any(char.isdigit() for char in old):
        return tuple(re.sub(r"\d", lambda _: str(dice.randrange(1, 10)), old) for _ in range(NUMBERS_DRAWN))
    return next((kind for kind in (_CITIES, _COUNTRIES) if old in kind), _NAMES)


def add_name(question: str, known: set[str], *, seed: int = 0) -> str | None:
    """The question asked about a name that is not among the `known` words; None where all names are.

    >>> add_name("How long is the notice period?", set())
    'How long is the notice period at Quenby?'
    """
    free = [name for name in _NAMES if name.lower() not in known]
    return f"{question.rstrip('?').rstrip()} at {random.Random(f'{seed}{question}').choice(free)}?" if free else None


def words_of(text: str) -> set[str]:
    """The words of a text for `known`, those with a hyphen whole and in parts.

    >>> sorted(words_of("Form HR-12"))
    ['12', 'form', 'hr', 'hr-12']
    """
    return set(re.findall(r"[\w-]+", text.lower())) | set(re.findall(r"\w+", text.lower()))
