"""The turns of a conversation, as the rewriting of a question reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from langchain_core.messages import AnyMessage

__all__ = ("OFFERED", "History", "Turn")

OFFERED = "offered"
"""Key in an answer's `additional_kwargs`: what a clarifying question offers, as `clarification` writes it."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user asked and what was answered."""

    question: str
    answer: str = ""
    """Empty where nobody answered, and where the answer was an abstention: that says nothing about the subject."""
    offered: tuple[str, ...] = ()
    """Set where the answer was a clarifying question: what it let the user choose from."""

    def text(self) -> str:
        """As a prompt shows it."""
        return f"User: {self.question}\nAssistant: {self.answer}" if self.answer else f"User: {self.question}"


@dataclass(frozen=True, slots=True)
class History:
    """Earlier turns, oldest first, and a summary of what went before them.

    >>> History.of(["What is throat cancer?"]).turns
    (Turn(question='What is throat cancer?', answer='', offered=()),)
    """

    turns: tuple[Turn, ...] = ()
    summary: str = ""
    """By the model's words. It helps to understand a question; it is no evidence, and nothing cites it."""

    @classmethod
    def of(cls, given: History | Sequence[Turn | str]) -> History:
        """A history of turns, or of what the user alone said."""
        if isinstance(given, History):
            return given
        return cls(tuple(turn if isinstance(turn, Turn) else Turn(turn) for turn in given))

    @classmethod
    def from_messages(cls, messages: Sequence[AnyMessage], *, summary: str = "", summarised: int = 0) -> History:
        """The turns before the question that is asked now: a last user message that nobody answered is that question.

        `summary` stands for the first `summarised` turns, as `summarise_thread` counted them.
        """
        turns: list[Turn] = []
        answered = True
        for message in messages:
            text = str(message.text).strip()
            if message.type == "human":
                turns.append(Turn(text))
                answered = False
            elif message.type == "ai" and text and turns:
                extra = message.additional_kwargs
                answer = "" if extra.get("abstained") else text
                turns[-1] = replace(turns[-1], answer=answer, offered=tuple(map(str, extra.get(OFFERED) or ())))
                answered = True
        if not answered:
            turns.pop()
        return cls(tuple(turns[summarised:]), summary)

    def text(self) -> str:
        """All of it, as a prompt shows it."""
        earlier = [f"Earlier: {self.summary}"] if self.summary else []
        return "\n".join([*earlier, *(turn.text() for turn in self.turns)])

    def newest(self, tokens: int, count: Callable[[str], int]) -> History:
        """The newest turns that fit into so many tokens, whole, beside the summary. `count` counts those of a text."""
        left = tokens - (count(self.summary) if self.summary else 0)
        kept: list[Turn] = []
        for turn in reversed(self.turns):
            left -= count(turn.text())
            if left < 0:
                break
            kept.append(turn)
        return replace(self, turns=tuple(reversed(kept)))
