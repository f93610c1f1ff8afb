"""What a pair classifier is shown of a question, a claim and a passage: one writing, in training and in use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ("claim_text", "graded_text", "passage_context", "passage_text")


def passage_text(text: str, context: str = "") -> str:
    """A passage with what stands above it (title, headings), where its own text does not say that already.

    >>> passage_text("It has 25 days.", "Leave")
    'Leave: It has 25 days.'
    >>> passage_text("Leave is 25 days.", "leave")
    'Leave is 25 days.'
    """
    context = " ".join(context.split())
    said = " ".join(text.split()).casefold()
    return text if not context or context.casefold() in said else f"{context}: {text}".strip()


def passage_context(metadata: Mapping[str, Any]) -> str:
    """What stands above a passage, as readers are shown it: its headings, else its document's title."""
    return str(metadata.get("headings") or metadata.get("title") or "")


def graded_text(text: str, metadata: Mapping[str, Any]) -> str:
    """A passage, or a part of one, as evaluators are trained to read it: behind what stands above it."""
    return passage_text(text, passage_context(metadata))


def claim_text(claim: str, question: str = "") -> str:
    """A claim after the question that it answers: "25 days." alone would find support anywhere.

    >>> claim_text("25 days.", "How much leave is there?")
    'How much leave is there? 25 days.'
    """
    return f"{question.strip()} {claim.strip()}".strip()
