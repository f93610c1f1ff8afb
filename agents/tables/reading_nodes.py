"""Nodes that read a table as text: the direct way, and Chain-of-Table."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

from langchain_core.documents import Document

from ...graphs.common.ask_all import ask_all
from ...graphs.common.asking import Said, ask
from ...graphs.common.effects import Doing
from ...types import Step
from .answering import answer_values
from .operations import Frame, Operation, applied, next_operations, parse_operation, written
from .parts import TableParts, failure, tell
from .sampling import sampling_options
from .state import TableState
from .voting import Ballot

__all__ = ("ReadingNodes",)

PLAN_TOKENS = 48


class ReadingNodes(TableParts):
    """The nodes."""

    def plan(self, state: TableState, step: Step) -> Doing[dict[str, Any]]:
        """Asks for the chain's next operation, and tries it. Nonsense, or what changes nothing, ends the chain."""
        purse, table, frame = self.purse(state), self.first(state), self.frame(state)
        possible = next_operations(state["operations"])
        made_by = self.made_by(state)
        render = partial(self.render, "plan", table, state["asked"], made_by, frame, next=possible)
        fitted = self.fit(frame, state["asked"], render, purse, PLAN_TOKENS, shares=len(possible), kept=True)
        said = Said(failed="the table does not fit the prompt")
        if fitted is not None:
            said = yield from ask(self.llm, purse, fitted.messages, max_tokens=PLAN_TOKENS)
        operation = None if said.failed else parse_operation(said.text)
        reason = said.failed or ("" if operation else "the model ends the chain, or names no operation")
        if operation is not None:
            reason = _refused(frame, operation["name"] in possible, operation)
        if operation is None or reason:
            step["decision"], step["reason"] = "end", reason
            return {"ended": True, "usage": purse.usage}
        after = applied(frame, operation)
        step["decision"] = written(operation)
        step["reason"] = f"{len(after.rows)} rows and {len(after.header)} columns are left"
        done = [*state["operations"], operation]
        return {"operations": done, "ended": not next_operations(done), "usage": purse.usage}

    def read(self, state: TableState, step: Step) -> Doing[dict[str, Any]]:
        """Reads the table as text, as often as there are samples."""
        purse, table, frame = self.purse(state), self.first(state), self.frame(state)
        mixed = self.way == "mixed"
        samples = max(1, min(self.samples, purse.calls // 2)) if mixed else self.samples
        render = partial(self.render, "read", table, state["asked"], self.made_by(state), frame)
        fitted = self.fit(frame, state["asked"], render, purse, self.max_answer_tokens, shares=samples, kept=mixed)
        if fitted is None:
            step["decision"], step["reason"] = "not asked", "not one row fits the prompt"
            return {"ballots": state["ballots"]}
        options = sampling_options(self.llm, samples, self.seed)
        prompts = [fitted.messages] * samples
        keep = samples if mixed else 0
        limits = {"max_tokens": self.max_answer_tokens, "keep_calls": keep}
        said = yield from ask_all(self.llm, purse, prompts, options=options, **limits)
        document = table.document(fitted.shown.header, fitted.shown.rows, made_by=self.made_by(state))
        ballots = [_read_ballot(reply, document, fitted.shown) for reply in said]
        shown, total = len(fitted.shown.rows), len(frame.rows)
        tell(step, ballots, f"{shown} of {total} rows were shown" if shown < total else f"all {total} rows were shown")
        step["details"] = {"prompt_tokens": fitted.tokens, "answers": [ballot["values"] for ballot in ballots]}
        return {"ballots": [*state["ballots"], *ballots], "error": failure(said), "usage": purse.usage}

    def after_plan(self, state: TableState) -> Literal["plan", "read"]:
        """Another operation, or the reading of what the chain made."""
        return "read" if state["ended"] else "plan"


def _refused(frame: Frame, possible: bool, operation: Operation) -> str:
    """Why an operation ends the chain; empty where it is a step."""
    if not possible:
        return f"{written(operation)} cannot come after what was done"
    try:
        after = applied(frame, operation)
    except ValueError as error:
        return str(error)
    return f"{written(operation)} changes nothing" if after == frame else ""


def _read_ballot(said: Said, document: Document, shown: Frame) -> Ballot:
    values = [] if said.failed else answer_values(said.text, (cell for _, row in shown.rows for cell in row))
    trouble = said.failed or ("" if values else "the model gave no answer")
    return Ballot(path="direct", values=values, document=document, trouble=trouble)
