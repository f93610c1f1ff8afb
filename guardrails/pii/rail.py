"""The rail for personal data: finds it, and replaces it, blocks it, or keeps it for who said it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, get_args

from ...errors import ModelError, UsageError
from ...guarding import STAGES, Finding, Stage
from ..rail import checked_stages
from .actions import hashed, masked, redacted, replaced
from .detector import Detector, Span, resolved
from .vault import PLACEHOLDER, Vault

__all__ = ("ACTIONS", "IDENTIFYING", "THRESHOLD", "Action", "PersonalDataRail")

Action = Literal["redact", "mask", "hash", "block", "vault"]
ACTIONS: tuple[Action, ...] = get_args(Action)
THRESHOLD = 0.5
IDENTIFYING = (
    "PERSON",
    "EMAIL_ADDRESS",
    "PHONE_NUMBER",
    "STREET_ADDRESS",
    "CREDIT_CARD",
    "IBAN_CODE",
    "US_BANK_NUMBER",
    "US_SSN",
    "US_ITIN",
    "US_PASSPORT",
    "US_DRIVER_LICENSE",
    "CRYPTO",
    "IP_ADDRESS",
    "MAC_ADDRESS",
)
"""What points to one person by itself; the default. Dates, places, organisations, ages and web addresses do not, and
a question without them can often not be answered: name them where they matter (`entities=`)."""
_KEY_BYTES = 16


class PersonalDataRail:
    """Personal data in a text is replaced, or blocks it. Findings name types and counts, never a value.

    - `redact`: `<PERSON>`; `mask`: stars, but for the end of card, account and phone numbers; `hash`: `<PERSON:HASH>`,
      the same for the same value, by HMAC with your `key`; `block`: nothing of the text may be used.
    - `vault`: `<PERSON_1>`, kept in a `Vault` for the scope under `context["scope"]` (or `scope`); at the stage
      `output` the values of that scope, and of no other, are put back, and nothing is looked for. Without a scope with
      a user it is a redaction, and nothing is put back: nobody's values reach a stranger. What passages said comes back
      as well where their stage is in the vault; let another rail redact `retrieval` and `tool` where it must not. Put
      it before a rail that looks for leaking links, which can then see what they would carry; and a second rail with
      another action before it, for what a model says by itself.

    Args:
        stages: where it looks.
        entities: types, as the detector calls them; `IDENTIFYING` by default, None for all that it finds.
        threshold: least score, one for all types or by type (0.5 for those that are not named).
        detector: `PresidioDetector()` by default (needs the extra `guardrails`).
        key: of `hash`, 16 bytes or more.

    Raises `UsageError` for what does not fit together, also for a type that the detector cannot find.

        >>> rail = PersonalDataRail("mask")  # doctest: +SKIP
        >>> rail.check("input", ["My card is 4111 1111 1111 1111."], {})[0].text  # doctest: +SKIP
        'My card is **** **** **** 1111.'
    """

    name = "personal"

    def __init__(
        self,
        action: Action = "redact",
        *,
        stages: Collection[Stage] = STAGES,
        entities: Collection[str] | None = IDENTIFYING,
        threshold: float | Mapping[str, float] = THRESHOLD,
        detector: Detector | None = None,
        key: bytes | str | None = None,
        vault: Vault | None = None,
        scope: Any = None,
    ) -> None:
        if action not in ACTIONS:
            raise UsageError(f"unknown action {action!r} on personal data", hint=f"use one of {', '.join(ACTIONS)}")
        if isinstance(entities, str):
            raise UsageError(f"the entities {entities!r} are no list", hint=f"give [{entities!r}]")
        if (vault is not None or scope is not None) and action != "vault":
            raise UsageError(f"a vault or a scope given to the action {action!r}", hint="they belong to 'vault'")
        self.action: Action = action
        self.stages = checked_stages(stages, "personal data")
        self.vault = (vault if vault is not None else Vault()) if action == "vault" else None
        self._scope = scope
        self._thresholds = _thresholds(threshold)
        self._replace = _replacer(action, key)
        self.detector = detector if detector is not None else _default_detector()
        self._entities = None if entities is None else _known(entities, self.detector)

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """One finding a text; its spans are what was found, its score the best one's."""
        scope = self._whose(context) if self.vault is not None else None
        if self.vault is not None and stage == "output":
            return [_restored(self.vault, text, scope) for text in texts]
        found = self.detector.detect(texts)
        return [
            self._judged(stage, text, self._wanted(text, spans), scope)
            for text, spans in zip(texts, found, strict=True)
        ]

    def _wanted(self, text: str, spans: Sequence[Span]) -> list[Span]:
        if any(not 0 <= span.start < span.end <= len(text) for span in spans):
            raise ModelError(f"{self.detector.name} gave a span outside of the text")
        return resolved(
            span
            for span in spans
            if (self._entities is None or span.type in self._entities)
            and not span.score < self._thresholds.get(span.type, self._thresholds[""])  # what is no number is found
        )

    def _judged(self, stage: Stage, text: str, spans: list[Span], scope: Any) -> Finding:
        places = tuple((span.start, span.end) for span in spans)
        score = max((span.score for span in spans), default=None)
        if self.action == "block":
            return Finding("block" if spans else "pass", text, reason=_counts(spans), score=score, spans=places)
        if self.vault is not None and scope is not None:
            changed = self.vault.protect(text, spans, scope, own=stage == "input")
        else:
            changed = replaced(text, spans, self._replace)
        verdict: Literal["pass", "change"] = "pass" if changed == text else "change"
        return Finding(verdict, changed, reason=_counts(spans), score=score, spans=places)

    def _whose(self, context: Mapping[str, Any]) -> Any:
        """The scope with a user, or None."""
        for scope in (context.get("scope"), self._scope):
            user = scope.get("user") if isinstance(scope, Mapping) else getattr(scope, "user", None)
            if isinstance(user, str) and user.strip():
                return scope
            if scope is not None:  # who asks is known to be nobody in particular: not the one given for the rail
                return None
        return None


