"""What is kept in the long-term memory: what a user asks to be kept, in so many words, and nothing else."""

from __future__ import annotations

import re

__all__ = ("fact_to_remember", "refusal_of_fact")

MOST_CHARACTERS = 500
"""Of a fact. It is shown with later questions, and must not push the passages out."""

_REMEMBER = re.compile(r"\W*(?:please\W+)?remember(?:\s+this)?\s*(?:\bthat\b|[:,])\s*(?P<fact>\S.*)", re.I | re.S)


def fact_to_remember(said: str) -> str:
    """The fact in "remember that ..." or "remember: ..."; empty where nothing is to be kept.

    What contains a question is a question ("Remember that hotel? What was it called?"). Only what a user says is ever
    looked at: a document, a tool or the model cannot put anything into the memory.

    >>> fact_to_remember("Please remember that I work in the Vienna office.")
    'I work in the Vienna office.'
    >>> fact_to_remember("Do you remember that I work in Vienna?")
    ''
    """
    found = None if "?" in said else _REMEMBER.fullmatch(said)
    return " ".join(found["fact"].split()) if found else ""


def refusal_of_fact(fact: str) -> str:
    """Why a fact is neither kept nor shown; empty for one that may be. It is said to the user.

    >>> refusal_of_fact("very " * 200)
    'That is too long to remember: at most 500 characters.'
    """
    return f"That is too long to remember: at most {MOST_CHARACTERS} characters." if len(fact) > MOST_CHARACTERS else ""
