"""Continuing a model's own turn, and what of that is the next segment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, BaseMessage

from ... import models
from ...models.reflections import PARAGRAPH, REFLECTIVE_PROMPT, RELEVANCE, RETRIEVE, SUPPORT, TOKENS, plain_text
from ..common.prompting import render_prompt
from ..common.saying import SentenceSplitter
from ..common.segment_beam import Path
from ..common.segment_score import relevance_score
from .state import Decision

__all__ = ("Opening", "messages_of", "sentence_of", "stops_of", "turn_of", "written_so_far")

_ANY = re.compile("|".join(re.escape(token) for token in TOKENS))


@dataclass(frozen=True, slots=True)
class Opening:
    """The beginning of a segment, before its sentence."""

    path: Path
    decision: Decision
    document: Document | None
    relevance: Mapping[str, float | None]
    """p([Relevant]) and p([Irrelevant]); empty where they were not asked for, or are unknown."""

    @property
    def before(self) -> str:
        """What stands before its relevance token: all that was written, the retrieve token, the passage."""
        so_far = written_so_far(self.path)
        if self.decision == "plain" or self.document is None:
            return so_far + RETRIEVE["no"]
        if self.decision == "continue":
            return so_far + RETRIEVE["continue"]
        # The passage is cleaned of reflection tokens: it must not be able to judge itself.
        return f"{so_far}{RETRIEVE['yes']}{PARAGRAPH[0]}{plain_text(self.document.page_content)}{PARAGRAPH[1]}"

    @property
    def is_rel(self) -> float | None:
        """s_rel of its passage."""
        return relevance_score(self.relevance.get("relevant"), self.relevance.get("irrelevant"))

    @property
    def text(self) -> str:
        """The same with its relevance token, the likelier of the two: what the model would write greedily."""
        if self.decision != "retrieve" or self.document is None:
            return self.before
        doubted = self.is_rel is not None and self.is_rel < 0.5
        return self.before + RELEVANCE["irrelevant" if doubted else "relevant"]


def written_so_far(path: Path) -> str:
    """All that a path has written, tokens and passages included."""
    return "".join(segment["written"] for segment in path["segments"])


def messages_of(question: str) -> list[BaseMessage]:
    """The prompt that the model was trained on."""
    return render_prompt(models.__name__, REFLECTIVE_PROMPT, question=question)


def turn_of(question: str, begun: str) -> list[BaseMessage]:
    """The same with the assistant's turn begun: the server goes on with it."""
    return [*messages_of(question), AIMessage(begun)]


def stops_of(opening: Opening) -> list[str]:
    """Where the model's sentence is over. Four, for some servers take no more; what comes behind another token is cut
    off by `sentence_of`.
    """
    return [*(RETRIEVE if opening.decision == "plain" else SUPPORT).values(), "[Utility:"]


def sentence_of(said: str, begun: str) -> str:
    """The first sentence of what was said, up to the first reflection token. llama.cpp's server repeats the turn that
    it was given, others do not.

    >>> sentence_of("[No Retrieval]Hello. And you?[Utility:5]", "[No Retrieval]")
    'Hello.'
    """
    text = _ANY.split(said.removeprefix(begun), maxsplit=1)[0].partition("[Utility:")[0]
    splitter = SentenceSplitter()
    return next((plain_text(sentence) for sentence in (*splitter.feed(text), *splitter.close())), "")
