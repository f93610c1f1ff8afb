"""Recognisers of what has a form: numbers with checksums, e-mail and web addresses, dates, ages."""

from __future__ import annotations

from typing import Any

import regex
from presidio_analyzer import LocalRecognizer, RecognizerResult
from presidio_analyzer.predefined_recognizers import (
    CryptoRecognizer,
    DateRecognizer,
    IbanRecognizer,
    IpRecognizer,
    MacAddressRecognizer,
    UsBankRecognizer,
    UsItinRecognizer,
    UsLicenseRecognizer,
    UsPassportRecognizer,
    UsSsnRecognizer,
)

from .recognizer import Rule, RuleRecognizer

__all__ = ("LibphoneRecognizer", "number_recognizers")

_MONTH = (
    "(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    "|Nov(?:ember)?|Dec(?:ember)?)"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_YEAR = r"(?:19|20)\d\d"
_TLD = (
    "com|org|net|edu|gov|mil|int|info|biz|io|dev|app|co"
    "|eu|uk|us|de|fr|it|es|nl|be|ch|at|se|no|dk|fi|pl|pt|br|ca|au|in|jp"
)
_LABEL = r"[\p{L}\p{N}](?:[\p{L}\p{N}\-]{0,61}[\p{L}\p{N}])?"


def luhn(number: str) -> bool:
    """The checksum of payment cards (ISO/IEC 7812)."""
    digits = [int(each) for each in reversed(number) if each.isdigit()]
    return sum(sum(divmod(2 * each, 10)) if at % 2 else each for at, each in enumerate(digits)) % 10 == 0


def number_recognizers() -> list[LocalRecognizer]:
    """Presidio's own where their patterns take linear time and their context words are few; ours for the rest."""
    flags = regex.IGNORECASE

    def rule(pattern: str, score: float, check: Any = None) -> Rule:
        return Rule(regex.compile(pattern, flags), score, check)

    email = rf"(?<![\w.+@\-])[\w!#$%&'*+/=?^`{{|}}~.\-]{{1,64}}+@(?:{_LABEL}\.){{1,5}}[\p{{L}}\p{{N}}\-]{{2,24}}"
    return [
        IbanRecognizer(context=["iban", "bank", "account"]),
        CryptoRecognizer(),
        IpRecognizer(),
        MacAddressRecognizer(),
        UsSsnRecognizer(context=["social", "security", "ssn"]),
        UsItinRecognizer(context=["itin", "taxpayer"]),
        UsPassportRecognizer(context=["passport"]),
        UsLicenseRecognizer(context=["driver", "drivers", "driving"]),
        UsBankRecognizer(context=["account", "acct", "bank"]),
        # Cards of all networks, also Maestro's and JCB's old ones, which Presidio's pattern leaves out.
        RuleRecognizer(
            "CREDIT_CARD",
            [
                rule(
                    r"(?<![\w.\-])(?:4\d|5[1-5]|2[2-7]|3\d|6\d)\d{2}(?:[ \-]?\d{4}){2}[ \-]?\d{1,7}(?![\w\-])",
                    0.9,
                    luhn,
                ),
                rule(r"(?<![\w.\-])(?:4|3[4-9]|5[0-9]|6[0-9]|2[2-7]|1800|2131)\d{8,18}(?![\w\-])", 0.9, _card),
                rule(r"(?<![\w.\-])3[47]\d{2}[ \-]\d{6}[ \-]\d{5}(?![\w\-])", 0.9, luhn),
            ],
            ["card", "visa", "mastercard", "amex"],
        ),
        LibphoneRecognizer(),
        RuleRecognizer("EMAIL_ADDRESS", [rule(email, 0.9)]),
        RuleRecognizer(
            "URL",
            [
                rule(r"\b(?:https?|ftp)://[^\s<>\"'()\[\]{}]{1,2000}", 0.8),
                rule(rf"(?<![\w@.\-/])(?:www\.)(?:{_LABEL}\.){{1,5}}\p{{L}}{{2,24}}(?:/[^\s<>\"'()]{{0,2000}})?", 0.7),
                rule(rf"(?<![\w@.\-/])(?:{_LABEL}\.){{1,4}}(?:{_TLD})(?![\w@\-])(?:/[^\s<>\"'()]{{0,2000}})?", 0.6),
            ],
        ),
        DateRecognizer(context=["date", "born", "birthday"]),
        RuleRecognizer(
            "DATE_TIME",
            [
                rule(rf"\b{_YEAR}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d)?", 0.8),
                rule(rf"\b{_MONTH}\.? {_DAY}(?:st|nd|rd|th)?(?:,? {_YEAR})?\b", 0.6),
                rule(rf"\b{_DAY}(?:st|nd|rd|th)?(?: of)? {_MONTH}\.?(?:,? {_YEAR})?\b", 0.6),
                rule(rf"\b(?:in|since|during|until|by|from|of|year) (?P<value>{_YEAR})\b", 0.5),
            ],
        ),
        RuleRecognizer(
            "AGE",
            [
                rule(r"(?<![\w.])(?P<value>(?:1[01]|[1-9])?\d)[ \-]?(?:years?|yrs?)[ \-](?:old|of age)\b", 0.8),
                rule(r"(?<![\w.])(?P<value>(?:1[01]|[1-9])?\d) ?(?:yo|y/o|y\.o\.)\b", 0.7),
                rule(
                    r"\b(?:aged?|age of|age is|age:|turn|turning|turned) (?P<value>(?:1[01]|[1-9])?\d)\b(?![%.:/]\w)",
                    0.6,
                ),
            ],
        ),
    ]


def _card(number: str) -> bool:
    return 12 <= len(number) <= 19 and luhn(number)


class LibphoneRecognizer(LocalRecognizer):
    """Phone numbers by the metadata of libphonenumber: surely one with a country code, likely one of `REGIONS`, else
    only where a word like "phone" stands near.

    In place of Presidio's, which parses the text again for each of eight regions. Its registry finds recognisers by the
    name of their class, so ours has another one.
    """

    REGIONS = ("US", "GB")
    MOST = 500
    """Numbers of one text that are parsed (50 microseconds each); of more, all are taken for phone numbers."""
    WORDS = ("phone", "telephone", "tel", "cell", "cellphone", "mobile", "call", "fax", "dial", "whatsapp", "sms")
    CANDIDATE = regex.compile(
        r"(?<![\w.\-/:#$€£])\(?\+?\(?\d(?:[ \u00a0()./\-]{0,2}\d){6,14}(?: ?(?:x|ext\.?) ?\d{1,5})?(?![\w/:]|[.\-]\d)"
    )

    def __init__(self) -> None:
        super().__init__(["PHONE_NUMBER"], name="ragloom PHONE_NUMBER", context=list(self.WORDS))

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: list[str], nlp_artifacts: Any = None) -> list[RecognizerResult]:
        """Every run of 7 to 15 digits that can be one."""
        found = []
        for count, match in enumerate(self.CANDIDATE.finditer(text)):
            score = self._score(match[0]) if count < self.MOST else 0.5
            found.append(RecognizerResult("PHONE_NUMBER", match.start(), match.end(), score))
        return found

    def _score(self, number: str) -> float:
        from phonenumbers import NumberParseException, is_valid_number, parse

        abroad = number.lstrip("(").startswith("+")
        if number.startswith("00"):
            number, abroad = f"+{number[2:]}", True
        for region in (None,) if abroad else self.REGIONS:
            try:
                if is_valid_number(parse(number, region)):
                    return 0.9 if abroad else 0.3 if number.isdigit() else 0.55
            except NumberParseException:
                continue
        return 0.4 if abroad else 0.15
