"""Conversations made of SQuAD's questions, whose follow-ups have a known passage to find.

Two answerable questions about one passage, of which the second names something that the first one named (two or more
capitalised words, or the article's title): there the name gives way to a pronoun, as people speak. Only where the
sentence stays one: behind did or does, before 's, at the end behind a preposition. He or she only where the passage
speaks of somebody, it only where it does not. What was asked originally is kept as the question that a rewriter should
find. Read one by one, 3 of 55 were no sentence or had the wrong pronoun.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import read_jsonl

__all__ = ("FollowUp", "conversations")

MOST_PER_ARTICLE = 8
_NAME = re.compile(r"[A-Z][\w'’-]*(?:(?: of| the| and|) [A-Z][\w'’-]*)+")
_OPENING = re.compile(r"(what|who|whom|whose|which|when|where|why|how|in|on|at|of|for|to|from|by|with|the)\b", re.I)
_PRONOUNS = {"he": ("he", "him", "his"), "she": ("she", "her", "her"), "it": ("it", "it", "its")}
"""Subject, object, possessive."""
_SUBJECT = re.compile(r"\b(did|does)$", re.I)
_OBJECT = re.compile(r"\b(of|in|on|at|for|to|from|by|with|about|against|near|outside|around)$", re.I)
_CLEAR = 3
"""Times that a passage must say he or she, and none of the others as often, to be about somebody."""


@dataclass(frozen=True)
class FollowUp:
    """A turn of a conversation."""

    id: str
    history: list[str]
    question: str
    """As it is said: with a pronoun."""
    original: str
    """As it was asked in SQuAD."""
    passage: str
    """Id of the passage that answers both."""


def conversations(folder: Path) -> list[FollowUp]:
    """All that can be made, in the order of the file, so many of an article at most."""
    passages = {row["id"]: row for row in read_jsonl(folder / "passages.jsonl")}
    asked: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in read_jsonl(folder / "questions.jsonl"):
        if row["answerable"]:
            asked[row["passage_ids"][0]].append(row)
    made: dict[str, list[FollowUp]] = defaultdict(list)
    for key, rows in asked.items():
        made[passages[key]["title"]] += _of_passage(rows, passages[key])
    return [turn for turns in made.values() for turn in turns[:MOST_PER_ARTICLE]]


def _of_passage(rows: list[dict[str, Any]], passage: dict[str, Any]) -> Iterator[FollowUp]:
    said = Counter(re.findall(r"\b(?:he|she|it|his|her|its)\b", passage["text"].lower()))
    people = {"he": said["he"] + said["his"], "she": said["she"] + said["her"]}
    pronoun, often = max(people.items(), key=lambda item: item[1])
    if not often:
        pronoun = "it"
    elif often < _CLEAR or often <= said["it"] + said["its"] or min(people.values()):
        return
    for first, second in zip(rows, rows[1:], strict=False):
        names = [*_NAME.findall(second["question"]), passage["title"].replace("_", " ")]
        said = _said(first["question"], second["question"], names, _PRONOUNS[pronoun])
        if said:
            history = [first["question"].strip()]
            yield FollowUp(second["id"], history, said, second["question"].strip(), passage["id"])


def _said(first: str, second: str, names: list[str], pronoun: tuple[str, str, str]) -> str:
    """The second question with the first name that both share as a pronoun; empty where they share none.

    >>> _said("Who founded Palm Springs?", "When did Palm Springs grow?", ["Palm Springs"], ("it", "it", "its"))
    'When did it grow?'
    """
    subject, other, possessive = pronoun
    for name in names:
        word = re.compile(rf"(?:\b[Tt]he )?\b{re.escape(name)}\b(?! \d)")
        there = word.search(second)
        if there is None or _OPENING.match(name) or not word.search(first) or len(word.findall(second)) > 1:
            continue
        before, after = second[: there.start()].rstrip(), second[there.end() :]
        if subject != "it" and there.group().lower().startswith("the "):  # nobody's name
            continue
        if owned := re.match(r"['’]s?(?=\s)", after):
            form, after = possessive, after[owned.end() :]
        elif _SUBJECT.search(before) and re.match(r"\s[a-z]", after) and not after.startswith((" and ", " of ")):
            form = subject
        elif _OBJECT.search(before) and re.match(r"\s*[?]", after):
            form = other
        else:
            continue
        said = " ".join(f"{before} {form} {after}".split()).replace(" ?", "?").replace(" ,", ",")
        return said[:1].upper() + said[1:]
    return ""
