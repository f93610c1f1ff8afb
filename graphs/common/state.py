"""Input, output and common state of every strategy, and the steps that record what was done."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

from langchain_core.documents import Document
from langchain_core.messages import AnyMessage
from langgraph.graph.message import add_messages
from langgraph.types import Overwrite
from typing_extensions import TypedDict

from ...errors import UsageError
from ...types import Citation, Step, Usage, add_usage

__all__ = ("StrategyInput", "StrategyOutput", "StrategyState", "begin", "timed_step")


class StrategyInput(TypedDict, total=False):
    """What a strategy is asked: a question, or a conversation whose last user message is the question."""

    question: str
    messages: Annotated[list[AnyMessage], add_messages]


class StrategyOutput(TypedDict, total=False):
    """What every strategy gives."""

    answer: str
    abstained: bool
    """True where nothing in the passages supports an answer; `documents` then shows the nearest passages."""
    citations: list[Citation]
    documents: list[Document]
    """The passages that were read, best first."""
    error: str
    """Why the model could not be read to its end; empty where nothing failed. What it had said before counts."""
    steps: Annotated[list[Step], operator.add]
    usage: Annotated[Usage, add_usage]
    messages: Annotated[list[AnyMessage], add_messages]


class StrategyState(StrategyOutput, total=False):
    """State of a run. `question` is written once, by `begin`; what changes is `search_queries`."""

    question: str
    asked: str
    """The question of this run: `question`, or the last user message; under a guard, what that lets be asked of it."""
    seen_question: str
    """`question` as an earlier turn found it: in a thread it stays, and a message may be newer."""
    search_queries: list[str]
    """What the retriever is asked: the question, and what a transform made of it."""
    hypotheses: list[str]
    """Passages that might answer the question, made up by a transform."""
    draft: list[dict[str, Any]]
    """Checked sentences between reading and citing: {text, citations}."""
    passed: str
    """Of the draft what a guard has passed, as a whole; empty where there is none."""
    withheld: str
    """Why the guard ended the answer; empty where it did not."""
    declined: bool
    """The model said itself that the passages do not hold the answer."""
    hops: Annotated[int, operator.add]
    """Rounds of retrieval so far."""
    elapsed: Annotated[float, operator.add]
    """Seconds of work so far: waiting for a person, or for a killed run to go on, does not count."""


def begin(state: StrategyState) -> dict[str, Any]:
    """First node of every graph: finds the question and clears what an earlier turn of the thread left behind."""
    messages = state.get("messages", [])
    # In a thread, `question` stays from an earlier turn: then a user message that nobody answered is newer.
    stays = bool(state.get("asked")) and state.get("question", "") == state.get("seen_question", "")
    newer = bool(stays and messages and messages[-1].type == "human")
    asked = (not newer and state.get("question")) or _last_user_message(messages)
    if not asked or not asked.strip():
        raise UsageError("there is no question", hint="give `question`, or `messages` that end with a user message")
    return {
        "asked": asked.strip(),
        "seen_question": state.get("question", ""),
        "search_queries": [asked.strip()],
        "hypotheses": [],
        "answer": "",
        "abstained": False,
        "citations": [],
        "documents": [],
        "error": "",
        "draft": [],
        "passed": "",
        "withheld": "",
        "declined": False,
        "hops": Overwrite(0),
        "elapsed": Overwrite(0.0),
        "steps": Overwrite([]),
        "usage": Overwrite(add_usage(None, None)),
    }


def _last_user_message(messages: list[AnyMessage]) -> str:
    return next((str(message.text) for message in reversed(messages) if message.type == "human"), "")


@contextmanager
def timed_step(node: str) -> Iterator[Step]:
    """A step that is filled inside the block and timed by it.

    with timed_step("retrieve") as step:
        step["decision"] = "5 passages"
    """
    step = Step(node=node, decision="", reason="", ms=0.0)
    began = time.perf_counter()
    try:
        yield step
    finally:
        step["ms"] = round((time.perf_counter() - began) * 1000, 1)
