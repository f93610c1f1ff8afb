"""Asking the model for a question: for question and answer, or, where it cannot do that, for a question to an answer.

A small model that does not keep to "a question and its answer" is given a sentence and the answer (a number, a date, a
name in it), and has only to turn it into a question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...graphs.common.prompting import render_prompt
from ...models import limit_answer, model_errors
from ...sentences import sentence_spans
from ..answer_sets import share_of
from .names import MONTHS
from .replies import ANSWER_WORDS, find_pair

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage

    from .passages import Passage

__all__ = ("QuestionWriter",)

REPLY_TOKENS = 96
"""Enough for a question of 30 words and an answer of 12; small models babble on."""
ASTRAY = 3
"""After so many replies in a row without question and answer, the model is no longer asked for both."""
SENTENCE_WORDS = range(5, 41)
"""Below: a heading. Above: a list or a table, of which a small model asks about the whole."""

_FACTS = (
    re.compile(rf"\b\d{{1,2}} (?:{'|'.join(MONTHS)})(?: \d{{4}})?\b"),  # 30 June 2024
    re.compile(r"\b(?:EUR|USD|GBP|CHF) ?\d[\d.,]*\d\b|[$€£] ?\d[\d.,]*\b"),  # EUR 1,200 and $5
    re.compile(r"\b\d[\d.,:]*(?: (?:percent|[a-z]{3,}))\b"),  # 25 days
    re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve) [a-z]{3,}\b"),  # six players
    re.compile(r"(?<=[a-z,] )[A-Z][a-z]+(?: [A-Z][a-z]+)+\b"),  # Maria Costa, not as the first words
)
"""What a short answer can be."""


class QuestionWriter:
    """Writes a question about a passage. It remembers whether the model has shown that it cannot give an answer too.

    >>> QuestionWriter(llm).ask(passage)  # doctest: +SKIP
    'Question: How many players does each team have?\\nAnswer: six'
    """

    def __init__(self, llm: BaseChatModel, *, seed: int = 0) -> None:
        self.llm = llm
        self.seed = seed
        self.astray = 0
        """Replies in a row without question and answer."""

    def ask(self, passage: Passage) -> str:
        """A reply for `read_reply`, empty where there is nothing to ask. Raises `ModelError`.

        One sentence is pointed out to the model, so that not every question is about the first one.
        """
        sentences = [" ".join(passage.text[start:end].split()) for start, end in sentence_spans(passage.text)]
        told = [each for each in sentences if len(each.split()) in SENTENCE_WORDS and "|" not in each]  # "|": a table
        told.sort(key=lambda each: share_of(f"{passage.id}{each}", seed=self.seed, salt="about"))
        if self.astray < ASTRAY:
            asked = {"passage": passage.text, "context": passage.context, "about": told[0] if told else ""}
            reply = self._invoke("make_question", **asked, words=ANSWER_WORDS)
            if find_pair(reply) is not None:
                self.astray = 0
                return reply
            self.astray += 1
        return self._ask_to_answer(passage, told)

    def _ask_to_answer(self, passage: Passage, sentences: Sequence[str]) -> str:
        for sentence in sentences:
            facts = [found.group() for pattern in _FACTS for found in pattern.finditer(sentence)]
            if facts:
                answer = facts[int(share_of(sentence, seed=self.seed) * len(facts))]
                reply = self._invoke("write_question", context=passage.context, about=sentence, answer=answer)
                first = next((line for line in reply.splitlines() if line.strip()), "")
                question = re.sub(r"^\W*question\W*:", "", first, flags=re.IGNORECASE)
                return f"Question: {question.strip()}\nAnswer: {answer}"
        return ""

    def _invoke(self, prompt: str, **variables: object) -> str:
        messages = list(_as_turns(render_prompt(__package__ or "", prompt, **variables)))
        with model_errors():
            limit: dict[str, Any] = dict(limit_answer(self.llm, REPLY_TOKENS))
            return str(self.llm.invoke(messages, **limit).text)


def _as_turns(messages: Sequence[BaseMessage]) -> Iterator[BaseMessage]:
    """Examples as the turns that they stand for: small models follow those, not descriptions."""
    from langchain_core.messages import AIMessage, HumanMessage

    for at, message in enumerate(messages):
        asked, mark, said = str(message.text).partition("\n--- assistant\n")
        if mark and at < len(messages) - 1:  # the last one holds a passage, which may hold anything
            yield from (HumanMessage(asked), AIMessage(said))
        else:
            yield message
