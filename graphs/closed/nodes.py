"""The node of closed book."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer

from ...types import Budget, Step
from ..common.asking import prompt_tokens
from ..common.effects import Doing, node
from ..common.prompting import render_prompt
from ..common.purse import Purse
from ..common.reading import ReadAloud, Reading
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

    def node(self, name: str) -> Any:
        """The node of the body `name`."""
        return node(name, getattr(self, name))

    def answer(self, state: Any, step: Step) -> Doing[dict[str, Any]]:
        """Asks the model, and streams its sentences."""
        purse, reading = Purse(self.budget, state), Reading()
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
                get_stream_writer(),
            )
        _tell(step, reading, refused)
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
