"""What is said where nothing is looked up: fixed sentences, so that no model can claim anything about the documents."""

from __future__ import annotations

import re

__all__ = ("OUT_OF_SCOPE", "small_talk_reply")

OUT_OF_SCOPE = "I cannot help with that: I only answer questions about the documents that I was given."
_HELLO = "Hello! What would you like to know?"
_REPLIES = (
    (r"\b(?:thanks?|thank you|thx|cheers)\b", "You're welcome."),
    (r"\b(?:good)?bye\b|\bsee you\b|\btake care\b|\bhave a \w+ \w+", "Goodbye!"),
    (
        r"\b(?:who|what) are you\b|\byour name\b|\byou (?:do|work|help)\b|\bhelp\b|\bare you an?\b",
        "I am an assistant. I answer questions about the documents that I was given, and show where it stands.",
    ),
    (r"\bhow are you\b|\bgoing\b|\bwhat'?s up\b", "I am fine, thank you. What would you like to know?"),
)


def small_talk_reply(said: str) -> str:
    """The reply to what was said; a greeting where nothing else fits.

    >>> small_talk_reply("Thanks a lot!"), small_talk_reply("Hi there")
    ("You're welcome.", 'Hello! What would you like to know?')
    """
    plain = " ".join(said.replace("’", "'").split())
    return next((reply for cue, reply in _REPLIES if re.search(cue, plain, re.IGNORECASE)), _HELLO)
