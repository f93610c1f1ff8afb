"""Asking the judging model, and reading the JSON out of what it says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from ...errors import ModelError

if TYPE_CHECKING:
    from langchain_core.runnables import Runnable

__all__ = ("Ask", "read_reply")

Reply = TypeVar("Reply", bound=BaseModel)

_SHOWN = 120  # characters of a reply that a reason quotes


class Ask:
    """Asks the model for an object of a schema, until its time is up.

    A thread cannot be stopped from outside; with its deadline in here, one that was given up asks no further questions.
    """

    def __init__(self, llm: Runnable[Any, Any], seconds: float) -> None:
        """`seconds` from now on."""
        self._llm = llm
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds

    def __call__(
        self, prompt: str, schema: type[Reply], *, tidy: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    ) -> Reply:
        """The reply as `schema`; raises `ModelError` where it is none, or names nothing at all."""
        if time.monotonic() > self._deadline:
            raise ModelError(f"no score within {self._seconds:g} s")
        message = self._llm.invoke(prompt)
        text = str(getattr(message, "text", message))
        try:
            reply = read_reply(text, schema, tidy=tidy)
        except ModelError:
            if getattr(message, "response_metadata", {}).get("finish_reason") == "length":
                raise ModelError("the judge's reply was cut off at its token limit", hint="raise max_tokens") from None
            raise
        lists = [value for _, value in reply if isinstance(value, list)]
        if lists and not any(lists):
            # Both libraries go on from here, and score an answer without statements 1 or 0.
            raise ModelError(f"the judge named nothing: {_shown(text)}")
        return reply


def read_reply(
    text: str, schema: type[Reply], *, tidy: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> Reply:
    """The first JSON object in `text` that is a `schema`, once `tidy` went over it.

    The first: models that were shown examples like to go on with more of their own.

        >>> class Verdict(BaseModel):
        ...     verdict: int
        >>> read_reply('<think>{hm}</think> Sure! ```json\\n{"verdict": 1}\\n``` And {"verdict": 0}', Verdict)
        Verdict(verdict=1)
    """
    for found in _objects(text):
        try:
            return schema.model_validate(tidy(found) if tidy else found)
        except ValidationError:
            continue
    raise ModelError(f"the judge did not answer in the JSON that was asked for: {_shown(text)}")


def _objects(text: str) -> Iterator[dict[str, Any]]:
    decoder = json.JSONDecoder(strict=False)  # models put raw line breaks into strings
    start = text.find("{")
    while start >= 0:
        end = start + 1
        try:
            found, end = decoder.raw_decode(text, start)
            yield found
        except (ValueError, RecursionError):
            pass
        start = text.find("{", end)


def _shown(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= _SHOWN else line[:_SHOWN] + "...")
