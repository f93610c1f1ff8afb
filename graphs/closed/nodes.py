"""The node of closed book."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer

from ...guarding import Guard
from ...types import Budget, Step
from ..common.asking import prompt_tokens
from ..common.citing import withheld
from ..common.effects import Doing, node
from ..common.guarded import guarded
from ..common.prompting import render_prompt
from ..common.purse import Purse
from ..common.reading import ReadAloud, Reading
from ..common.speaking import Speech, speech_context, told_of
from ..common.support import OverlapCritic

__all__ = ("ClosedBookNodes",)

NO_ANSWER = "I don't know."


@dataclass(frozen=True)
class ClosedBookNodes:
    """The node, with what it works with."""

    llm: BaseChatModel
    budget: Budget
    max_answer_tokens: int
    prompt: str | Path
    guard: Guard | None = None

    def node(self, name: str) -> Any:
        """The node of the body `name`."""
        body = getattr(self, name)
        return node(name, body if self.guard is None else guarded(body, self.guard))

    def answer(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Asks the model, and streams its sentences."""
        purse, reading, write = Purse(self.budget, state), Reading(), get_stream_writer()
        speech = None if self.guard is None else Speech(self.guard, speech_context(state, []), write)
        messages = render_prompt(__package__ or "", self.prompt, question=state["asked"])
        refused = purse.refusal(tokens=prompt_tokens(self.llm, messages) + self.max_answer_tokens)
        if not refused:
            # Nothing was retrieved, so there is nothing to judge by: the critic finds no passage.
            yield ReadAloud(
                self.llm,
                messages,
                state["asked"],
                [],
                OverlapCritic(),
                reading,
                self.max_answer_tokens,
                purse.deadline,
                write,
                speech,
            )
        _tell(step, reading, refused)
        why = told_of(speech, step)["withheld"] if speech else ""
        if why and not reading.sentences:
            return {**withheld(step, f"the guard blocks the answer: {why}"), "usage": reading.usage}
        return _update(reading)


def _tell(step: Step, reading: Reading, refused: str) -> None:
    step["decision"] = f"{len(reading.sentences)} sentences" if reading.sentences else "abstain"
    step["reason"] = "from the model's own knowledge; nothing was checked"
    if not reading.sentences:
        said_nothing = "the model does not know" if reading.declined else "the model said nothing"
        step["reason"] = refused or reading.failed or said_nothing
    step["details"] = {"first_token_ms": reading.first_token_ms}


def _update(reading: Reading) -> dict[str, Any]:
    abstained = not reading.sentences
    answer = " ".join(sentence.text for sentence in reading.sentences)
    if abstained:
        answer = f"The language model failed: {reading.failed}" if reading.failed else NO_ANSWER
    return {
        "answer": answer,
        "abstained": abstained,
        "error": reading.failed,
        "usage": reading.usage,
        "messages": [AIMessage(answer, additional_kwargs={"citations": [], "abstained": abstained})],
    }
