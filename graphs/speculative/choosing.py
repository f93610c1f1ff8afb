"""The order in which drafts are tried: by their score, by their votes, or by chance."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from .state import DraftState, Plan

__all__ = ("Select", "by_chance", "by_value", "by_votes", "plain_answer", "verdict")

Select = Literal["full", "vote", "random", "first"]
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_GRADE = re.compile(r"(?<![\d.,/])[1-5](?![\d.,]*\d)")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b")


def by_value(drafts: Sequence[DraftState], values: Sequence[float | None], plans: Sequence[Plan]) -> list[DraftState]:
    """The highest first, unknown ones last; equals, as verdicts in words often are, by their votes."""
    known = {
        draft["index"]: float("-inf") if value is None else value for draft, value in zip(drafts, values, strict=True)
    }
    return sorted(by_votes(drafts, plans), key=lambda draft: -known[draft["index"]])


def by_votes(drafts: Sequence[DraftState], plans: Sequence[Plan]) -> list[DraftState]:
    """The answer that most drafts give first; among equals the one whose passages were retrieved first."""
    votes = Counter(plain_answer(draft["answer"]) for draft in drafts)
    ranks = {plan["index"]: plan["passages"] for plan in plans}
    return sorted(drafts, key=lambda each: (-votes[plain_answer(each["answer"])], ranks[each["index"]], each["index"]))


def by_chance(drafts: Sequence[DraftState], seed: int) -> list[DraftState]:
    """Shuffled by the seed."""
    return random.Random(seed).sample(list(drafts), len(drafts))


def plain_answer(text: str) -> str:
    """An answer as votes are counted.

    >>> plain_answer("The 25 days."), plain_answer("25 Days")
    ('25 days', '25 days')
    """
    return " ".join(re.findall(r"\w+", _ARTICLE.sub(" ", text.casefold()))) or text.casefold()


def verdict(text: str) -> float | None:
    """What a language model says of a draft, yes or no and 1 to 5, from 0 to 1; None where it says neither.

    One of the two that is not said counts as the middle.

    >>> verdict("Yes 4"), verdict("No."), verdict("perhaps")
    (0.875, 0.25, None)
    """
    said, grade = _YES_NO.search(text), _GRADE.search(text)
    if not said and not grade:
        return None
    agrees = float(said[1].lower() == "yes") if said else 0.5
    graded = (int(grade[0]) - 1) / 4 if grade else 0.5
    return (agrees + graded) / 2
