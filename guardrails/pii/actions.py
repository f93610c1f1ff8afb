"""What stands in place of a value that is not kept: its type, a mask, a keyed hash."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

from .detector import Span

__all__ = ("hashed", "masked", "redacted", "replaced")

_ENDS = frozenset({"CREDIT_CARD", "IBAN_CODE", "PHONE_NUMBER"})
"""Types whose last four characters may be shown, as receipts show them."""
_LEAST = 9
"""Letters and digits that a value has at least where four of them are shown."""


def redacted(kind: str, value: str) -> str:
    """
    >>> redacted("PERSON", "Ana Lima")
    '<PERSON>'
    """
    return f"<{kind}>"


def masked(kind: str, value: str) -> str:
    """Stars for letters and digits; the last four of card, account and phone numbers stay.

    >>> masked("CREDIT_CARD", "4111 1111 1111 1111"), masked("PERSON", "Ana Lima")
    ('**** **** **** 1111', '*** ****')
    """
    shown = 4 if kind in _ENDS and sum(map(str.isalnum, value)) >= _LEAST else 0
    out: list[str] = []
    for character in reversed(value):
        if not character.isspace() and character not in "-./()@+,":
            character, shown = (character, shown - 1) if shown > 0 else ("*", 0)
        out.append(character)
    return "".join(reversed(out))


def hashed(key: bytes) -> Callable[[str, str], str]:
    """HMAC-SHA256, the first 64 bits: without the key nobody finds a value by trying values.

    >>> hashed(b"0123456789abcdef")("PERSON", "Ana Lima")
    '<PERSON:fee1c2f13efc1bc0>'
    """

    def replace(kind: str, value: str) -> str:
        digest = hmac.new(key, f"{kind}\0{value}".encode("utf-8", "surrogatepass"), hashlib.sha256)
        return f"<{kind}:{digest.hexdigest()[:16]}>"

    return replace


def replaced(text: str, spans: Sequence[Span], by: Callable[[str, str], str]) -> str:
    """The text with each span as `by(type, value)` gives it. The spans are in order and do not overlap."""
    parts, at = [], 0
    for span in spans:
        parts += [text[at : span.start], by(span.type, text[span.start : span.end])]
        at = span.end
    return "".join([*parts, text[at:]])
