"""How every graph begins and ends, with a guard and without one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from langgraph.graph import END, START, StateGraph

from ...guarding import Finding, Guard, Stage
from ...types import Step
from .citing import withheld
from .effects import Doing, node
from .screening import check_context, findings, is_blocked
from .state import StrategyOutput, begin

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ("Admitted", "enter", "finish")

_STREAMED = (*StrategyOutput.__annotations__, "question", "seen_question", "asked", "hops", "elapsed")
"""State that holds nothing but what a guard has passed, and what the user said."""


def enter(graph: StateGraph[Any, Any, Any, Any], first: str, guard: Guard | None) -> None:
    """Adds the node `begin`, joined to the node `first`. Under a guard `admit` stands between them, and a question that
    is blocked ends the run there: no search and no model has seen it.
    """
    graph.add_node("begin", begin)
    graph.add_edge(START, "begin")
    if guard is None:
        graph.add_edge("begin", first)
        return

    def admit(state: Any, step: Step) -> Doing[dict[str, Any]]:
        return (yield from _admit(guard, state, step))

    graph.add_node("admit", node("admit", admit))
    graph.add_edge("begin", "admit")
    graph.add_conditional_edges("admit", _after_admission, {"admitted": first, "refused": END})


def finish(
    graph: StateGraph[Any, Any, Any, Any], *, name: str, checkpointer: Any, guard: Guard | None
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled graph. Under a guard its streams, and `get_state`, show of the state what the guard has passed:
    drafts, thoughts and rewritten queries stay inside. (Modes for debugging, `debug`, `tasks` and `checkpoints`, and
    traces show everything: they are not for users.)
    """
    compiled = graph.compile(checkpointer=checkpointer, name=name)
    if guard is not None:
        compiled.stream_channels = [key for key in _STREAMED if key in compiled.channels]
    return compiled


class Admitted:
    """The same guard for a strategy within another one, which has admitted the question already."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None) -> list[Finding]:
        """As the guard, but at the stage `input` all pass."""
        return _passing(texts) if stage == "input" else self._guard.check(stage, texts, context)

    async def acheck(
        self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        """As `check`."""
        return _passing(texts) if stage == "input" else await self._guard.acheck(stage, texts, context)


def _passing(texts: Sequence[str]) -> list[Finding]:
    return [Finding("pass", text) for text in texts]


def _admit(guard: Guard, state: Any, step: Step) -> Doing[dict[str, Any]]:
    """May this be asked? From here on `asked` is what the guard lets be asked; `question` stays what it is."""
    (finding,) = yield from findings(guard, "input", [state["asked"]], check_context(state["asked"]))
    why = finding.reason or finding.rail or "by the guard"
    if is_blocked(finding):
        return withheld(step, f"the guard blocks the question: {why}")
    step["decision"] = "changed" if finding.verdict == "change" else "admitted"
    step["reason"] = why
    asked = finding.text.strip()
    return {"asked": asked, "search_queries": [asked]}


def _after_admission(state: Any) -> Literal["admitted", "refused"]:
    return "refused" if state["abstained"] else "admitted"
