"""What a model's reply says: the values on its answer line, or a statement of SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ...graphs.common.saying import declines
from .denotation import denotation

__all__ = ("answer_values", "sql_of")

_ANSWER = re.compile(r"\banswer\b[*_`\"]*(?:\s+is\b|\s*[:：])[\s*_`:：]*(.*)$", re.I | re.M)
_NONE = re.compile(
    r"^(?:unknown|none|n/?a|null|no answer|not (?:known|given|available|in the table))\.?$|"
    r"\b(?:table|data|rows?) (?:do(?:es)? not|don['’]t|doesn['’]t) "
    r"(?:hold|contain|mention|provide|say|show|include|give)\b",
    re.I,
)
_SHORT_FORM = re.compile(r"\.\S*\.$|\b(?:jr|sr|st|co|inc|ltd|corp|no|vs|etc|dr|mr|mrs|ft|mt)\.$", re.I)
_FENCE = re.compile(r"```(?:\w+)?\s*\n?(.*?)(?:```|\Z)", re.DOTALL)
_QUERY = re.compile(r"\b(?:SELECT|WITH)\b.*", re.I | re.DOTALL)
_STATEMENT = re.compile(r"(?:'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|[^;'\"])*")
_AND = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+", re.I)


def answer_values(reply: str, cells: Iterable[str]) -> list[str]:
    """The values after the last "Answer:"; none where there is no such line, or it says that there is no answer.

    Values stand between bars. Where a model writes commas instead, the line is cut at them only if every part is one of
    `cells`, which a name with a comma in it is not.

    >>> answer_values("Ann has 9, Bob has 7.\\n**Answer:** Ann | Bob", [])
    ['Ann', 'Bob']
    >>> answer_values("Answer: Graz, Linz", ["Graz", "Linz"]), answer_values("Answer: Austin, TX", ["Austin, TX"])
    (['Graz', 'Linz'], ['Austin, TX'])
    """
    lines = [found[1] for found in _ANSWER.finditer(reply)]
    line = next((cleaned for each in reversed(lines) if (cleaned := _cleaned(each))), "")
    if not line or _NONE.search(line) or declines(line):
        return []
    values = [_cleaned(part) for part in line.split("|")] if "|" in line else _parts(line, cells)
    return list(dict.fromkeys(value for value in values if value))


def sql_of(reply: str) -> str:
    """The first statement in a reply: out of its code fence, without the prose around it. Empty where there is none.

    >>> sql_of("Sure:\\n```sql\\nSELECT 1;\\n```\\nThis counts."), sql_of("I cannot.")
    ('SELECT 1', '')
    """
    fenced = next((block for block in _FENCE.findall(reply) if _QUERY.search(block)), reply)
    found = _QUERY.search(fenced)
    if found is None:
        return ""
    statement = _STATEMENT.match(found[0])
    text = statement[0] if statement else ""
    return re.split(r"\n\s*\n", text)[0].strip()


def _cleaned(text: str) -> str:
    text = text.strip().strip("*_`").strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1].strip()
    # A full stop ends the line, unless it belongs to a short form: "U.S.", "Jr."
    return text[:-1].rstrip() if text.endswith(".") and not _SHORT_FORM.search(text) else text


def _parts(line: str, cells: Iterable[str]) -> list[str]:
    parts = [part.strip() for part in _AND.split(line) if part.strip()]
    if len(parts) < 2:
        return [line]
    known = {value.key for value in denotation(cells)}
    return parts if _all_known(parts, known) and not _all_known([line], known) else [line]


def _all_known(values: Sequence[str], known: set[str]) -> bool:
    return all(each.key in known for value in values for each in denotation([value]))
