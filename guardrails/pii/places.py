"""Recognisers of addresses, postal codes and nationalities. Countries and cities by name: `names`."""

from __future__ import annotations

import regex
from presidio_analyzer import LocalRecognizer

from .recognizer import Rule, RuleRecognizer
from .wordlists import DEMONYMS

__all__ = ("place_recognizers",)

_SUFFIX = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Square|Sq|Place|Pl|Terrace|Ter"
    "|Parkway|Pkwy|Highway|Hwy|Way|Trail|Crescent|Close|Alley|Row|Loop|Plaza|Pass|Ridge|Hill|Hills|Glen|Grove|Mews"
    "|Park|Parks|Path|Bridge|Crossing|Valley|View|Views|Heights|Island|Isle|Mill|Mount|Station|Turnpike|Springs"
)
"""Of the United States Postal Service's list (Publication 28, appendix C1), the frequent ones."""
_KIND_BEFORE = (
    r"(?:Rue|Via|Viale|Piazza|Corso|Calle|Avenida|Plaza|Paseo|Rua|Travessa|Ulica|ul\.|Strada|Jalan|Boulevard)"
)
_KIND_AFTER = (
    r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|straat|laan|plein|gatan?|vägen|vej|gade|veien?|gata|katu|tie"
    r"|utca|útja|tér|u\.|út)"
)
_ANNOUNCED = r"address(?: is|:)|located at|live[sd]? (?:at|in)|(?:ship|deliver|send)(?: it)? to"
_WORD = r"(?:\p{L}{1,4}\.(?= )|[\p{L}\p{M}\p{N}][\p{L}\p{M}\p{N}'’\-]{0,30}+)"
_CAPITAL = r"(?:\p{Lu}\p{L}{0,3}\.(?= )|[\p{Lu}\p{N}][\p{L}\p{M}\p{N}'’\-]{0,30}+)"
_NUMBER = r"\d{1,5}[A-Za-z]?(?:[\-/]\d{1,4})?"
_UNIT = r"(?i:Suite|Ste\.?|Apt\.?|Apartment|Unit|Floor|Room|Flat|#) ?#?\w{1,6}"
_SPACE = r"[ \t]{0,2},?\s{1,3},?[ \t]{0,2}"
_TOWN_WORD = r"(?:St\. )?\p{Lu}[\p{L}\p{M}'’\-]{0,30}+"
_TOWN = rf"{_TOWN_WORD}(?: (?:\p{{Ll}}{{1,3}} )?{_TOWN_WORD}){{0,4}}"
_REST = (
    rf"(?:{_SPACE}{_UNIT}(?: {_TOWN})?){{0,2}}"  # the unit,
    rf"(?:(?:,[ \t]|[ \t]{{0,2}}\n[ \t,]{{0,3}}){_TOWN}){{0,3}}"  # town, state, country,
    r"(?:[ \t]{0,2},?[ \t\n]{1,3}[A-Z]{0,2}[ \-]?\d{3,6}(?:-\d{3,4})?\b)?"  # and the postal code behind
)


def place_recognizers() -> list[LocalRecognizer]:
    """Rules for what a line of an address looks like in English, and in a few other languages."""

    def rule(pattern: str, score: float, flags: int = 0) -> Rule:
        return Rule(regex.compile(pattern, flags), score)

    street = rf"(?<![\w.]){_NUMBER} (?:{_CAPITAL} ){{1,5}}?(?:{_SUFFIX})\b(?:\.(?=,|\s{_UNIT}))?{_REST}"
    kind_before = rf"(?<!\w)(?:{_NUMBER},? )?{_KIND_BEFORE} (?:{_WORD} ){{0,4}}?{_CAPITAL},? {_NUMBER}(?!\w){_REST}"
    name = rf"(?:\p{{Lu}}{_WORD} ){{0,2}}\p{{Lu}}[\p{{L}}\p{{M}}\-]{{1,30}}? ?"
    kind_after = rf"(?<!\w){name}{_KIND_AFTER} {_NUMBER}\.?(?!\w){_REST}"
    numbered = rf"(?<![\w.]){_NUMBER} (?:{_CAPITAL} ){{0,4}}{_CAPITAL}{_SPACE}{_UNIT}{_REST}"
    return [
        RuleRecognizer(
            "STREET_ADDRESS",
            [
                rule(street, 0.7),
                rule(kind_before, 0.65),
                rule(kind_after, 0.65),
                rule(numbered, 0.65),
                rule(rf"\b(?:P\.? ?O\.? ?Box|Postbox) \d{{1,6}}\b{_REST}", 0.7),
                # Military mail: Unit 4719 Box 7394, DPO AP 70942.
                rule(r"\b(?:Unit|PSC|CMR) \d{1,5},? Box \d{1,5},?\s{1,3}(?:APO|FPO|DPO),? A[AEP] \d{5}", 0.9),
                rule(rf"\b(?:the )?corner of {_CAPITAL}(?: {_WORD}){{0,3}}? and {_CAPITAL}(?: {_CAPITAL}){{0,3}}", 0.6),
                rule(r"(?<!\w)(?i:Suite|Apt\.?|Apartment) #?\d{1,5}\b", 0.6),
                # A number and a name, surely an address only where the text says so.
                rule(
                    rf"(?i:{_ANNOUNCED})\s{{1,3}}(?P<value>{_NUMBER} {_CAPITAL}(?: {_WORD}){{0,5}}{_REST})",
                    0.6,
                ),
            ],
        ),
        RuleRecognizer(
            "ZIP_CODE",
            [
                rule(
                    r"\b(?:zip|postal|post)(?: ?code)?(?: is|:)? {0,2}(?P<value>[A-Z\d]{3,5}(?:[ \-][A-Z\d]{3,4})?)\b",
                    0.7,
                    regex.I,
                ),
                rule(r"\b[A-Z]{2} (?P<value>\d{5}(?:-\d{4})?)\b", 0.5),
                rule(r"\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b", 0.5),  # United Kingdom
            ],
        ),
        RuleRecognizer("NRP", [Rule(regex.compile(r"(?<!\w)\L<words>(?!\w)", words=DEMONYMS), 0.6)]),
    ]
