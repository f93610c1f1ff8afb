"""The three terms of Speculative RAG, in logarithms: the probability of a long rationale is zero in floating point.

Wang et al., 2024, https://arxiv.org/abs/2407.08223, section 3.4, for the answer alpha and the rationale beta to Q:

    rho_draft = P(beta | Q, passages) + P(alpha | Q, passages, beta)      by the drafter
    rho_SC    = P(alpha, beta | Q)                                        by the verifier, which sees no passage
    rho_SR    = P("Yes" | Q, alpha, beta, R)                              by the verifier
    log rho   = log rho_draft + log rho_SC + log rho_SR

Only the words of alpha and beta are counted; the labels between them are read, not scored. The drafter is scored on
the chat prompt that it wrote behind, by its own chat template; the verifier, in the paper a base model, on plain text.
What is no log-probability (NaN, above 0) makes the term unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ...models import Scored, Scorer
from ...models.drafts import Draft, render_draft
from ..common.prompting import render_prompt

__all__ = ("NO", "YES", "Normalise", "Terms", "draft_term", "rho", "verifier_terms")

Normalise = Literal["none", "mean", "sqrt_len"]
"""What becomes of a span's summed log-probability: nothing (the paper), over its tokens, over their square root."""
YES = (" Yes", " yes", " YES")
"""Ways to say it, none of which begins another; the first one is the paper's."""
NO = (" No", " no", " NO")
_ABOVE_ZERO = 1e-3
"""What rounding may make of a log-probability of 0."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Logarithms of the three terms; None where unknown."""

    draft: float | None = None
    consistency: float | None = None
    reflection: float | None = None

    def known(self) -> list[str]:
        """Their names in the paper."""
        named = {"rho_draft": self.draft, "rho_SC": self.consistency, "rho_SR": self.reflection}
        return [name for name, value in named.items() if value is not None]


def rho(terms: Sequence[Terms]) -> tuple[list[float | None], list[str]]:
    """log rho of each draft, and the terms that no draft has: they are left out of all.

    A draft that lacks a term which another one has is unknown: sums of unlike terms are not compared.

    >>> rho([Terms(None, -2.0, -1.0), Terms(None, -3.0, None)])
    ([-3.0, None], ['rho_draft'])
    """
    names = [name for name in ("rho_draft", "rho_SC", "rho_SR") if any(name in each.known() for each in terms)]
    missing = [name for name in ("rho_draft", "rho_SC", "rho_SR") if name not in names]
    totals: list[float | None] = []
    for each in terms:
        values = (each.draft, each.consistency, each.reflection)
        whole = bool(names) and each.known() == names
        totals.append(math.fsum(value for value in values if value is not None) if whole else None)
    return totals, missing


def draft_term(scorer: Scorer, messages: Sequence[Any], draft: Draft, normalise: Normalise) -> float | None:
    """log rho_draft, in one pass. A draft without a rationale has the answer's probability alone."""
    import numpy as np

    text = render_draft(draft)
    scored = scorer.score_messages(messages, text)
    answer = _normalised(_span(scored, len(text) - len(draft.answer), len(text)), normalise)
    if not draft.rationale:
        return answer
    start = text.index(draft.rationale, len("Rationale:"))
    rationale = _normalised(_span(scored, start, start + len(draft.rationale)), normalise)
    if answer is None or rationale is None:
        return None
    return float(np.logaddexp(rationale, answer))


def verifier_terms(
    scorer: Scorer, question: str, drafts: Sequence[Draft], normalise: Normalise, *, raw_yes: bool
) -> list[tuple[float | None, float | None]]:
    """log rho_SC and log rho_SR of every draft, all in one batch.

    rho_SR is yes / (yes + no), each summed over the ways to say it; with `raw_yes` the paper's P("Yes").
    """
    words = YES[:1] if raw_yes else (*YES, *NO)
    pairs: list[tuple[str, str]] = []
    for draft in drafts:
        asked, told, whole = (_plain(question, *given) for given in _stages(draft))
        pairs.append((asked, f"{told[len(asked) :]} {draft.rationale}".rstrip()))
        pairs += [(whole, word) for word in words]
    given = list(scorer.score_many(pairs))
    if len(given) != len(pairs):
        raise ValueError(f"{len(given)} scores for {len(pairs)} texts")
    result = []
    for at, draft in enumerate(drafts):
        first = at * (1 + len(words))
        replies = [
            _normalised([each.logprob for each in one.tokens], "none") for one in given[first + 1 :][: len(words)]
        ]
        result.append((_consistency(given[first], pairs[first][1], draft, normalise), _reflection(replies)))
    return result


def _stages(draft: Draft) -> tuple[tuple[str | None, str | None], ...]:
    return (None, None), (draft.answer, None), (draft.answer, draft.rationale)


def _plain(question: str, answer: str | None, rationale: str | None) -> str:
    (message,) = render_prompt(__package__ or "", "verify", question=question, answer=answer, rationale=rationale)
    return str(message.text)


def _consistency(scored: Scored, text: str, draft: Draft, normalise: Normalise) -> float | None:
    answer = _span(scored, 1, 1 + len(draft.answer))  # behind a space
    rationale = _span(scored, len(text) - len(draft.rationale), len(text)) if draft.rationale else []
    return _normalised([*answer, *rationale], normalise) if answer else None


def _reflection(replies: Sequence[float | None]) -> float | None:
    """P(Yes) of one reply; yes / (yes + no) of many, the first half of which is yes."""
    import numpy as np

    known = [reply for reply in replies if reply is not None]
    if len(known) < len(replies):
        return None
    if len(known) == 1:
        return known[0]
    yes = np.logaddexp.reduce(known[: len(known) // 2])
    return float(yes - np.logaddexp.reduce(known))


def _span(scored: Scored, start: int, end: int) -> list[float]:
    """Log-probabilities of the tokens with a character from the space before `start` to `end`; one over the edge
    counts whole. Many tokenizers make the space a token of its own before a digit, and there is decided what follows.
    """
    return [token.logprob for token in scored.tokens if token.end >= start and token.start < end]


def _normalised(values: Sequence[float], normalise: Normalise) -> float | None:
    if not values or not all(math.isfinite(value) and value <= _ABOVE_ZERO for value in values):
        return None
    total = math.fsum(values)
    return total / {"none": 1.0, "mean": float(len(values)), "sqrt_len": math.sqrt(len(values))}[normalise]
