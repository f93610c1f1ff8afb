"""A vault: values go in, placeholders come out, and the values come back for the person whose they are."""

from __future__ import annotations

import json
import re
import threading
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ...errors import MissingExtraError, RagloomError, UsageError
from .detector import Span, resolved

__all__ = ("PLACEHOLDER", "Vault")

PLACEHOLDER = re.compile(r"<([A-Z][A-Z0-9_]{0,63})_([0-9]{1,9})>")
"""`<PERSON_1>`. Neither `<` nor `>` stands inside one: two can never overlap, nor can one arise across the edge of
another, which is why `restore` is exact."""
LITERAL = "LITERAL"
"""The type of text that only looked like a placeholder."""
LIMIT = 10_000


@dataclass
class _Shelf:
    """What is kept of one person."""

    placeholders: dict[tuple[str, str], str] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def put(self, kind: str, value: str, limit: int) -> str:
        known = self.placeholders.get((kind, value))
        if known:
            return known
        if len(self.values) >= limit:
            raise RagloomError(f"the vault holds {limit} values of one person", hint="forget(scope), or a higher limit")
        self.counts[kind] += 1
        placeholder = f"<{kind}_{self.counts[kind]}>"
        self.placeholders[kind, value] = placeholder
        self.values[placeholder] = value
        return placeholder


class Vault:
    """Values by placeholder, apart for every (tenant, user): one scope's placeholder means nothing in another.

    In memory, safe to share between threads. `sealed` gives all of it encrypted, to be kept where you like. Neither
    logs nor `repr` show a value. A scope is an `AccessScope` or whatever has a `tenant` and a `user`; without a user
    there is `UsageError`, for nobody could tell whose the values are.

    Args:
        limit: most values of one scope; beyond it `protect` raises `RagloomError`.

    >>> vault, ana = Vault(), {"tenant": "acme", "user": "ana"}
    >>> vault.protect("Ana Lima called.", [Span("PERSON", 0, 8)], ana)
    '<PERSON_1> called.'
    >>> vault.restore("Hello <PERSON_1>!", ana), vault.restore("Hello <PERSON_1>!", {"user": "ben"})
    ('Hello Ana Lima!', 'Hello <PERSON_1>!')
    """

    def __init__(self, *, limit: int = LIMIT) -> None:
        if limit < 1:
            raise UsageError(f"a vault of {limit} values", hint="limit is at least 1")
        self._limit = limit
        self._shelves: dict[tuple[str, str], _Shelf] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        with self._lock:
            held = sum(len(shelf.values) for shelf in self._shelves.values())
            return f"{type(self).__name__}(scopes={len(self._shelves)}, values={held})"

    def __getstate__(self) -> None:
        raise UsageError("a vault is not pickled", hint="sealed(key) gives it encrypted")

    def protect(self, text: str, spans: Iterable[Span], scope: Any, *, own: bool = False) -> str:
        """The text with a placeholder for each span; the same value of a type always gets the same one.

        What already looks like a placeholder is put away as well, so that `restore` gives back exactly this text.
        `own`: a text in which this scope's placeholders are meant as such (a turn of theirs that is checked again):
        they stay. Never for a text of others: it could call up values by guessing their names.
        """
        with self._lock:
            shelf = self._shelves.setdefault(_key(scope), _Shelf())
            literal: list[Span] = []
            kept: list[Span] = []
            for match in PLACEHOLDER.finditer(text):
                place = Span(LITERAL, *match.span(), score=-1.0)
                (kept if own and match[0] in shelf.values else literal).append(place)
            parts, at = [], 0
            for span in resolved([*_outside(spans, kept), *literal]):
                value = text[span.start : span.end]
                parts += [text[at : span.start], shelf.put(_type(span.type), value, self._limit)]
                at = span.end
            return "".join([*parts, text[at:]])

    def restore(self, text: str, scope: Any) -> str:
        """The text with the values of this scope in place of their placeholders; others stay as they are."""
        with self._lock:
            shelf = self._shelves.get(_key(scope), _Shelf())
            return PLACEHOLDER.sub(lambda match: shelf.values.get(match[0], match[0]), text)

    def forget(self, scope: Any) -> int:
        """Deletes what is kept of a scope; how many values that was."""
        with self._lock:
            return len(self._shelves.pop(_key(scope), _Shelf()).values)

    def sealed(self, key: bytes | str) -> bytes:
        """All of it, encrypted and signed (Fernet: AES-128-CBC and HMAC-SHA256) by a key of yours.

        `key`: as `cryptography.fernet.Fernet.generate_key()` makes it. `UsageError` for one that is none.
        """
        with self._lock:
            kept = [[*scope, list(shelf.values.items())] for scope, shelf in self._shelves.items()]
        token: bytes = _fernet(key).encrypt(json.dumps([self._limit, kept]).encode())
        return token

    @classmethod
    def unsealed(cls, data: bytes, key: bytes | str) -> Vault:
        """The vault that `sealed` gave. `UsageError` where the key is another, or the data were changed."""
        from cryptography.fernet import InvalidToken

        try:
            limit, kept = json.loads(_fernet(key).decrypt(data))
        except InvalidToken:
            hint = "it is of another key, or was changed"
            raise UsageError("the sealed vault does not open", hint=hint) from None
        vault = cls(limit=limit)
        for tenant, user, values in kept:
            shelf = vault._shelves[tenant, user] = _Shelf()
            for placeholder, value in values:
                kind, _, number = placeholder[1:-1].rpartition("_")
                shelf.placeholders[kind, value] = placeholder
                shelf.values[placeholder] = value
                shelf.counts[kind] = max(shelf.counts[kind], int(number))
        return vault


def _outside(spans: Iterable[Span], kept: list[Span]) -> list[Span]:
    """The parts of spans that lie outside of the placeholders that stay."""
    starts, ends = [place.start for place in kept], [place.end for place in kept]
    found = []
    for span in spans:
        at = span.start
        for place in kept[bisect_right(ends, at) : bisect_left(starts, span.end)]:
            if place.start > at:
                found.append(Span(span.type, at, place.start, span.score))
            at = place.end
        if at < span.end:
            found.append(Span(span.type, at, span.end, span.score))
    return found


def _key(scope: Any) -> tuple[str, str]:
    known = scope if isinstance(scope, Mapping) else {name: getattr(scope, name, None) for name in ("tenant", "user")}
    tenant, user = known.get("tenant") or "", known.get("user") or ""
    if not (isinstance(tenant, str) and isinstance(user, str) and user.strip()):
        raise UsageError("the vault does not know whose values these are", hint="give a scope with a user")
    return tenant, user


def _type(name: str) -> str:
    """A type as a placeholder can hold it, whatever a detector calls it."""
    plain = re.sub(r"[^A-Z0-9_]", "_", name.upper())[:64]
    return plain if plain[:1].isalpha() else f"T{plain}"[:64]


def _fernet(key: bytes | str) -> Any:
    try:
        from cryptography.fernet import Fernet
    except ModuleNotFoundError:
        raise MissingExtraError("a sealed vault", "guardrails") from None
    try:
        return Fernet(key)
    except (ValueError, TypeError):
        raise UsageError("the vault's key is none", hint="Fernet.generate_key() makes one") from None
