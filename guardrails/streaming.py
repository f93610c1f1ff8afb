"""An answer on its way out, piece by piece: nothing leaves before the guard has passed it."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import Any

from ..errors import UsageError
from ..guarding import Finding, Guard
from .rails.sentences import sentence_starts

__all__ = ("AsyncScreenedStream", "ScreenedStream", "ascreen_stream", "screen_stream")

MOST_HELD = 8_000
"""Characters without the end of a sentence, or in one block of code, after which what is there counts as one."""
LOOK_AHEAD = 40
"""Characters after the end of a sentence within which it is known for one."""
_MAY_END = frozenset(".!?…。！？｡\n\r")
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)


def screen_stream(
    pieces: Iterable[str], guard: Guard, context: Mapping[str, Any] | None = None, *, hold: int = 1
) -> ScreenedStream:
    """The pieces of an answer, sentence by sentence, each as soon as the stage `output` of the guard has passed it.

    A sentence leaves when `hold` whole ones have come after it: it has to pass alone, together with them, and with as
    many that left before. So nothing leaves of a text that is blocked and spans up to `hold` ends of sentences; of one
    that spans more, the first sentences may. A block of code is one sentence.

    A sentence that the guard changes leaves as changed, one of which nothing is left does not. The first one that is
    blocked ends the stream, without an error: the source is closed, nothing more leaves, and `finding` tells why. What
    was said cannot be changed: where the guard would, the stream ends as well. A guard that raises has blocked.

    Args:
        pieces: text in pieces of any size, such as tokens. Closed (`close()`, where it has it) when the stream ends,
            is cut, or is closed itself.
        guard: see `ragloom.guarding.Guard`.
        context: what the guard is told: `question`, `passages`, `scope`.
        hold: sentences that are held back. 0 shows each as soon as the next one begins; a pattern across two is then
            cut at its second half.

    >>> from ragloom.guardrails import RailsGuard, SecretsRail
    >>> stream = screen_stream(["Your key is ghp_", "0123456789" * 4, ". Take care."], RailsGuard([SecretsRail()]))
    >>> "".join(stream), stream.finding
    ('Your key is <GITHUB_TOKEN>. Take care.', None)
    """
    return ScreenedStream(pieces, guard, context, hold)


def ascreen_stream(
    pieces: AsyncIterable[str], guard: Guard, context: Mapping[str, Any] | None = None, *, hold: int = 1
) -> AsyncScreenedStream:
    """As `screen_stream`, of an asynchronous iterator; it is closed by `aclose()`."""
    return AsyncScreenedStream(pieces, guard, context, hold)


class _Screened:
    """What both kinds of stream know."""

    def __init__(self, guard: Guard, context: Mapping[str, Any] | None, hold: int) -> None:
        self._guard, self._context = guard, context
        self._held = _Held(hold)

    @property
    def finding(self) -> Finding | None:
        """What cut the stream; None while it runs, and where it came to its own end."""
        return self._held.finding

    @property
    def text(self) -> str:
        """All that has left."""
        return "".join(self._held.said)


class ScreenedStream(_Screened, Iterator[str]):
    """Made by `screen_stream`."""

    def __init__(self, pieces: Iterable[str], guard: Guard, context: Mapping[str, Any] | None, hold: int) -> None:
        super().__init__(guard, context, hold)
        self._pieces = iter(pieces)
        self._running = self._run()

    def __next__(self) -> str:
        return next(self._running)

    def close(self) -> None:
        """Ends the stream and closes its source; what was held is not said."""
        self._running.close()
        _close(self._pieces)  # a stream that has not begun has not closed it

    def _run(self) -> Generator[str, None, None]:
        try:
            for piece in self._pieces:
                self._held.add(piece)
                while self._held.finding is None and (texts := self._held.due()):
                    yield from self._released(texts)
                if self._held.finding is not None:
                    return
            if texts := self._held.due(last=True):
                yield from self._released(texts)
        finally:
            _close(self._pieces)

    def _released(self, texts: list[str]) -> Iterator[str]:
        try:
            found = list(self._guard.check("output", texts, self._context))
        except Exception as error:
            found = [_failed(error)]
        if text := self._held.judge(found):
            yield text


class AsyncScreenedStream(_Screened, AsyncIterator[str]):
    """Made by `ascreen_stream`."""

    def __init__(self, pieces: AsyncIterable[str], guard: Guard, context: Mapping[str, Any] | None, hold: int) -> None:
        super().__init__(guard, context, hold)
        self._pieces = aiter(pieces)
        self._running = self._run()

    async def __anext__(self) -> str:
        return await anext(self._running)

    async def aclose(self) -> None:
        """Ends the stream and closes its source; what was held is not said."""
        await self._running.aclose()
        await _aclose(self._pieces)

    async def _run(self) -> AsyncGenerator[str, None]:
        try:
            async for piece in self._pieces:
                self._held.add(piece)
                while self._held.finding is None and (texts := self._held.due()):
                    if text := await self._released(texts):
                        yield text
                if self._held.finding is not None:
                    return
            if (texts := self._held.due(last=True)) and (text := await self._released(texts)):
                yield text
        finally:
            await _aclose(self._pieces)

    async def _released(self, texts: list[str]) -> str:
        try:
            found = list(await self._guard.acheck("output", texts, self._context))
        except Exception as error:
            found = [_failed(error)]
        return self._held.judge(found)


class _Held:
    """What has come and not left: what is to be checked next, and what may leave after that."""

    def __init__(self, hold: int) -> None:
        if hold < 0:
            raise UsageError(f"hold is {hold}", hint="give the number of sentences to hold back, 0 or more")
        self.finding: Finding | None = None
        self.said: list[str] = []
        self._hold = hold
        self._pending = ""
        self._since_end = 0
        """Characters after the last that may end a sentence."""
        self._together = 1
        """Sentences that leave as one: the guard changes what spans them."""
        self._behind: list[str] = []
        """The last that left, as they left."""
        self._leaving = self._checked = ""
        """What is being checked: what may leave, and the same with what comes after it."""

    def add(self, piece: str) -> None:
        if not isinstance(piece, str):
            raise UsageError(f"a piece of the stream is {type(piece).__name__}", hint="give the texts of the messages")
        self._pending += piece
        self._since_end = 0 if _MAY_END.intersection(piece) else self._since_end + len(piece)

    def due(self, *, last: bool = False) -> list[str]:
        """What the guard is to check now; empty where nothing is due."""
        self._leaving = self._checked = ""
        starts = [] if last or self._since_end > LOOK_AHEAD else _unit_starts(self._pending)
        if len(starts) > self._together + self._hold:
            self._leaving = self._pending[: starts[self._together]]
            self._checked = self._pending[: starts[self._together + self._hold]]
        elif last or len(self._pending) > MOST_HELD:
            self._leaving = self._checked = self._pending
        return list(dict.fromkeys(self._texts())) if self._leaving else []

    def _texts(self) -> tuple[str, str, str]:
        return self._leaving, self._checked, "".join([*self._behind, self._checked])

    def judge(self, found: Sequence[Finding]) -> str:
        """What leaves; empty where nothing does, yet or any more."""
        asked = list(dict.fromkeys(self._texts()))
        if len(found) != len(asked) or any(each.verdict not in ("pass", "change", "block") for each in found):
            found = [*found, Finding("block", self._leaving, rail="guard", reason="the guard gave no findings")]
        self.finding = next((each for each in found if each.verdict == "block"), None)
        if self.finding is not None:
            return ""
        after = {text: text if each.verdict == "pass" else each.text for text, each in zip(asked, found, strict=True)}
        leaving, checked, whole = (after[text] for text in self._texts())
        if whole.rstrip() != "".join([*self._behind, checked]).rstrip():
            changing = next(each for each in reversed(found) if each.verdict == "change")
            self.finding = Finding("block", changing.text, changing.rail, changing.reason, changing.score)
            return ""
        if not checked.startswith(leaving.rstrip()):  # changed across the end of the sentence
            self._together += 1
            return ""
        return self._say(leaving)

    def _say(self, text: str) -> str:
        self._pending = self._pending[len(self._leaving) :]
        self._together = 1
        if text:
            self.said.append(text)
            self._behind = [*self._behind, text][-max(self._hold, 1) :]
        return text


def _unit_starts(text: str) -> list[int]:
    """Where each sentence begins, those within a fenced block left out."""
    fences = [found.start() for found in _FENCE.finditer(text)]
    return [start for start in sentence_starts(text) if bisect_left(fences, start) % 2 == 0]


def _failed(error: Exception) -> Finding:
    # What the error says may hold the text.
    return Finding("block", "", rail="guard", reason=f"the guard failed: {type(error).__name__}")


def _close(pieces: Any) -> None:
    if callable(close := getattr(pieces, "close", None)):
        close()


async def _aclose(pieces: Any) -> None:
    if callable(close := getattr(pieces, "aclose", None)):
        await close()
