"""Characters that nobody sees: found, told apart from those that writing needs, and taken out.

Zero-width characters, bidirectional controls, variation selectors and Unicode tags carry text past a person's eyes to a
model. Some of them are needed: joiners in Persian and Hindi, marks of direction in Hebrew, selectors in emoji, soft
hyphens. Those stay where they do what they are for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import Literal

__all__ = ("INVISIBLE", "Invisible", "Kind", "find_invisible", "without_invisible")

Kind = Literal["tag", "zero-width", "bidi", "variation-selector", "soft-hyphen"]

# Default_Ignorable_Code_Point of the Unicode character database (UAX #44), and the bidirectional controls (UAX #9).
_TAGS = "\U000e0000-\U000e007f"
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SHAPERS = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200d\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
_OTHERS = "\u2060-\u2065\u206a-\u206f\u3164\ufeff\uffa0\ufff0-\ufff8\U000e0080-\U000e00ff\U000e01f0-\U000e0fff"
INVISIBLE = re.compile(f"[\u00ad{_TAGS}{_SELECTORS}{_BIDI}{_SHAPERS}{_OTHERS}]+")
"""A run of such characters, needed or not."""
_KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("zero-width", re.compile(f"[{_SHAPERS}{_OTHERS}]")),
    ("tag", re.compile(f"[{_TAGS}]")),
    ("bidi", re.compile(f"[{_BIDI}]")),
    ("variation-selector", re.compile(f"[{_SELECTORS}]")),
    ("soft-hyphen", re.compile("\u00ad")),
)

# What needs them.
_EMOJI = re.compile("[\u00a9\u00ae\u203c-\u3299\U0001f000-\U0001faff]")
_FLAG = re.compile("[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f")
_BLACK_FLAG = "\U0001f3f4"
_STYLED = re.compile(  # a symbol or an ideograph with its selector
    "[#*0-9\u00a9\u00ae\u1000-\u109f\u2010-\u2027\u2030-\u205e\u2070-\uffef\U00010000-\U0003ffff][\ufe00-\ufe0f]"
    "|[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff][\U000e0100-\U000e01ef]"
)
_DIRECTIONS = re.compile("[\u061c\u200e\u200f\u202a-\u202c\u2066-\u2069]{1,2}")  # no overrides: those turn words around
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]")
_SHAPER = re.compile(f"[{_SHAPERS}]")
_SHAPED = re.compile(  # scripts from Hebrew to Myanmar, Jamo, Philippine to Vedic, later ones, shorthand and music
    "[\u0590-\u109f\u1100-\u11ff\u1700-\u1cff\ua800-\uabff\ud7b0-\ud7fb\ufb1d-\ufdff\ufe70-\ufefc"
    "\U00010800-\U00011fff\U0001bc00-\U0001bc9f\U0001d100-\U0001d1ff\U0001e900-\U0001e95f]"
)


@dataclass(frozen=True, slots=True)
class Invisible:
    """A run of invisible characters of one kind."""

    kind: Kind
    start: int
    """Offset of its first character."""
    end: int
    """Offset behind its last."""


def find_invisible(text: str) -> list[Invisible]:
    """The invisible characters that do nothing for what is read, as runs, in order. Linear in the text.

    >>> find_invisible("pay\u200b\u200bload")
    [Invisible(kind='zero-width', start=3, end=5)]
    """
    found: list[Invisible] = []
    if text.isascii():
        return found
    line_end, right_to_left = -1, False
    for match in INVISIBLE.finditer(text):
        start, end = match.span()
        if start >= line_end:
            line_end = at if (at := text.find("\n", start)) >= 0 else len(text)
            right_to_left = _RIGHT_TO_LEFT.search(text, text.rfind("\n", 0, start) + 1, line_end) is not None
        start += _needed(text, start, end, right_to_left)
        if start == end:
            continue
        for kind, characters in groupby(text[start:end], _kind):
            length = sum(1 for _ in characters)
            found.append(Invisible(kind, start, start + length))
            start += length
    return found


def without_invisible(text: str) -> tuple[str, dict[str, int]]:
    """The text without the characters that `find_invisible` finds, and how many of each kind were taken out.

    >>> without_invisible("pay\u200b\u200bload")
    ('payload', {'zero-width': 2})
    """
    counts: dict[str, int] = {}
    kept, at = [], 0
    for run in find_invisible(text):
        counts[run.kind] = counts.get(run.kind, 0) + run.end - run.start
        kept.append(text[at : run.start])
        at = run.end
    return "".join([*kept, text[at:]]) if counts else text, counts


@cache
def _kind(character: str) -> Kind:
    return next(kind for kind, characters in _KINDS if characters.match(character))


def _needed(text: str, start: int, end: int, right_to_left: bool) -> int:
    """How many characters of a run, from its start, do what they are for: where many stand together, none do."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before == _BLACK_FLAG and _FLAG.fullmatch(text, start, end):  # England, Scotland, Wales and other regions
        return end - start
    styled = bool(before and _STYLED.match(text, start - 1))
    rest = text[start + styled : end]
    if (
        not rest
        or (rest == "\u00ad" and before.isalnum())
        or (rest == "\u200d" and _EMOJI.match(before) and _EMOJI.match(after))
        or (right_to_left and _DIRECTIONS.fullmatch(rest))
        or (_SHAPER.fullmatch(rest) and (_SHAPED.match(before) or _SHAPED.match(after)))
    ):
        return end - start
    return int(styled)
