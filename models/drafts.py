"""Drafts: what a drafter writes, a rationale that quotes the evidence and then a short answer.

    Rationale: The Amazon basin covers 7,000,000 square kilometres. [2]
    Answer: 7,000,000 square kilometres

where `ABSTENTION` may stand in the place of the second line, or alone. Rationale first, then answer, as in Wang et al.,
2024, "Speculative RAG", https://arxiv.org/abs/2407.08223, section 3; the citation and the abstention are ours. Whether
anything answers the question is said behind the quote, of that one sentence: of all passages at once a small model can
hardly say it. And it is one word against one, "Answer" or "Cannot": said behind "Answer:", the abstention would win
wherever the model is unsure which of many answers is right. The prompt is `prompts/drafter.jinja` of this package.

    >>> parse_draft("Rationale: It opened in 1889. [2]\\nAnswer: 1889")
    Draft(rationale='It opened in 1889.', answer='1889', cited=(2,), abstained=False)
    >>> parse_draft("Cannot answer from these passages.").abstained
    True
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ("ABSTENTION", "DRAFTER_PROMPT", "Draft", "parse_draft", "render_draft")

DRAFTER_PROMPT = "drafter"
"""Name of the prompt; its variables are `question` and `passages`, each {number, context, text}."""
ABSTENTION = "Cannot answer from these passages."

_REFUSALS = frozenset(
    {"cannot answer from these passages", "cannot answer", "i don't know", "i don’t know", "i do not know"}
)
_MARKS = re.compile(r"\s*((?:\[[1-9][0-9]{0,2}\]\s*)+)$")
_NUMBER = re.compile(r"[1-9][0-9]*")
_LABEL = re.compile(r"^[ \t#]*\*{0,2}(rationale|answer)\*{0,2}[ \t]*:(?:\*\*)?[ \t]*", re.IGNORECASE | re.MULTILINE)
_RUN_ON = re.compile(r"\b(?:Answer|ANSWER):\s*")


@dataclass(frozen=True, slots=True)
class Draft:
    """One draft in canonical form: single spaces, citation marks in `cited`, no answer beside an abstention."""

    rationale: str = ""
    """The sentence that it quotes; of an abstention the one that came nearest, if any."""
    answer: str = ""
    cited: tuple[int, ...] = ()
    """Numbers of the passages that it quotes, from 1."""
    abstained: bool = False

    def __post_init__(self) -> None:
        rationale, marked = _unmarked(self.rationale)
        answer, also = _unmarked(self.answer)
        abstained = self.abstained or answer.casefold().strip(" .!") in _REFUSALS
        cited = dict.fromkeys(number for number in (*self.cited, *marked, *also) if 1 <= number <= 999)
        for name, value in (
            ("rationale", rationale),
            ("answer", "" if abstained else answer),
            ("cited", () if abstained and not rationale else tuple(cited)),
            ("abstained", abstained),
        ):
            object.__setattr__(self, name, value)


def parse_draft(text: str) -> Draft:
    """The draft in a model's text; never raises.

    Without labels the first line is the answer, without an answer label what was said is the rationale; whatever comes
    after the answer's line is left out.
    """
    pieces = _LABEL.split(text)
    labelled = list(zip((label.lower() for label in pieces[1::2]), pieces[2::2], strict=True))
    answer = next((said for label, said in labelled if label == "answer"), None)
    rationale = next((said for label, said in labelled if label == "rationale"), None)
    if answer is None and rationale is None:
        return Draft(answer=_first_line(text))
    if rationale is not None and (declined := _declined(rationale, alone=answer is None)):
        return declined
    if answer is None and rationale is not None:
        parts = _RUN_ON.split(rationale, maxsplit=1)
        return Draft(parts[0], _first_line(parts[1]) if len(parts) > 1 else "")
    return Draft(pieces[0] if rationale is None else rationale, _first_line(answer or ""))


def render_draft(draft: Draft) -> str:
    """The text that says it: `parse_draft(render_draft(draft)) == draft`."""
    if draft.abstained and not draft.rationale:
        return ABSTENTION
    marks = "".join(f" [{number}]" for number in draft.cited)
    rationale = f" {draft.rationale}" if draft.rationale else ""
    answer = f"Answer: {draft.answer}".rstrip()
    return f"Rationale:{rationale}{marks}\n{ABSTENTION if draft.abstained else answer}"


def _unmarked(text: str) -> tuple[str, Iterable[int]]:
    """A text on one line without the citation marks at its end, and their numbers."""
    line = " ".join(text.split())
    found = _MARKS.search(line)
    if not found:
        return line, ()
    return line[: found.start()].strip(), (int(number) for number in _NUMBER.findall(found[1]))


def _declined(rationale: str, *, alone: bool) -> Draft | None:
    """An abstention in a line of its own behind what is quoted; where nothing else was said, also in its place."""
    lines = [line for line in rationale.split("\n") if line.strip()]
    refusals = [at for at, line in enumerate(lines) if line.casefold().strip(" .!") in _REFUSALS]
    at = next((at for at in refusals if at), 0 if refusals and alone else None)
    return None if at is None else Draft(" ".join(lines[:at]), abstained=True)


def _first_line(text: str) -> str:
    return next((line for line in text.split("\n") if line.strip()), "")
