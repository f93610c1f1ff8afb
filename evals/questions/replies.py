"""What a model says, read leniently and checked strictly.

A question is in words of the passage and about no "passage", and its answer stands word by word in the passage.
"""

from __future__ import annotations

import json
import re
from functools import cache

from ..text_metrics import contains, normalize

__all__ = ("ANSWER_WORDS", "find_pair", "read_reply")

ANSWER_WORDS = 12
"""Longer answers are never repeated word by word, so no metric could score them."""
QUESTION_WORDS = range(3, 31)
"""Below: "Days?". Above: a passage put as a question."""
MOST_FOREIGN = 0.5
"""Share of a question's content words that the passage may lack: people use synonyms, but not for every word."""

# Question: Who may park? / **Question 1:** Who may park? / Q: Who may park?
_QUESTION = re.compile(r"(?:^|[\s*])(?:question|q)\s*\d*\W*?:\W*(.+)$", re.IGNORECASE | re.MULTILINE)
_ANSWER = re.compile(r"(?:^|[\s*])(?:answer|a)\s*\d*\W*?:\s*(.+)$", re.IGNORECASE | re.MULTILINE)
# What does the passage say of parking? Nobody who asks sees a passage.
_SPEAKS_OF_TEXT = re.compile(
    r"\b(?:passages?|paragraph|excerpt|author|according to|(?:the|this) (?:text|document|article|section|table)"
    r"|mentioned|described above)\b",
    re.IGNORECASE,
)
# Who pays for it?
_POINTS_NOWHERE = re.compile(
    r"^(?:what|who|when|where|how|why|which)\b[^?]*\b(?:it|they|he|she|this|that)\?$", re.IGNORECASE
)
_FUNCTION_WORDS = (
    "what who when where how why which whose whom much many long often do does did is are was were be been has have "
    "had can could must may should will would the a an of in on at to for by with from and or not if as it any there"
)


def find_pair(reply: str) -> tuple[str, str] | None:
    """Question and answer as they stand in a reply, as JSON or in lines; None where there are not both.

    >>> find_pair('Sure! {"question": "Who may park?", "answer": "Visitors"}')
    ('Who may park?', 'Visitors')
    """
    try:
        start, end = reply.index("{"), reply.rindex("}") + 1
        told = json.loads(reply[start:end])
        return str(told["question"]), str(told["answer"])
    except (ValueError, KeyError, TypeError):
        pass
    question = _QUESTION.search(reply)
    answer = _ANSWER.search(reply, question.end()) if question else None
    return (question.group(1), answer.group(1)) if question and answer else None


def read_reply(reply: str, passage: str, context: str = "") -> tuple[str, str] | str:
    """Question and answer of a reply, or why there is none. `context` is the passage's title and headings.

    >>> read_reply("Sure! **Question:** Who may park?\\n**Answer:** Visitors.", "Visitors may park here.")
    ('Who may park?', 'Visitors')
    >>> read_reply("Question: Who?\\nAnswer: Staff", "Visitors may park here.")
    'question too short or too long'
    """
    found = find_pair(reply)
    if found is None:
        return "no question with an answer"
    question, answer = (" ".join(each.split()).strip(" *\"'`") for each in found)
    answer = answer.rstrip(".")
    plain = normalize(answer)
    checks = {
        "does not end in a question mark": not question.endswith("?") or question.count("?") > 1,
        "question too short or too long": len(question.split()) not in QUESTION_WORDS,
        "speaks of the text": bool(_SPEAKS_OF_TEXT.search(question)),
        "does not say what it is about": bool(_POINTS_NOWHERE.search(question)),
        "no answer, or too long": not plain or len(plain.split()) > ANSWER_WORDS,
        "answered by yes or no": plain in ("yes", "no", "true", "false"),
        "answer not in the passage": not contains(passage, [answer]),
        "answer stands in the question": bool(contains(question, [answer])),
        "is about something else": _foreign(question, f"{context} {passage}") > MOST_FOREIGN,
    }
    return next((reason for reason, fails in checks.items() if fails), None) or (question, answer)


def _foreign(question: str, passage: str) -> float:
    """Share of the question's content words that the passage does not have, in whatever inflection."""
    words = _stems(question) - _function_stems()
    return len(words - _stems(passage)) / len(words) if words else 1.0


def _stems(text: str) -> set[str]:
    import snowballstemmer

    return set(snowballstemmer.stemmer("english").stemWords(re.findall(r"\w+", text.lower())))


@cache
def _function_stems() -> set[str]:
    return _stems(_FUNCTION_WORDS)
