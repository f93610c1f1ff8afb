"""Is a question a follow-up? Rules that cost nothing, tuned on TREC CAsT 2019."""

from __future__ import annotations

import re

from .phrases import phrases_in

__all__ = ("ANAPHOR", "PERSONAL", "why_follow_up")

FEW_WORDS = 2
"""Content words of a question that may be too few to stand alone."""

PERSONAL = re.compile(r"\b(?:he|him|his|she|her|hers)\b", re.I)
ANAPHOR = re.compile(r"\b(?:it|its|they|them|theirs?|he|him|his|she|hers?|this|these|those)\b", re.I)
_POSSESSIVE = re.compile(r"its|theirs?|his|hers?", re.I)
_POINTS = re.compile(
    r"\b(?:of|about|like|does|is|did|was|do|after|before|with|for|than|to) that\b(?! \w+ (?:is|are))", re.I
)
_POINTS_AT_END = re.compile(r"\b(?:that|there|then)\W*$", re.I)
_OTHER = re.compile(r"\b(?:ones?|another|(?<!each )others?(?! than)|else|such|former|latter|both|same|any)\b", re.I)
_GOES_ON = re.compile(r"^\W*(?:and|but|or|so|then|also)\b", re.I)
_FRAGMENT = re.compile(r"^\W*(?:if|in|for|at|on|with|without|from|by)\b(?=(?:\W+\w+){1,6}\W*$)", re.I)
"""A condition or a place without a question: "In Vienna?", "If I live in Spain?"."""
_WHAT_ABOUT = re.compile(r"^\W*(?:what|how) about\b", re.I)
_COMPARES = re.compile(
    r"\b(?:more|less|better|worse|cheaper|bigger|smaller|older|younger|larger|longer|faster)\b", re.I
)
_NEW_CLAUSE = re.compile(
    r"\b(?:and|but|if|when|so)\b\W*(?:(?:why|how|where|when|what|who|is|are|was|were|did|does|do|can|should|will)\W+)*$",
    re.I,
)
_ASPECTS = (
    "definition|types?|kinds?|examples?|causes?|history|benefits|(?:dis)?advantages|role|cost|symptoms|importance"
)
_INTRODUCES = re.compile(
    r"^\W*(?:(?:what|who) (?:is|are|was|were)|tell me(?: more)? about|describe|define|explain)(?: an?)? "
    r"(?!(?:the|typical|popular|common|important|some|natural)\b)(?!.*\bthe\b)[^?.]*\W*$"
    rf"|.*\b(?:{_ASPECTS}|effects) of (?!the\b)[^?.]+\W*$",
    re.I,
)
"""It names a subject of its own: "What is anemia?", "the symptoms of anemia"."""


def why_follow_up(question: str) -> str:
    """Why the question cannot be understood alone; empty where it can.

    Pronouns, "and ...", "what about ...", "the other one", comparatives without a second side, and questions of so few
    words that they name no subject. A question that introduces its subject ("What is anemia?") stands alone.

    >>> why_follow_up("Is it treatable?"), why_follow_up("What is anemia?")
    ('the pronoun "it"', '')
    """
    subjects = phrases_in(question)
    if (found := ANAPHOR.search(question)) and not _explained_before(question[: found.start()], found.group()):
        return f'the pronoun "{found.group()}"'
    if found := _POINTS.search(question) or _POINTS_AT_END.search(question):
        return f'"{found.group().strip(" ?.!")}" points back'
    if len(subjects) < 2 and (found := _OTHER.search(question)):
        return f'"{found.group()}" points back'
    if found := _GOES_ON.match(question) or _WHAT_ABOUT.match(question) or _FRAGMENT.match(question):
        return f'it begins with "{found.group().strip()}"'
    if not subjects:
        return "it names no subject"
    if not any(phrase.is_name for phrase in subjects) and not _INTRODUCES.match(question):
        if _COMPARES.search(question) and not re.search(r"\b(?:than|or)\b", question, re.I) and len(subjects) < 2:
            return "it compares with something that it does not name"
        if sum(len(phrase.text.split()) for phrase in subjects) <= FEW_WORDS:
            return "it says too little to stand alone"
    return ""


def _explained_before(text: str, pronoun: str) -> bool:
    """Whether the pronoun after this text means something in it.

    "What is mortadella and where is [it] from?", "How did the Faroe Islands get [their] name?", and most others of a
    question that has named three things before.
    """
    clause = _NEW_CLAUSE.search(text)
    if clause and phrases_in(text[: clause.start()]):
        return True
    before = phrases_in(text)
    return len(before) > 2 or (bool(_POSSESSIVE.fullmatch(pronoun)) and any(phrase.is_name for phrase in before))
