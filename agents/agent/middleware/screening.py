"""A guard around a LangChain agent: the question, what tools return, the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from langchain.agents.middleware.types import AgentMiddleware, ToolCallRequest, hook_config
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime

from ....errors import UsageError
from ....graphs.common.effects import Doing, node
from ....graphs.common.screening import WITHHELD, check_context, findings, screened_passages, tell_blocked
from ....guarding import STAGES, Finding, Guard, Stage
from ....types import Step
from ..nodes import QUARANTINED
from .results import (
    CRITIQUE,
    ToolResult,
    messages_in,
    passages_of,
    question_of,
    turn_of,
    with_passages,
    with_update,
)
from .state import RunState

__all__ = ("ScreeningMiddleware",)

BLOCKED = "(This message was blocked.)"
"""Stands in a thread in the place of a message that the guard blocked."""
_REFUSED: dict[str, Any] = {"settled": "refused", "draft": [], "declined": False}


class ScreeningMiddleware(AgentMiddleware[RunState, Any, Any]):
    """Puts every text that comes in or goes out under a guard; what is blocked reaches no prompt and no reader.

    `tool`: each passage that a tool gives (with its heading) is checked alone; blocked ones are quarantined: the step
    tells their ids and the rail, the model sees the others. A tool without passages is checked by its text. `input`:
    every message of the user that no model has answered; one that is blocked ends the run, and is replaced in the
    thread, so that no later turn puts it to the model. `output`: all that the model said in the turn, with the quotes
    of its citations, when the turn has ended; an answer that is blocked is replaced by a refusal. Tokens that the
    application streams before that are not checked. A text that the guard changes is used as changed, and a guard that
    raises has blocked.

    Args:
        guard: checks texts (`ragloom.guarding.Guard`).
        stages: which of `input`, `tool` and `output` are checked here.

    Example:
        >>> create_agent(llm, tools, middleware=[ScreeningMiddleware(guard)])  # doctest: +SKIP
    """

    state_schema = RunState

    def __init__(self, guard: Guard, *, stages: Collection[Stage] = ("input", "tool", "output")) -> None:
        super().__init__()
        if wrong := sorted(set(stages) - (set(STAGES) - {"retrieval"})):
            raise UsageError(f"an agent has no stage {wrong[0]!r}", hint="use input, tool and output")
        self.guard, self.stages = guard, frozenset(stages)
        self._input = node("screen_input", self._screen_input, clocked=False)
        self._tool = node("screen", self._screen_tool, clocked=False)
        self._output = node("screen_output", self._screen_output, clocked=False)

    @hook_config(can_jump_to=["end"])
    def before_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Checks the question."""
        return self._input.invoke(state) if self._asks(state) else None

    @hook_config(can_jump_to=["end"])
    async def abefore_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Checks the question."""
        return await self._input.ainvoke(state) if self._asks(state) else None

    def wrap_tool_call(self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolResult]) -> ToolResult:
        """Checks what the tool gave."""
        result = handler(request)
        if "tool" not in self.stages:
            return result
        return with_update(result, self._tool.invoke((request, messages_in(result))))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolResult]]
    ) -> ToolResult:
        """Checks what the tool gave."""
        result = await handler(request)
        if "tool" not in self.stages:
            return result
        return with_update(result, await self._tool.ainvoke((request, messages_in(result))))

    def after_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Checks the answer."""
        return self._output.invoke(state) if self._answers(state) else None

    async def aafter_agent(self, state: RunState, runtime: Runtime[Any]) -> dict[str, Any] | None:
        """Checks the answer."""
        return await self._output.ainvoke(state) if self._answers(state) else None

    def _asks(self, state: RunState) -> bool:
        return "input" in self.stages and bool(_unanswered(state["messages"]))

    def _answers(self, state: RunState) -> bool:
        return "output" in self.stages and bool(_said(state["messages"]))

    # -- bodies -------------------------------------------------------------------------------------------------------

    def _screen_input(self, state: RunState, step: Step) -> Doing[dict[str, Any]]:
        asked = _unanswered(state["messages"])
        found = yield from findings(
            self.guard, "input", [str(message.text) for message in asked], check_context(question_of(state["messages"]))
        )
        _tell(step, found)
        after: list[AnyMessage] = []
        for message, finding in zip(asked, found, strict=True):
            if finding.verdict == "block":
                after.append(HumanMessage(BLOCKED, id=message.id))
            elif finding.verdict == "change":
                after.append(message.model_copy(update={"content": finding.text}))
        if step["decision"] != "block":
            return {"messages": after}
        refusal = AIMessage(WITHHELD, additional_kwargs={"citations": [], "abstained": True})
        return {"messages": [*after, refusal], **_REFUSED, "jump_to": "end"}

    def _screen_tool(self, given: tuple[ToolCallRequest, list[Any]], step: Step) -> Doing[dict[str, Any]]:
        request, messages = given
        context = check_context(question_of(request.state["messages"]), tool=request.tool_call["name"])
        step["reason"], after = "by the guard", []
        for message in messages:
            is_result = isinstance(message, ToolMessage)
            screened = (yield from self._screened(message, context, step)) if is_result else message
            after.append(screened)
        step["decision"] = f"{sum(len(passages_of(message)) for message in after)} passages pass"
        return {"messages": after}

    def _screened(self, message: ToolMessage, context: dict[str, Any], step: Step) -> Doing[ToolMessage]:
        if found := passages_of(message):
            kept = yield from screened_passages(self.guard, found, context, step)
            return with_passages(message, kept, QUARANTINED)
        finding = (yield from findings(self.guard, "tool", [str(message.text)], context))[0]
        if finding.verdict == "block":
            tell_blocked(step, [(context["tool"], finding)], "texts")
            return message.model_copy(update={"content": QUARANTINED, "artifact": None})
        return message if finding.verdict == "pass" else message.model_copy(update={"content": finding.text})

    def _screen_output(self, state: RunState, step: Step) -> Doing[dict[str, Any]]:
        said, context = _said(state["messages"]), check_context(question_of(state["messages"]))
        citations = _citations(said[-1])
        texts = [*(str(message.text) for message in said), *(each["quote"] for each in citations)]
        found = yield from findings(self.guard, "output", texts, context)
        _tell(step, found)
        last = found[len(said) - 1]
        after = [_as_found(message, finding) for message, finding in zip(said, found[: len(said)], strict=True)]
        shown = _as_shown(citations, last, found[len(said) :])
        if last.verdict == "block":
            after[-1] = _told(after[-1], [], abstained=True)
        elif shown != citations or (citations and last.verdict == "change"):
            after[-1] = _told(after[-1], shown, abstained=False)
        changed = [message for message, before in zip(after, said, strict=True) if message is not before]
        if last.verdict == "block":
            return {"messages": changed, **_REFUSED}
        # The sentences that were dropped have been seen by no guard, and those of a changed answer are none of it.
        kept = [each for each in state.get("draft") or [] if each["citations"]] if after[-1] is said[-1] else []
        return {"messages": changed, "draft": kept}


