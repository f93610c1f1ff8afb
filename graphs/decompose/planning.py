"""Plans: what a model's list of sub-questions says, and what can be asked next."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ..common.saying import unmarked
from ..common.support import held_terms
from .state import SubQuestion

__all__ = ("parse_plan", "ready", "skip_unreachable", "substituted")

_ITEM = re.compile(
    r"^\s*(?:(?:#|Q(?:uestion\s+)?|Sub-?question\s+)?(\d{1,2})\s*[.):]|[-*•])\s+(.*\w.*)$", re.IGNORECASE
)
_PLACEHOLDER = re.compile(r"#(\d{1,2})(?!\d)")


def parse_plan(text: str, most: int, *, question: str = "") -> tuple[list[SubQuestion], list[str]]:
    """The sub-questions of a plan that can be asked, `most` at most, and the texts of those that cannot.

    An item is a line with a number or a bullet; of two with the same number the first counts. An item whose placeholder
    means no item, itself, or one that waits for it can never be asked: it is dropped, and so is what waits for it. So
    is one that waits for nothing and shares no content word with the `question`: small models repeat the prompt.

    >>> plan, dropped = parse_plan("1. Who wrote Emma?\\n2. Where was #1 born?\\n3. How old is #9?", 4)
    >>> [(each["number"], each["needs"]) for each in plan], dropped
    ([(1, []), (2, [1])], ['How old is #9?'])
    """
    items: dict[int, str] = {}
    for line in text.splitlines():
        if len(items) < most and (found := _ITEM.match(line)):
            number = int(found[1]) if found[1] else max(items, default=0) + 1
            items.setdefault(number, unmarked(found[2]))
    needs = {number: _numbers(item) for number, item in items.items()}
    about = held_terms(question)
    strayed = {number for number, item in items.items() if about and not needs[number] and not about & held_terms(item)}
    possible: set[int] = set()
    while more := {number for number in set(items) - strayed - possible if set(needs[number]) <= possible}:
        possible |= more
    plan = [
        SubQuestion(number=number, text=item, needs=needs[number], outcome="open", asked=item, answer="", passages=[])
        for number, item in items.items()
        if number in possible
    ]
    return plan, [item for number, item in items.items() if number not in possible]


def ready(plan: Sequence[SubQuestion]) -> list[SubQuestion]:
    """What can be asked now: open, and everything that it waits for is answered. They do not wait for each other."""
    answered = {each["number"] for each in plan if each["outcome"] == "answered"}
    return [each for each in plan if each["outcome"] == "open" and set(each["needs"]) <= answered]


def skip_unreachable(plan: Sequence[SubQuestion]) -> list[SubQuestion]:
    """The same plan, where what waits for something that was not found is skipped."""
    lost = {each["number"] for each in plan if each["outcome"] in ("not found", "skipped")}
    while more := {
        each["number"]
        for each in plan
        if each["outcome"] == "open" and each["number"] not in lost and lost & set(each["needs"])
    }:
        lost |= more
    return [
        {**each, "outcome": "skipped"} if each["outcome"] == "open" and each["number"] in lost else each
        for each in plan
    ]


def substituted(text: str, answers: Mapping[int, str]) -> str:
    """The text with the answers in the places of its placeholders.

    >>> substituted("Where was #1 born?", {1: "Jane Austen"})
    'Where was Jane Austen born?'
    """
    return _PLACEHOLDER.sub(lambda found: answers.get(int(found[1]), found[0]), text)


def _numbers(text: str) -> list[int]:
    return sorted({int(number) for number in _PLACEHOLDER.findall(text)})
