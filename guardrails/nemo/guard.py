"""`NeMoGuard`: a configuration of NeMo Guardrails as a guard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ...errors import MissingExtraError, UsageError
from ...guarding import STAGES, Finding, Stage
from ..guard import Audit, OnFailure
from ..rail import Rail
from .actions import ACTION, rail_action
from .check import Check
from .configuration import executed_by, load_engine
from .worker import LoopThread

if TYPE_CHECKING:
    from concurrent.futures import Future

    from langchain_core.language_models import BaseChatModel

__all__ = ("NeMoGuard",)

TIMEOUT = 10.0
"""Seconds for one check of a stage. Rails of NeMo may ask a chat model."""
SLACK = 0.5
"""Seconds that a loop which does not answer gets beyond: it is blocked by an action that is not async."""
OURS = 0.8
"""Share of the time that one of our rails may take: the one that hangs is named before NeMo's time is over."""


class NeMoGuard:
    """Rails of NeMo Guardrails at the stages of our graphs: `corrective_rag(retriever, llm, guard=NeMoGuard(...))`.

        stage       flows of the configuration   a text is seen as   runs by
        input       rails.input                  $user_message       `check_async`
        retrieval   rails.retrieval              $relevant_chunks    an event, once a passage; NeMo has no check for it
        tool        rails.tool_input             $tool_message       NeMo's own event for the results of tools
        output      rails.output                 $bot_message        `check_async`

    A flow that stops (or creates an exception) blocks, one that sets its variable changes. Flows also see `$question`,
    and at the output the passages as `$relevant_chunks`. Dialog rails and the knowledge base of a configuration are not
    used: the graph answers. A configuration is code, as NeMo runs it: `config.py` and `actions.py` in its folder, and
    in the working folder `actions.py` and `actions/`, are executed.

    Checks run on an event loop in a thread of the guard, so `check` works where a loop is running (Jupyter) and
    `acheck` on any loop, and an action that blocks its loop blocks nobody else. NeMo is imported at construction, which
    takes seconds. It does not patch asyncio, unless DISABLE_NEST_ASYNCIO=false asks for that; it sets
    TOKENIZERS_PARALLELISM=false where that is unset. NeMo's reports of its use to its makers are switched off
    unless NEMO_GUARDRAILS_NO_USAGE_STATS=0, and its logger is set to warnings, for below that it logs texts.

    A rail that fails or takes too long is named in the finding with what it did, never with what it said. Its text is
    blocked, or with `on_failure="pass"` passes as it was, whatever other rails of the configuration would have said.

    Args:
        config: a folder, a YAML file, a `RailsConfig`, or None for ours (`copy_config` copies it), which runs `rails`.
        llm: the chat model of rails that ask one, such as `self check input`.
        rails: of ours, for the action `ragloom_rail`.
        actions: of your own by name, beside those of the folder.
        timeout: seconds for one check of a stage; its texts are checked side by side.
        on_failure: what comes of the texts that a rail failed to check.
        audit: takes every finding that is no pass, and passes of a rail that failed.

    Raises `UsageError` at construction where the extra is not installed, the Colang or YAML is broken, a flow, an
    action, a rail or a chat model is missing. `check` and `acheck` raise nothing.

    Example:
        >>> from ragloom.guardrails.guard import default_rails
        >>> from ragloom.guardrails.nemo import NeMoGuard
        >>> guard = NeMoGuard(rails=default_rails(injection=False))  # doctest: +SKIP
        >>> guard.check("input", ["My key is ghp_0123456789abcdefghijABCDEFGHIJ012345."])[0].text  # doctest: +SKIP
        'My key is <GITHUB_TOKEN>.'
    """

    def __init__(
        self,
        config: str | Path | Any = None,
        *,
        llm: BaseChatModel | None = None,
        rails: Sequence[Rail] = (),
        actions: Mapping[str, Callable[..., Any]] | None = None,
        timeout: float = TIMEOUT,
        on_failure: OnFailure = "block",
        audit: Audit | None = None,
    ) -> None:
        if not 0 < timeout < float("inf"):
            raise UsageError(f"the timeout of the guard is {timeout!r}", hint="give seconds, more than 0")
        if on_failure not in get_args(OnFailure):
            raise UsageError(f"unknown on_failure {on_failure!r}", hint="use block or pass")
        try:
            import nemoguardrails  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError("NeMoGuard", "guardrails") from error
        ours = {ACTION: rail_action(rails, timeout=OURS * timeout, on_failure=on_failure)} if rails else {}
        self._engine = load_engine(config, llm, {**(actions or {}), **ours}, [rail.name for rail in rails])
        self._executed = {
            stage: [(flow, executed_by(self._engine, flow)) for flow in self._engine.flows[stage]] for stage in STAGES
        }
        self.timeout, self.on_failure, self.audit = timeout, on_failure, audit
        self._worker = LoopThread()

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None) -> list[Finding]:
        """One finding a text, in their order."""
        checks = self._checks(stage, texts, context or {})
        if not self._engine.flows[stage] or not checks:
            return [check.passed() for check in checks]
        try:
            future = self._begin(checks)
            try:
                found = future.result(self.timeout + SLACK)
            except BaseException:
                future.cancel()
                raise
        except Exception as error:
            found = self._given_up(checks, error)
        return self._recorded(checks, found, context or {})

    async def acheck(
        self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        """As `check`, without blocking the event loop."""
        checks = self._checks(stage, texts, context or {})
        if not self._engine.flows[stage] or not checks:
            return [check.passed() for check in checks]
        try:
            async with asyncio.timeout(self.timeout + SLACK):
                found = await asyncio.wrap_future(self._begin(checks))
        except Exception as error:
            found = self._given_up(checks, error)
        if self.audit is None:
            return found
        return await asyncio.to_thread(self._recorded, checks, found, context or {})

    def _checks(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Check]:
        metadata = context.get("metadata")
        if not isinstance(metadata, list | tuple) or len(metadata) != len(texts):
            return [Check(stage, text, context) for text in texts]
        return [Check(stage, text, {**context, "metadata": [own]}) for text, own in zip(texts, metadata, strict=True)]

    def _begin(self, checks: list[Check]) -> Future[list[Finding]]:
        return self._worker.submit(self._judged(checks))

    async def _judged(self, checks: Sequence[Check]) -> list[Finding]:
        tasks = [asyncio.create_task(self._judge(check)) for check in checks]
        try:
            _, late = await asyncio.wait(tasks, timeout=self.timeout)
        finally:
            for task in tasks:
                task.cancel()
        return [self._late(check) if task in late else task.result() for check, task in zip(checks, tasks, strict=True)]

    async def _judge(self, check: Check) -> Finding:
        why = ""
        try:
            found = await self._engine.judge(check)
        except Exception as error:  # an action that fails may end in one of NeMo's own
            why = type(error).__name__
        if check.failed:
            why = f"the action {check.failed!r} failed"
        return self._failure(check, check.failed, why) if why else found

    def _given_up(self, checks: Sequence[Check], error: Exception) -> list[Finding]:
        """A loop that does not answer is blocked, by an action that is not async: no text has a verdict."""
        if isinstance(error, TimeoutError):
            self._worker.abandon()
            return [self._late(check) for check in checks]
        return [self._failure(check, "", type(error).__name__) for check in checks]

    def _late(self, check: Check) -> Finding:
        action = check.running[-1] if check.running else ""
        doing = f", in the action {action!r}" if action else ""
        return self._failure(check, action, f"it took longer than {self.timeout:g} s{doing}")

    def _failure(self, check: Check, action: str, why: str) -> Finding:
        rail = next((flow for flow, executed in self._executed[check.stage] if action in executed), "nemo")
        return Finding(self.on_failure, check.text, rail=rail, reason=f"the rail {rail} failed: {why}")

    def _recorded(self, checks: Sequence[Check], found: Sequence[Finding], context: Mapping[str, Any]) -> list[Finding]:
        after = []
        for check, each in zip(checks, found, strict=True):
            if self.audit is not None and (each.verdict != "pass" or each.rail):
                try:
                    self.audit.record(check.stage, each, check.text, context)
                except Exception as error:
                    reason = f"the rail audit failed: {type(error).__name__}"
                    each = replace(each, reason=f"{each.reason}; {reason}")
                    if self.on_failure == "block" and each.verdict != "block":
                        each = Finding("block", check.text, rail="audit", reason=reason)
            after.append(each)
        return after
