"""NeMo's engine as a guard needs it. Importing this module imports `nemoguardrails`, some seconds of work."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...guarding import Finding, Stage
from .check import CHECK, VARIABLES, Check

# NeMo tells its makers how it is used, each time an engine is made. Who wants that sets this to 0.
os.environ.setdefault("NEMO_GUARDRAILS_NO_USAGE_STATS", "1")

from nemoguardrails.colang import parse_colang_file
from nemoguardrails.rails import LLMRails, RailsConfig
from nemoguardrails.rails.llm.options import RailStatus, RailType
from nemoguardrails.types import LLMModel

__all__ = ("STAGE_RAILS", "Engine", "RailsConfig", "parse_colang_file")

STAGE_RAILS: Mapping[Stage, str] = {
    "input": "input",
    "retrieval": "retrieval",
    "tool": "tool_input",  # what comes in from a tool; what NeMo calls tool_output are the calls that a model wants
    "output": "output",
}
"""The part of `rails` in a NeMo configuration that holds the flows of a stage."""

STARTED = re.compile(r"Start(Input|Retrieval|ToolInput|Output)Rail")
ENDED = re.compile(r"(Input|Retrieval|ToolInput|Output)RailFinished")
ALL_ENDED = re.compile(r"(Input|Retrieval|ToolInput|Output)RailsFinished")

PASSAGE = """
define flow ragloom check one passage
  event RagloomPassage
  $ragloom_flows = $config.rails.retrieval.flows
  $ragloom_at = 0
  while $ragloom_at < len($ragloom_flows)
    $ragloom_flow = $ragloom_flows[$ragloom_at]
    create event StartRetrievalRail(flow_id=$ragloom_flow)
    event StartRetrievalRail
    do $ragloom_flows[$ragloom_at]
    $ragloom_at = $ragloom_at + 1
    create event RetrievalRailFinished(flow_id=$ragloom_flow)
    event RetrievalRailFinished
  create event RetrievalRailsFinished
