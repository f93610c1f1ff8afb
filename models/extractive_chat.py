"""The chat model behind `reader:PATH`: it reads a drafter's prompt, and its draft is the words that answer.

An extractive reader writes nothing: its rationale is a sentence of a passage, its answer words of that sentence. So it
is asked as drafters are (`prompt="draft"`), and every graph that takes a drafter as reader takes it. It is no chat
model besides: other prompts are refused.
"""

from __future__ import annotations

import re
from typing import Any

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from pydantic import Field

from ..errors import ModelError
from ..markdown import table_row
from ..sentences import sentence_spans
from .drafts import Draft, render_draft
from .extractive import AnswerSpan, ExtractiveReader

__all__ = ("ExtractiveChatModel", "passages_of_prompt")

_PASSAGE = re.compile(r"\[[1-9][0-9]*\] ?(.*)")
_QUESTION = "Question: "
_HEADING_ENDS = ": "


def passages_of_prompt(text: str) -> tuple[str, list[str]] | None:
    """Question and passages of a user message made by `prompts/drafter.jinja`, where each stands on a line of its own;
    None for any other text.

    >>> passages_of_prompt("Passages:\\n\\n[1] Tower: It opened in 1889.\\n\\nQuestion: When did it open?")
    ('When did it open?', ['Tower: It opened in 1889.'])
    """
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) < 2 or lines[0] != "Passages:" or not lines[-1].startswith(_QUESTION):
        return None
    found = [_PASSAGE.fullmatch(line) for line in lines[1:-1]]
    return (lines[-1].removeprefix(_QUESTION), [each[1] for each in found if each]) if all(found) else None


class ExtractiveChatModel(BaseChatModel):
    """An `ExtractiveReader` as a LangChain chat model. Made by `load_chat_model("reader:...")`."""

    reader: Any = Field(exclude=True)
    """The `ExtractiveReader`."""
    abstain_below: float | None = None
    """Score of a span below which nothing answers; None: the best span is the answer."""

    @property
    def _llm_type(self) -> str:
        return "ragloom-reader"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model": self.fingerprint}

    @property
    def fingerprint(self) -> str:
        """Changes when its answers may."""
        return f"{self.reader.artifact.fingerprint}, abstain below {self.abstain_below}"

    @property
    def context_window(self) -> int:
        """Tokens of a prompt: what is longer than the encoder reads is read in windows."""
        return 1 << 15

    def get_num_tokens(self, text: str) -> int:
        """Tokens of plain text by the encoder's own tokenizer."""
        return int(self.reader.count_tokens(text))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        prompt = str(messages[-1].text) if messages else ""
        asked = passages_of_prompt(prompt)
        if asked is None:
            raise ModelError(
                "a reader answers a question from passages, and does nothing else",
                hint='ask it with prompt="draft", or name it as the reader beside a chat model',
            )
        reader: ExtractiveReader = self.reader
        question, passages = asked
        best = reader.best(question, passages)
        text = render_draft(_draft(best, passages, self.abstain_below))
        tokens = [self.get_num_tokens(prompt), self.get_num_tokens(text)]
        usage = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
        told = {"span_score": best.score if best else float("-inf")}
        message = AIMessage(text, usage_metadata=usage, response_metadata=told)
        return ChatResult(generations=[ChatGeneration(message=message)])


def _draft(best: AnswerSpan | None, passages: list[str], abstain_below: float | None) -> Draft:
    """The span with the sentence or table row around it as rationale; that alone where nothing answers."""
    if best is None:
        return Draft(abstained=True)
    text = passages[best.passage]
    start, end = table_row(text, best.start) or next(
        (span for span in sentence_spans(text) if span[0] <= best.start < span[1]), (best.start, best.end)
    )
    if start == 0 and (heading := text.rfind(_HEADING_ENDS, 0, best.start)) >= 0:
        start = heading + len(_HEADING_ENDS)  # what stands above a passage is no part of it: no quote of it
    sure = abstain_below is None or best.score >= abstain_below
    answer = text[best.start : best.end] if sure else ""
    return Draft(text[start : max(end, best.end)], answer, (best.passage + 1,), abstained=not sure)
