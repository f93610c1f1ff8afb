"""Keys, tokens and passwords, masked before a model, a log or a reader sees them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

from ...errors import UsageError
from ...guarding import STAGES, Finding, Stage
from ..rail import checked_stages
from .bloat import entropy
from .secret_patterns import PATTERNS

__all__ = ("ACTIONS", "Action", "SecretsRail", "find_secrets")

Action = Literal["mask", "block"]
ACTIONS: tuple[Action, ...] = get_args(Action)
MIN_ENTROPY = 2.5
"""Bits a character of what looks random: "letmein1" has 2.75, "aaaaaaa1" 0.5, a key of 20 characters about 4."""
_EXAMPLE = re.compile(r"example|your|placeholder|changeme|dummy|xxx|\.\.\.|123456789", re.IGNORECASE)
_USUAL = frozenset({"password", "passwd", "pass", "pwd", "secret", "token", "user", "root", "admin", "postgres"})


class SecretsRail:
    """Masks keys of known providers, private keys, tokens, passwords in URLs, and what is called a key or a password.

    Known forms are masked wherever they stand, also in code: a key is none the less one there. What is only called a
    key or a password must hold digits and letters, and no word of an example ("your-key-1"). What it does not find:
    secrets without a known form that nothing calls so, and those cut in pieces or encoded.

    Args:
        action: `mask` puts the kind in the place of the secret; `block` lets nothing of the text be used.
        stages: where it looks.

    >>> SecretsRail().check("input", ["Use AKIAQ3EGWZ4DNV7TUXYZ, please."], {})[0].text
    'Use <AWS_ACCESS_KEY>, please.'
    """

    name = "secrets"

    def __init__(self, action: Action = "mask", *, stages: Collection[Stage] = STAGES) -> None:
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r} on secrets", hint=f"use one of {', '.join(ACTIONS)}")
        self.action: Action = action
        self.stages = checked_stages(stages, "secrets")

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """Each text on its own; its spans are the secrets."""
        return [self._judged(text) for text in texts]

    def _judged(self, text: str) -> Finding:
        found = find_secrets(text)
        if not found:
            return Finding("pass", text)
        reason = ", ".join(f"{count} {kind}" for kind, count in Counter(kind for kind, _, _ in found).items())
        spans = tuple((start, end) for _, start, end in found)
        if self.action == "block":
            return Finding("block", text, reason=reason, spans=spans)
        for kind, start, end in reversed(found):
            text = f"{text[:start]}<{kind}>{text[end:]}"
        return Finding("change", text, reason=reason, spans=spans)


def find_secrets(text: str) -> list[tuple[str, int, int]]:
    """(kind, start, end) of each secret, in order and without overlaps; of two that overlap, the first and longer."""
    found: list[tuple[str, int, int]] = []
    for kind, start, end in sorted(_each(text), key=lambda each: (each[1], -each[2])):
        if not found or start >= found[-1][2]:
            found.append((kind, start, end))
    return found


def _each(text: str) -> Iterator[tuple[str, int, int]]:
    lower = text.lower()
    for row in PATTERNS:
        where = lower if row.fold else text
        if not any(word in where for word in row.words):
            continue
        for match in row.pattern.finditer(text):
            group = "secret" if "secret" in row.pattern.groupindex else 0
            value = match.group(group)
            if row.random and not _looks_random(value):
                continue
            if group and value.lower() in _USUAL:
                continue
            yield row.kind, *match.span(group)


def _looks_random(value: str) -> bool:
    has_both = any(each.isdigit() for each in value) and any(each.isalpha() for each in value)
    return has_both and entropy(value) >= MIN_ENTROPY and not _EXAMPLE.search(value)
