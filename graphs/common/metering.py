"""What a call of a chat model takes, counted while it streams, and where it is stopped."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...models import count_tokens, limit_answer
from ...types import Usage

__all__ = ("Meter", "no_usage")


def no_usage() -> Usage:
    """Nothing spent."""
    return Usage(calls=0, tokens_in=0, tokens_out=0, seconds=0.0)


class Meter:
    """Counts tokens and time: the server's own figures where it gives them, the tokenizer's else.

    `most` is how many tokens may come, `deadline` until when (`time.monotonic`): not every model keeps to what it was
    told. A piece is a token at least; of a model that cannot be told at all, the text is counted.
    """

    def __init__(self, llm: BaseChatModel, *, most: int | None = None, deadline: float | None = None) -> None:
        self.llm, self.most, self.deadline = llm, most, deadline
        self.usage = no_usage()
        self.usage["calls"] = 1
        self.text = ""
        self.pieces = 0
        self.ended = False
        """Set by the caller where the model itself came to an end: its figures are whole."""
        self._limited = bool(limit_answer(llm, 1))
        self.first_token_ms = 0.0
        self.began = time.perf_counter()

    @property
    def over(self) -> bool:
        """Whether the model must not go on."""
        said = self.pieces if self._limited else estimated(self.text)
        too_long = self.most is not None and said > self.most
        return too_long or (self.deadline is not None and time.monotonic() > self.deadline)

    def take(self, chunk: Any) -> str:
        """The text of the next piece."""
        text = str(chunk.text)
        if text and not self.text:
            self.first_token_ms = round((time.perf_counter() - self.began) * 1000, 1)
        self.text += text
        self.pieces += bool(text)
        usage = getattr(chunk, "usage_metadata", None)
        if usage:
            self.usage["tokens_in"] += usage["input_tokens"]
            self.usage["tokens_out"] += usage["output_tokens"]
        return text

    def close(self, messages: Sequence[BaseMessage]) -> None:
        """Ends the count, also of a call that failed."""
        self.usage["seconds"] = time.perf_counter() - self.began
        if not self.usage["tokens_in"]:
            self.usage["tokens_in"] = sum(self._count(str(message.text)) for message in messages)
            self.usage["tokens_out"] = self._count(self.text)
        elif not self.ended:  # what a service says before the end is not all
            self.usage["tokens_out"] = max(self.usage["tokens_out"], self._count(self.text))

    def _count(self, text: str) -> int:
        try:
            return count_tokens(self.llm, text)
        except Exception:  # the server is gone: what it had said counts all the same
            return estimated(text)


def estimated(text: str) -> int:
    """A third of the bytes: what `count_tokens` takes where no tokenizer is at hand."""
    return -(-len(text.encode("utf-8", "replace")) // 3)
