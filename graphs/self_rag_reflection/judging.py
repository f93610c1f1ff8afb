"""What a model with reflection tokens thinks, read exactly: the probabilities of the tokens it might write next.

Text and tokens stand behind the chat template's opening of the assistant's turn, as in training. One forward pass gives
one continuation, so each token that is asked for costs one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from ...errors import RagloomError, UsageError
from ...models import Scored, Scorer
from ...models.reflections import RELEVANCE, RETRIEVE, SUPPORT, UTILITY
from ..common.effects import Compute, Doing
from ..common.purse import Purse
from ..common.segment_score import probability_of

__all__ = ("Outlook", "TokenJudge", "judged")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outlook:
    """How probably an answer goes on with each retrieve token, and how probably it closes."""

    yes: float | None
    no: float | None
    again: float | None
    closes: float | None

    @property
    def ends(self) -> bool:
        """Whether it rather closes than goes on. Where that is unknown it ends."""
        if self.yes is None or self.no is None or self.again is None or self.closes is None:
            return True
        return self.closes >= self.yes + self.no + self.again


@dataclass(frozen=True, slots=True)
class TokenJudge:
    """Reads a scorer after the messages of a question. Raises what the scorer raises."""

    scorer: Scorer
    messages: Sequence[Any]

    def relevance(self, before: str) -> dict[str, float | None]:
        """After a passage: p([Relevant]), p([Irrelevant])."""
        return self._each(before, RELEVANCE)

    def support(self, before: str) -> dict[str, float | None]:
        """After a sentence: the three support tokens."""
        return self._each(before, SUPPORT)

    def utility(self, before: str) -> list[float | None]:
        """After a segment: the five utilities."""
        return [self._probability(before, token) for token in UTILITY.values()]

    def outlook(self, before: str) -> Outlook:
        """At a segment's beginning. Nothing can be closed, or continued, where nothing was written."""
        found = self._each(before, {name: token for name, token in RETRIEVE.items() if before or name != "continue"})
        useful = self.utility(before) if before else [0.0]
        known = [each for each in useful if each is not None]
        closes = sum(known) if len(known) == len(useful) else None
        return Outlook(found["yes"], found["no"], found.get("continue", 0.0), closes)

    def fluency(self, before: str, text: str) -> float | None:
        """p(segment): the exponential of the mean log-probability of its tokens."""
        values = _after(self.scorer.score_messages(self.messages, before + text), len(before))
        return probability_of(sum(values) / len(values)) if values else None

    def _each(self, before: str, tokens: Any) -> dict[str, float | None]:
        return {name: self._probability(before, token) for name, token in tokens.items()}

    def _probability(self, before: str, token: str) -> float | None:
        values = _after(self.scorer.score_messages(self.messages, before + token), len(before))
        return probability_of(sum(values)) if values else None


def _after(scored: Scored, border: int) -> list[float]:
    """The log-probabilities of the tokens that end behind a border."""
    return [token.logprob for token in scored.tokens if token.end > border]


def judged(purse: Purse, problems: list[str], ask: Callable[..., T], *texts: str) -> Doing[T | None]:
    """What a judge says; None, with the reason among the problems, where it fails or the time is over."""
    if purse.seconds <= 0:
        problems.append(f"not judged: the budget of {purse.budget.seconds:g} seconds is spent")
        return None
    try:
        found: T = yield Compute(ask, *texts)
    except UsageError as error:  # the turn is longer than the scorer's window
        problems.append(f"not judged: {error}")
        return None
    except RagloomError:  # the weights are loaded with the first score: what is amiss with them is the user's to mend
        raise
    except Exception as error:
        problems.append(f"the scorer failed: {type(error).__name__}: {error}")
        return None
    return found
