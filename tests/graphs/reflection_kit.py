"""A scorer for models with reflection tokens."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from strategy_kit import QUESTION

from ragloom.models import Scored, TokenScore
from ragloom.models.reflections import TOKENS

CUT = re.compile("(" + "|".join(map(re.escape, TOKENS)) + r"|\s*\S)")


class Mind:
    """A scorer: the probability of a token after what was written before it, by a function of both."""

    name = "fake"

    def __init__(self, probability: Callable[[str, str], Any]) -> None:
        self.probability = probability
        self.asked: list[str] = []

    def score_messages(self, messages: Any, continuation: str) -> Scored:
        self.asked.append(continuation)
        assert QUESTION in str(messages[-1].text)
        tokens = []
        for found in CUT.finditer(continuation):
            value = self.probability(continuation[: found.start()], found.group())
            logprob = math.log(value) if value else -math.inf
            tokens.append(TokenScore(0, found.start(), found.end(), logprob))
        return Scored(tuple(tokens))

    score = score_many = ascore = ascore_many = ascore_messages = score_messages
