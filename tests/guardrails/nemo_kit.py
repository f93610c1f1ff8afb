"""What the tests of NeMo share: a user's own configuration with actions that can misbehave, and rails that do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest

from ragloom.guarding import Finding, Stage

pytest.importorskip("nemoguardrails", reason="needs ragloom[guardrails]")

from nemoguardrails import RailsConfig

from ragloom.guardrails.nemo import NeMoGuard

YAML = """
models: []
rails:
  input: {flows: [own input $strictness=high]}
  retrieval: {flows: [own retrieval, own mask]}
  tool_input: {flows: [own tool]}
  output: {flows: [own output]}
"""
COLANG = """
define bot refuse to respond
  "Certainly not."

define flow own input
  $said = execute look(text=$user_message, strictness=$strictness)
  if $said == "exception"
    create event OwnRailException(message="an exception")
    stop
  if $said == "bad"
    bot refuse to respond
    stop
  $user_message = $said

define flow own retrieval
  $said = execute look(text=$relevant_chunks)
  if $said == "bad"
    stop
  if $said == "spoken"
    bot inform answer unknown
    stop
  if $said == "exception"
    create event OwnRailException(message="an exception")

define flow own mask
  do take away

define subflow take away
  $relevant_chunks = execute mask(text=$relevant_chunks)

define flow own tool
  $said = execute look(text=$tool_message, tool=$tool_name)
  if $said == "bad"
    bot refuse to respond
    stop
  $tool_message = $said

define flow own output
  $said = execute look(text=$bot_message, question=$question, passages=$relevant_chunks)
  if $said == "bad"
    bot refuse to respond
    stop
  $bot_message = $said
"""
seen: list[dict[str, Any]] = []
"""What the action `look` was given, newest last."""


async def look(text: str, **more: Any) -> str:
    """Says "bad" of what is bad, raises, hangs, or gives the text back, in capitals where it is to be changed."""
    seen.append({"text": text, **more})
    if "raise" in text:
        raise ValueError(f"cannot look at {text}")
    if "stall" in text:
        await asyncio.sleep(60)
    if "block the loop" in text:
        time.sleep(0.9)  # noqa: ASYNC251 - which is what is wrong with it
    for word in ("bad", "exception", "spoken"):
        if word in text:
            return word
    return "" if "empty" in text else text.upper() if "change" in text else text


async def mask(text: str) -> str:
    """A second rail, which takes a name out."""
    return text.replace("Ottilie", "<PERSON>")


def own_config(yaml: str = YAML, colang: str = COLANG) -> Any:
    """A user's configuration, as an object."""
    return RailsConfig.from_content(colang_content=colang, yaml_content=yaml)


@cache
def own_guard(timeout: float = 10.0, on_failure: Any = "block") -> NeMoGuard:
    """A guard of it. Making one takes a second."""
    actions: dict[str, Callable[..., Any]] = {"look": look, "mask": mask}
    return NeMoGuard(own_config(), actions=actions, timeout=timeout, on_failure=on_failure)


class WordRail:
    """Blocks what holds the word "forbidden", writes "secret" as stars, raises at "raise", hangs at "stall"."""

    def __init__(self, name: str = "word", stages: Sequence[Stage] = ("input", "retrieval", "tool", "output")) -> None:
        self.name, self.stages = name, stages
        self.contexts: list[Mapping[str, Any]] = []

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        self.contexts.append(context)
        return [self._one(text) for text in texts]

    def _one(self, text: str) -> Finding:
        if "raise" in text:
            raise ValueError(f"cannot check {text}")
        if "stall" in text:
            time.sleep(5)
        at = text.find("forbidden")
        if at >= 0:
            return Finding("block", text, reason="a forbidden word", score=0.9, spans=((at, at + 9),))
        at = text.find("secret")
        if at >= 0:
            return Finding("change", text.replace("secret", "***"), reason="a secret", spans=((at, at + 6),))
        return Finding("pass", text)


async def both(
    guard: NeMoGuard, stage: Stage, texts: list[str], context: dict[str, Any] | None = None
) -> list[Finding]:
    """What `check` and `acheck` say, which must be the same."""
    awaited = await guard.acheck(stage, texts, context)
    assert guard.check(stage, texts, context) == awaited  # with this loop running: as in a notebook
    return awaited
