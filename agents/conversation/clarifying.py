"""When to ask back instead of guessing, and the question to ask."""

from __future__ import annotations

from collections.abc import Mapping

from langchain_core.messages import AIMessage

from .history import OFFERED, History

__all__ = ("clarification", "should_clarify")

MOST_CANDIDATES = 3


def should_clarify(
    scores: Mapping[str, float], history: History | None = None, *, sure: float = 0.6, margin: float = 0.15
) -> list[str]:
    """What to let the user choose from, best first; empty where nothing needs to be asked.

    Asked where the best candidate is below `sure` and others come within `margin` of it. Never twice in a row: where
    the last answer was a clarifying question, the best candidate is taken as it is.

    Args:
        scores: candidate, as the user would call it, to probability: of the sources, strategies or readings.
        history: the conversation so far.
        sure: from this probability on nothing is asked.
        margin: how near a candidate must be to the best to be offered.

    Example:
        >>> should_clarify({"the travel policy": 0.41, "the expense table": 0.38, "the web": 0.02})
        ['the travel policy', 'the expense table']
    """
    if not scores or (history and history.turns and history.turns[-1].offered):
        return []
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    best = ranked[0][1]
    near = [name for name, score in ranked if score >= best - margin][:MOST_CANDIDATES]
    return near if best < sure and len(near) > 1 else []


def clarification(candidates: list[str]) -> AIMessage:
    """The clarifying question as an answer; `History.from_messages` knows it again.

    >>> clarification(["the travel policy", "the expense table"]).text
    'Do you mean the travel policy or the expense table?'
    """
    *first, last = candidates
    text = f"Do you mean {', '.join(first)} or {last}?"
    return AIMessage(text, additional_kwargs={OFFERED: list(candidates), "citations": [], "abstained": False})