"""
"""NeMo runs retrieval rails within a generation alone, over all passages at once, and has no `RailType` for them. This
is its own loop over them (`run retrieval rails` in llm_flows.co), begun by an event, with marks as its other loops set.
"""


class Engine(LLMRails):
    """`LLMRails` that checks and never generates.

    It keeps nothing of what it has checked (NeMo caches every conversation in memory), notes which action failed, and
    reads an exception of a rail (`enable_rails_exceptions`) as a block, where `check_async` of NeMo 0.24 raises.
    """

    def __init__(self, config: Any, llm: Any, actions: Mapping[str, Callable[..., Any]]) -> None:
        config.flows.extend({**flow, "is_system_flow": True} for flow in parse_colang_file("", PASSAGE)["flows"])
        config.docs = None  # a knowledge base of NeMo's own, for which it would load an embedding model
        _keep_texts_out_of_logs()
        super().__init__(config=config, llm=_wrapped(llm))
        for name, action in actions.items():
            self.register_action(action, name)
        self.flows = {stage: tuple(getattr(config.rails, part).flows) for stage, part in STAGE_RAILS.items()}
        self._note_failures()

    async def judge(self, check: Check) -> Finding:
        """The verdict of the flows of its stage. Raises what NeMo raises."""
        CHECK.set(check)
        question = str(check.context.get("question") or "")
        told = {"question": question}
        if check.stage == "input":
            return await self._judge_message(check, [{"role": "user", "content": check.text}], told)
        if check.stage == "output":
            said = [{"role": "user", "content": question}, {"role": "assistant", "content": check.text}]
            passages = map(str, check.context.get("passages") or ())
            return await self._judge_message(check, said, {**told, "relevant_chunks": "\n".join(passages)})
        if check.stage == "retrieval":
            told |= {"relevant_chunks": check.text, "user_message": question, "last_user_message": question}
            return await self._judge_event(check, {"type": "RagloomPassage"}, told)
        message = {"content": check.text, "name": str(check.context.get("tool") or "unknown")}
        return await self._judge_event(check, {"type": "UserToolMessages", "tool_messages": [message]}, told)

    async def _judge_message(self, check: Check, said: Sequence[dict[str, str]], told: dict[str, str]) -> Finding:
        messages = [{"role": "context", "content": told}, *said]
        result = await self.check_async(messages, rail_types=[RailType(check.stage)])
        if result.status == RailStatus.BLOCKED or check.stopper is not None:  # passes only what ran to the end
            return check.blocked(result.rail or check.stopper or "")
        return check.passed() if result.status == RailStatus.PASSED else check.changed(result.content, check.rewriter)

    async def _judge_event(self, check: Check, event: dict[str, Any], told: dict[str, str]) -> Finding:
        messages = [{"role": "context", "content": told}, {"role": "event", "event": event}]
        # The flow of passages runs its rails itself. Were NeMo told to, a rail that speaks would start them once more.
        parts = [] if check.stage == "retrieval" else [STAGE_RAILS[check.stage]]
        await self.generate_async(messages=messages, options={"rails": parts})
        if check.stopper is not None:
            return check.blocked(check.stopper)
        return check.passed() if check.now == check.text else check.changed(check.now, check.rewriter)

    async def generate_async(self, **call: Any) -> Any:
        """As `LLMRails.generate_async`, for `check_async` and for this class alone."""
        options = {**call.pop("options"), "log": {"activated_rails": True, "internal_events": True}}
        response = await super().generate_async(**call, options=options, state={})  # with a state nothing is cached
        check = CHECK.get()
        if check is not None:
            _follow(check, response.log.internal_events)
        message = response.response[-1]
        if message["role"] == "exception":
            message["content"] = ""
        return response

    def _note_failures(self) -> None:
        dispatcher = self.runtime.action_dispatcher
        execute = dispatcher.execute_action

        async def noting(name: str, params: dict[str, Any]) -> Any:
            check = CHECK.get()
            if check is None:
                return await execute(name, params)
            check.running.append(name)
            try:
                result, status = await execute(name, params)
            except Exception:
                check.failed = check.failed or name
                raise
            check.running.remove(name)  # not where it is cancelled: then it is the one that hangs
            if status == "failed":
                check.failed = check.failed or name
            return result, status

        dispatcher.execute_action = noting


def _follow(check: Check, events: Sequence[Mapping[str, Any]]) -> None:
    """Notes what became of the text, and which flow did it."""
    flow: str | None = None
    ended = False
    for event in events:
        kind = event["type"]
        if STARTED.fullmatch(kind):
            flow = event["flow_id"]
        elif ENDED.fullmatch(kind):
            flow = None
        elif kind.endswith("Exception"):
            check.stopper = check.stopper or flow or ""
        elif kind == "ContextUpdate" and flow is not None and VARIABLES[check.stage] in event["data"]:
            now = event["data"][VARIABLES[check.stage]]
            if now != check.now:
                check.now, check.rewriter = "" if now is None else str(now), flow
        ended = ended or ALL_ENDED.fullmatch(kind) is not None
    if check.stopper is None and not ended:
        check.stopper = flow or ""


def _wrapped(llm: Any) -> Any:
    if llm is None or isinstance(llm, LLMModel):
        return llm
    from nemoguardrails.integrations.langchain.llm_adapter import LangChainLLMAdapter

    return LangChainLLMAdapter(llm)


def _keep_texts_out_of_logs() -> None:
    """NeMo logs each event, the text among them, and with an action that fails its parameters."""
    logger = logging.getLogger("nemoguardrails")
    if logger.level == logging.NOTSET:  # else somebody wants to see it, and has said so
        logger.setLevel(logging.WARNING)
    for name in ("actions.action_dispatcher", "rails.llm.llmrails", "colang.v1_0.runtime.runtime"):
        logger.getChild(name).addFilter(_without_texts)


def _without_texts(record: logging.LogRecord) -> bool:
    if CHECK.get() is None or record.levelno < logging.WARNING:
        return True
    if not record.exc_info or record.exc_info[0] is None:
        return False  # the same is told once more, with the exception
    record.msg = f"a rail of NeMo Guardrails failed: {record.exc_info[0].__name__}"
    record.args, record.exc_info = (), None
    return True