def _unanswered(messages: Sequence[AnyMessage]) -> list[HumanMessage]:
    """What the user said since a model spoke last. A mark that says it is ours is not believed: users can set it."""
    spoken = [at for at, message in enumerate(messages) if isinstance(message, AIMessage)]
    since = messages[spoken[-1] + 1 :] if spoken else messages
    return [message for message in since if isinstance(message, HumanMessage) and str(message.text).strip()]


def _said(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """What the model said in this turn, the answer last; a critique repeats sentences of an earlier one."""
    return [each for each in turn_of(messages) if (isinstance(each, AIMessage) or _is_critique(each)) and each.text]


def _is_critique(message: AnyMessage) -> bool:
    return isinstance(message, HumanMessage) and message.additional_kwargs.get("lc_source") == CRITIQUE


def _citations(message: AnyMessage) -> list[Any]:
    """Those of `GroundednessMiddleware`; providers have things of their own under that name."""
    given = message.additional_kwargs.get("citations")
    ours = isinstance(given, list) and all(
        isinstance(each, dict) and {"sentence", "quote"} <= set(each) for each in given
    )
    return list(given) if ours and isinstance(given, list) else []


def _as_shown(citations: Sequence[Any], answer: Finding, of_quotes: Sequence[Finding]) -> list[Any]:
    """The citations of sentences that still stand in the answer. A quote is left empty where the guard does not pass
    it, and where the answer was changed: what was taken out may stand in it.
    """
    hidden = [answer.verdict == "change" or finding.verdict != "pass" for finding in of_quotes]
    pairs = [(each, hide) for each, hide in zip(citations, hidden, strict=True) if each["sentence"] in answer.text]
    return [{**each, "quote": ""} if hide else each for each, hide in pairs]


def _as_found(message: AnyMessage, finding: Finding) -> AnyMessage:
    """The message as the guard lets it be read; what a provider keeps beside the text (its reasoning) goes as well."""
    if finding.verdict == "pass":
        return message
    text = finding.text if finding.verdict == "change" else BLOCKED if _is_critique(message) else WITHHELD
    ours = ("lc_source", "abstained")
    told = {key: value for key, value in message.additional_kwargs.items() if key in ours}
    return message.model_copy(update={"content": text, "additional_kwargs": told})


def _told(message: AnyMessage, citations: Sequence[Any], *, abstained: bool) -> AnyMessage:
    told = {**message.additional_kwargs, "citations": list(citations), "abstained": abstained}
    return message.model_copy(update={"additional_kwargs": told})


def _tell(step: Step, found: Sequence[Finding]) -> None:
    """Fills the step with the strictest of the verdicts."""
    strictest = max(found, key=lambda each: ("pass", "change", "block").index(each.verdict))
    step["decision"], step["reason"] = strictest.verdict, strictest.reason or strictest.rail or "by the guard"
