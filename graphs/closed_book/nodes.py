"""The node of closed book, sync and async."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.runnables import RunnableLambda
from langgraph.config import get_stream_writer

from ...models import limit_answer
from ..common.prompts import render_prompt
from ..common.reading import Reading, aread, read
from ..common.state import timed_step
from ..common.support import OverlapCritic
from .state import ClosedBookState

__all__ = ("ClosedBookNodes",)

NO_ANSWER = "I don't know."


@dataclass(frozen=True)
class ClosedBookNodes:
    """The node, with what it works with."""

    llm: BaseChatModel
    max_answer_tokens: int
    prompt: str | Path

    @property
    def answer(self) -> Any:
        """Asks the model, and streams its sentences."""
        return RunnableLambda(self._answer, afunc=self._aanswer)

    def _answer(self, state: ClosedBookState) -> dict[str, Any]:
        reading = Reading()
        write = get_stream_writer()
        with timed_step("answer") as step:
            limit = limit_answer(self.llm, self.max_answer_tokens)
            # Nothing was retrieved, so there is nothing to judge by: the critic finds no passage.
            for sentence in read(self.llm, self._prompt(state), state["asked"], [], OverlapCritic(), reading, **limit):
                write({"type": "sentence", "text": sentence.text, "citations": []})
            _tell(step, reading)
        return _update(reading, step)

    async def _aanswer(self, state: ClosedBookState) -> dict[str, Any]:
        reading = Reading()
        write = get_stream_writer()
        with timed_step("answer") as step:
            limit = limit_answer(self.llm, self.max_answer_tokens)
            async for sentence in aread(
                self.llm, self._prompt(state), state["asked"], [], OverlapCritic(), reading, **limit
            ):
                write({"type": "sentence", "text": sentence.text, "citations": []})
            _tell(step, reading)
        return _update(reading, step)

    def _prompt(self, state: ClosedBookState) -> list[BaseMessage]:
        return render_prompt(__package__ or "", self.prompt, question=state["asked"])


def _tell(step: Any, reading: Reading) -> None:
    step["decision"] = f"{len(reading.sentences)} sentences" if reading.sentences else "abstain"
    step["reason"] = "from the model's own knowledge; nothing was checked"
    if not reading.sentences:
        step["reason"] = "the model does not know" if reading.declined else "the model said nothing"
    step["details"] = {"first_token_ms": reading.first_token_ms}


def _update(reading: Reading, step: Any) -> dict[str, Any]:
    abstained = not reading.sentences
    answer = NO_ANSWER if abstained else " ".join(sentence.text for sentence in reading.sentences)
    return {
        "answer": answer,
        "abstained": abstained,
        "usage": reading.usage,
        "messages": [AIMessage(answer, additional_kwargs={"citations": [], "abstained": abstained})],
        "steps": [step],
    }
