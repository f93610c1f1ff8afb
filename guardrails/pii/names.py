"""A recogniser of people, places and organisations without a model: capitalised words, judged by what stands around.

It knows cues of English text (titles, "my name is", "lives in", "Inc."), short lists of names, and nothing else: of
names that nothing announces it finds few. A named-entity model finds more; `PresidioDetector` takes one that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import regex
from presidio_analyzer import LocalRecognizer, RecognizerResult

from .wordlists import DEMONYMS, FIRST_NAMES, NOT_NAMES, places

__all__ = ("NameRecognizer",)

_WORD = r"(?:\p{Lu}['’])?\p{Lu}[\p{L}\p{M}]{1,24}+(?:-\p{Lu}[\p{L}\p{M}]{1,24}+){0,2}"
_LINK = r"(?:[ ](?:van|von|der|den|de|da|di|del|la|le|dos|bin|ibn|al|y))"
_NAMES = regex.compile(
    rf"(?<![\p{{L}}\p{{N}}_@.<]){_WORD}(?:{_LINK}{{0,2}}[ ](?:\p{{Lu}}\.|\p{{Lu}}(?!\p{{L}}|['’])|{_WORD})){{0,4}}"
)
"""One to five capitalised words in a line, with the small words and initials between them."""
_SKIPPED = NOT_NAMES | DEMONYMS


class Cue(NamedTuple):
    """What stands before (its end anchored) or behind makes the words a `kind`."""

    kind: str
    score: float
    before: str = ""
    behind: str = ""


_TITLES = "Mr|Mrs|Ms|Mx|Miss|Dr|Prof|Professor|Rev|Sir|Madam|Herr|Frau|Monsieur|Madame|Señor|Señora"
_LABELS = (
    "name|patient|customer|client|contact|attn|from|to|cc|author|applicant|employee|cardholder|beneficiary|user|signed"
)
_KIN = "wife|husband|son|daughter|brother|sister|mother|father|kid|child|friend|partner|colleague|boss|doctor"
_TRAVEL = "trip|flight|travel|travell?ing|travell?ed|flying|moved|moving"
_FORMS = r"Inc|LLC|Ltd|Limited|Corp|Corporation|GmbH|AG|PLC|plc|LLP|S\.A\.|B\.V\."
_CUES = [
    Cue("PERSON", 0.85, before=rf"\b(?:{_TITLES})\.? $"),
    Cue("PERSON", 0.85, before=r"(?i)\b(?:my|his|her|their|full|first|last|maiden|the) name(?: is|'s| was|:) $"),
    Cue("PERSON", 0.7, before=r"(?i)\b(?:(?:am|is|was) called|call me|this is|i['’]m|speaking (?:to|with)|named) $"),
    Cue("PERSON", 0.7, before=rf"(?im)(?:^|[.?!] )[ \t>*\-]{{0,4}}(?:{_LABELS})[ \t]?: {{0,3}}$"),
    Cue(
        "PERSON",
        0.75,
        before=r"(?i)\b(?:sincerely|regards|wishes|thanks|cheers|yours truly|yours),? {0,2}\r?\n\s{0,4}$",
    ),
    Cue("PERSON", 0.6, before=r"(?i)\b(?:dear|hi|hello|hey) $", behind=r"^ ?[,!\n]"),
    Cue("PERSON", 0.55, before=rf"(?i)\bmy (?:{_KIN}),? $"),
    Cue("PERSON", 0.55, behind=rf"(?i)^['’]s (?:{_KIN}|account|address|phone|birthday)\b"),
    Cue("PERSON", 0.45, behind=r"^ (?:said|says|asked|told|wrote|writes|replied|explained|was born)\b"),
    Cue(
        "LOCATION",
        0.55,
        before=r"(?i)\b(?:liv(?:e|es|ed|ing)|based|located|born|grew up|(?:i am|i'm|we are|we're)) in $",
    ),
    Cue("LOCATION", 0.55, before=rf"(?i)\b(?:{_TRAVEL}) (?:here )?(?:to|from) $"),
    Cue("LOCATION", 0.55, before=r"(?i)\b(?:city|town|village|state|resident|university) of $"),
    Cue("LOCATION", 0.4, before=r"\b(?:in|near) $"),
    Cue("ORGANIZATION", 0.55, before=r"(?i)\b(?:work(?:s|ed|ing)? (?:for|at)|employed (?:by|at)|employee of) $"),
    Cue("ORGANIZATION", 0.55, before=r"(?i)\b(?:ceo|cto|cfo|founder|director) (?:of|at) $"),
    Cue("ORGANIZATION", 0.7, behind=rf"^,? (?:{_FORMS})(?!\w)"),
]
_COMPILED = [
    (cue, regex.compile(cue.before) if cue.before else None, regex.compile(cue.behind) if cue.behind else None)
    for cue in _CUES
]
_COMPANY = regex.compile(rf" (?:{_FORMS}|Group|Holdings|Bank|University|Institute|Foundation|Associates)$")
_INITIAL = regex.compile(r" \p{Lu}\.? ")
_BLOCK = regex.compile(r"^[^\n]{0,2}\n(?:[^\n]{0,60}\n){0,4}?[^\n]{0,60}(?:@|\d{3})")
"""A line by itself with an address, a number or an e-mail address in the lines below: the head of a contact."""
BEFORE, BEHIND = 40, 240


class NameRecognizer(LocalRecognizer):
    """PERSON, LOCATION and ORGANIZATION. 0.5 and more: announced, or well known; below it hints: two capitalised words
    are a PERSON of 0.35, for those who rather hide a title or a product too much than a name too little.
    """

    ENTITIES = ("PERSON", "LOCATION", "ORGANIZATION")

    def __init__(self) -> None:
        super().__init__(list(self.ENTITIES), name="ragloom names")

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """The best reading of each run of capitalised words for each kind that is wanted."""
        found = []
        for start, end in _runs(text):
            before, behind = text[max(0, start - BEFORE) : start], text[end : end + BEHIND]
            scores: dict[str, float] = {}
            for kind, score in _readings(text[start:end], before, behind):
                scores[kind] = max(score, scores.get(kind, 0.0))
            found += [RecognizerResult(kind, start, end, score) for kind, score in scores.items() if kind in entities]
        return found


def _runs(text: str) -> Iterator[tuple[int, int]]:
    """Runs of capitalised words, without words that are no names at their start ("When Ana ...") and end."""
    for match in _NAMES.finditer(text):
        words = [(each.start(), each.end()) for each in regex.finditer(r"[^ ]+", match[0])]
        while words and match[0][slice(*words[0])] in _SKIPPED:
            del words[0]
        while words and match[0][slice(*words[-1])] in NOT_NAMES:
            del words[-1]
        if words:
            yield match.start() + words[0][0], match.start() + words[-1][1]


def _readings(words: str, before: str, behind: str) -> Iterator[tuple[str, float]]:
    known_place = words in places()
    if known_place:
        yield "LOCATION", 0.6
    for cue, front, back in _COMPILED:
        if known_place and cue.kind == "PERSON" and cue.score < 0.8:
            continue
        if (front is None or front.search(before)) and (back is None or back.search(behind)):
            yield cue.kind, cue.score
    if _COMPANY.search(words):
        yield "ORGANIZATION", 0.65
        return
    first, several = words.split(" ", 1)[0], " " in words
    if first in FIRST_NAMES:
        yield "PERSON", 0.65 if several else 0.5
    if several and not known_place:
        yield "PERSON", 0.35
    if several and _INITIAL.search(words):
        yield "PERSON", 0.6
    if several and (not before or before.endswith("\n")) and _BLOCK.search(behind):
        yield "PERSON", 0.5
