"""What the nodes of questions over tables work with, and share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage

from ...graphs.common.ask_all import was_asked
from ...graphs.common.asking import Said, prompt_tokens
from ...graphs.common.effects import node
from ...graphs.common.prompting import render_prompt
from ...graphs.common.purse import READING_SHARE, Purse
from ...models import Embedder, context_window
from ...types import Budget, Step
from .fitting import Fitted, fit
from .operations import Frame, applied, written
from .state import TableState
from .table import Table, pipe_lines
from .tables import Tables
from .voting import Ballot

__all__ = ("TableParts", "Way", "failure", "tell")

Way = Literal["direct", "sql", "mixed", "chain"]


@dataclass(frozen=True, kw_only=True)
class TableParts:
    """What every node works with."""

    tables: Tables
    llm: BaseChatModel
    way: Way
    samples: int
    """Of each path."""
    table: str | None
    """SQL name of the table that was given."""
    embedder: Embedder | None
    budget: Budget
    max_answer_tokens: int
    schema_chars: int
    seed: int

    def node(self, name: str) -> Any:
        """The node of the body `name`."""
        return node(name, getattr(self, name))

    def purse(self, state: TableState) -> Purse:
        """What is left to spend."""
        return Purse(self.budget, state)

    def first(self, state: TableState) -> Table:
        """The table that is asked."""
        return self.tables[state["tables"][0]]

    def schema(self, state: TableState) -> str:
        """The tables as the prompts of the SQL path show them."""
        return self.tables.schema(state["tables"], most_chars=self.schema_chars)

    def frame(self, state: TableState) -> Frame:
        """The chain's table: its operations are done again, as state keeps only them."""
        frame = Frame.of(self.first(state))
        for operation in state["operations"]:
            frame = applied(frame, operation)
        return frame

    @staticmethod
    def made_by(state: TableState) -> str:
        """The chain so far, as the prompts write it."""
        return " -> ".join(written(operation) for operation in state["operations"])

    @staticmethod
    def render(
        prompt: str, table: Table, question: str, made_by: str, whole: Frame, shown: Frame, **more: Any
    ) -> list[BaseMessage]:
        """A prompt that shows these rows of a table."""
        return render_prompt(
            __package__ or "",
            prompt,
            title=table.title,
            total=len(whole.rows),
            shown=len(shown.rows),
            table="\n".join(pipe_lines(shown.header, shown.rows)),
            made_by=made_by,
            question=question,
            **more,
        )

    def fit(
        self, frame: Frame, question: str, render: Any, purse: Purse, max_tokens: int, *, shares: int, kept: bool
    ) -> Fitted | None:
        """The prompt within the model's window and one of `shares` of the tokens; `kept`: a part is left for later."""
        later = int(purse.budget.tokens * READING_SHARE) if kept else 0
        limit = min(context_window(self.llm), (purse.tokens - later) // max(shares, 1)) - max_tokens
        return fit(frame, question, render, partial(prompt_tokens, self.llm), limit)


def failure(said: Sequence[Said]) -> str:
    """Why the model failed, where it failed every time; a call that was not made is no failure of the model."""
    asked = [reply for reply in said if was_asked(reply)]
    return asked[0].failed if asked and all(reply.failed for reply in asked) else ""


def tell(step: Step, ballots: Sequence[Ballot], reason: str) -> None:
    """Fills a step with how many samples gave an answer, and why the first of the others did not."""
    answers = [ballot for ballot in ballots if not ballot["trouble"]]
    troubles = [ballot["trouble"] for ballot in ballots if ballot["trouble"]]
    step["decision"] = f"{len(answers)} of {len(ballots)} samples gave an answer"
    step["reason"] = f"{reason}; {troubles[0]}" if troubles else reason
