"""What the tests of guards share: rails that look for words, fail or hang, and a check by both doors."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ragloom.guarding import STAGES, Finding, Guard, Stage


class WordRail:
    """Blocks a word, or changes it into another; keeps what it was asked."""

    def __init__(
        self,
        word: str,
        into: str | None = None,
        *,
        name: str = "words",
        stages: Sequence[Stage] = STAGES,
        score: float | None = None,
    ) -> None:
        self.word, self.into, self.name, self.stages, self.score = word, into, name, tuple(stages), score
        self.asked: list[tuple[Stage, list[str], dict[str, Any]]] = []

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        self.asked.append((stage, list(texts), dict(context)))
        return [self._judged(text) for text in texts]

    def _judged(self, text: str) -> Finding:
        at = text.find(self.word)
        if at < 0:
            return Finding("pass", text)
        verdict: Literal["block", "change"] = "block" if self.into is None else "change"
        after = text if self.into is None else text.replace(self.word, self.into)
        reason = f"a word of {len(self.word)}"
        return Finding(verdict, after, reason=reason, score=self.score, spans=((at, at + len(self.word)),))


class DoingRail:
    """Does whatever it is given."""

    def __init__(self, do: Callable[[Sequence[str]], Any], *, name: str = "doing") -> None:
        self.do, self.name, self.stages = do, name, STAGES

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        found: list[Finding] = self.do(texts)
        return found


class HangingRail:
    """Hangs until it is let go."""

    name = "hanging"
    stages = STAGES

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = 0

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        self.calls += 1
        self.go.wait(30)
        return [Finding("pass", text) for text in texts]


def both(guard: Guard, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None) -> list[Finding]:
    """What `check` says, which `acheck` says too."""
    found = guard.check(stage, texts, context)
    assert asyncio.run(guard.acheck(stage, texts, context)) == found  # type: ignore[arg-type]
    return found
