"""What of a thread may reach a prompt: not what answers no question, and not what a guard holds back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.messages import AnyMessage

from ...guarding import Finding
from ..conversation.history import History
from ..conversation.summary import ThreadSummary

__all__ = ("ASIDE", "earlier_unscreened", "history_of", "is_blocked", "screened", "summary_of")

ASIDE = "aside"
"""Key in the `additional_kwargs` of a message that answers no question: follow-ups do not go back to it."""
SCREENED = "screened"
"""Key in those of a user's message that a guard has seen: what of it may reach a prompt, empty for nothing of it."""


def is_blocked(finding: Finding) -> bool:
    """Whether nothing of the text may be used; a text that was changed to nothing is no question either."""
    return finding.verdict == "block" or not finding.text.strip()


def screened(message: AnyMessage, finding: Finding) -> AnyMessage:
    """The user's message, word for word, with what of it may reach a prompt."""
    shown = "" if is_blocked(finding) else finding.text.strip()
    return message.model_copy(update={"additional_kwargs": {**message.additional_kwargs, SCREENED: shown}})


def earlier_unscreened(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """What the user said before this question that no guard has seen: without one, or in a run that was killed."""
    said = [message for message in messages if message.type == "human"]
    return [message for message in said[:-1] if SCREENED not in message.additional_kwargs]


def summary_of(state: Mapping[str, Any]) -> ThreadSummary:
    """Of the thread's oldest turns."""
    return state.get("thread_summary") or ThreadSummary(text="", turns=0)


def history_of(state: Mapping[str, Any]) -> History:
    """The turns before this question, as prompts may show them."""
    messages: list[AnyMessage] = []
    held_back = False
    for message in state.get("messages") or []:
        if message.type == "human":
            shown = message.additional_kwargs.get(SCREENED)
            held_back = shown == ""
            if shown:
                message = message.model_copy(update={"content": shown})
        if held_back:  # the question, and what was said to it
            continue
        if message.additional_kwargs.get(ASIDE) and messages:
            messages.pop()
        else:
            messages.append(message)
    summary = summary_of(state)
    return History.from_messages(messages, summary=summary["text"], summarised=summary["turns"])