def _restored(vault: Vault, text: str, scope: Any) -> Finding:
    after = vault.restore(text, scope) if scope is not None else text
    if after == text:
        return Finding("pass", text)
    spans = tuple(match.span() for match in PLACEHOLDER.finditer(text))
    return Finding("change", after, reason="values put back for who said them", spans=spans)


def _counts(spans: Sequence[Span]) -> str:
    """`2 PERSON, 1 EMAIL_ADDRESS`."""
    return ", ".join(f"{count} {kind}" for kind, count in Counter(span.type for span in spans).most_common())


def _replacer(action: Action, key: bytes | str | None) -> Callable[[str, str], str]:
    if action != "hash":
        if key is not None:
            raise UsageError(f"a key given to the action {action!r}", hint="it belongs to 'hash'")
        return masked if action == "mask" else redacted
    secret = key.encode() if isinstance(key, str) else key or b""
    if len(secret) < _KEY_BYTES:
        hint = f"key= of {_KEY_BYTES} bytes or more, kept secret"
        raise UsageError("hashing personal data needs a key: a plain hash is found by trying values", hint=hint)
    return hashed(secret)


def _thresholds(given: float | Mapping[str, float]) -> dict[str, float]:
    """By type; under the empty name for all others."""
    thresholds = {"": THRESHOLD, **given} if isinstance(given, Mapping) else {"": given}
    for value in thresholds.values():
        if not 0 <= value <= 1:
            raise UsageError(f"the threshold {value} of personal data", hint="give 0 to 1")
    return thresholds


def _known(entities: Collection[str], detector: Detector) -> frozenset[str]:
    """What the detector cannot find is nothing that it protects: misspelt names are refused. Of the default set the
    rest is enough.
    """
    if entities is IDENTIFYING:
        return frozenset(entities)
    if unknown := sorted(set(entities) - set(detector.types)):
        hint = f"it finds {', '.join(sorted(detector.types))}"
        raise UsageError(f"{detector.name} does not find {unknown[0]!r}", hint=hint)
    return frozenset(entities)


def _default_detector() -> Detector:
    from .presidio import PresidioDetector

    return PresidioDetector()
