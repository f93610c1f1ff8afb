"""What the tests of personal data share: one detector, for loading Presidio takes seconds; planted values; a fake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

from ragloom.guardrails.pii import PresidioDetector, Span

PLANTED = {
    "PERSON": "Ottilie Farnsworth",
    "EMAIL_ADDRESS": "ottilie.f@farnsworth.example",
    "PHONE_NUMBER": "+1 212-456-7890",
    "CREDIT_CARD": "4111 1111 1111 1111",
    "IBAN_CODE": "GB82WEST12345698765432",
    "US_SSN": "536-90-4399",
    "STREET_ADDRESS": "742 Evergreen Terrace",
}
LETTER = (
    "My name is {PERSON}. Write to {EMAIL_ADDRESS} or call {PHONE_NUMBER}. My card is {CREDIT_CARD}, my IBAN "
    "{IBAN_CODE}, my social security number {US_SSN}. I live at {STREET_ADDRESS}."
).format(**PLANTED)


@cache
def detector() -> PresidioDetector:
    """Without a model, also where one is installed: the same findings everywhere."""
    return PresidioDetector(model="")


class Words:
    """A detector of words in capitals and digits, with scores of your own; overlapping where told to."""

    name = "words"
    types = frozenset({"CODE"})

    def __init__(self, score: float = 0.9) -> None:
        self.score = score
        self.asked = 0

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        self.asked += 1
        return [[Span("CODE", *each.span(), self.score) for each in re.finditer(r"\b[A-Z0-9]{4,}\b", t)] for t in texts]


def planted_in(text: str) -> list[str]:
    """Which planted values, or tell-tale parts of them, stand in a text."""
    parts = {part for value in PLANTED.values() for part in (value, *re.findall(r"\w{6,}", value))} - {"Terrace"}
    return sorted(part for part in parts if part in text)
