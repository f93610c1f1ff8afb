"""What is left of a run's budget, inside one node."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ...types import Budget, Usage, add_usage
from .metering import no_usage

__all__ = ("READING_SHARE", "Purse")

READING_SHARE = 0.25
"""Of the tokens: what the reading at the end is sure to have."""


class Purse:
    """Counts down from a budget and what the run has spent so far. `usage` is what this node spent.

    >>> purse = Purse(Budget(llm_calls=2, tokens=1000), {})
    >>> purse.refusal(tokens=600, keep_calls=1)
    ''
    >>> purse.refusal(tokens=900, keep_calls=1)
    'the budget of 1000 tokens has no room for 900 more'
    """

    def __init__(self, budget: Budget, state: Mapping[str, Any]) -> None:
        self.budget = budget
        self._before: Usage = state.get("usage") or no_usage()
        self._hops = int(state.get("hops") or 0)
        self.usage = no_usage()
        self.deadline = time.monotonic() + budget.seconds - float(state.get("elapsed") or 0.0)

    @property
    def calls(self) -> int:
        """Calls of a language model that are left."""
        return self.budget.llm_calls - self._before["calls"] - self.usage["calls"]

    @property
    def tokens(self) -> int:
        """Tokens that are left, of prompts and answers together."""
        spent = add_usage(self._before, self.usage)
        return self.budget.tokens - spent["tokens_in"] - spent["tokens_out"]

    @property
    def seconds(self) -> float:
        """Time that is left; below zero where it is over."""
        return self.deadline - time.monotonic()

    @property
    def hops(self) -> int:
        """Rounds of retrieval that are left."""
        return self.budget.hops - self._hops

    def charge(self, usage: Usage) -> None:
        """Takes off what a call took."""
        self.usage = add_usage(self.usage, usage)

    def refusal(self, *, tokens: int = 0, keep_calls: int = 0) -> str:
        """Why a call of so many tokens cannot be afforded; empty where it can.

        `keep_calls` calls are left for what comes after, and with them `READING_SHARE` of the tokens.
        """
        if self.seconds <= 0:
            return f"the budget of {self.budget.seconds:g} seconds is spent"
        if self.calls <= keep_calls:
            kept = f", {keep_calls} kept for the reading" if keep_calls else ""
            return f"the budget of {self.budget.llm_calls} calls is spent{kept}"
        kept_tokens = int(self.budget.tokens * READING_SHARE) if keep_calls else 0
        if tokens > self.tokens - kept_tokens:
            return f"the budget of {self.budget.tokens} tokens has no room for {tokens} more"
        return ""
