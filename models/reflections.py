"""Reflection tokens and the text that a Self-RAG generator writes with them.

    [Retrieval]<paragraph>evidence</paragraph>[Relevant]A sentence.[Fully supported][Utility:5]
    [No Retrieval]A sentence.[Utility:5]

A segment is one sentence. It begins with a retrieve token; after a retrieval stand the passage, whether it is relevant,
the sentence, and how far a relevant passage supports it; `[Continue to Use Evidence]` goes on with the last passage.
The utility token closes the whole. Method and literal tokens: Asai et al., 2023, "Self-RAG",
https://arxiv.org/abs/2310.11511. The prompt is `prompts/reflective.jinja` of this package.

    >>> reflection_grammar("[No Retrieval]Hello.[Utility:5]")
    []
    >>> reflection_grammar("[Retrieval]Hello.[Utility:5]")
    ['segment 1: no passage after [Retrieval]']
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = (
    "PARAGRAPH",
    "REFLECTIVE_PROMPT",
    "RELEVANCE",
    "RETRIEVE",
    "SUPPORT",
    "TOKENS",
    "UTILITY",
    "Reflection",
    "Segment",
    "parse_reflection",
    "plain_text",
    "reflection_grammar",
    "render_reflection",
    "render_segment",
)

REFLECTIVE_PROMPT = "reflective"
"""Name of the prompt; its variable is `question`."""

Retrieve = Literal["yes", "no", "continue"]
Relevance = Literal["", "relevant", "irrelevant"]
Supported = Literal["", "fully", "partially", "none"]

RETRIEVE: Mapping[str, str] = {
    "yes": "[Retrieval]",
    "no": "[No Retrieval]",
    "continue": "[Continue to Use Evidence]",
}
RELEVANCE: Mapping[str, str] = {"relevant": "[Relevant]", "irrelevant": "[Irrelevant]"}
SUPPORT: Mapping[str, str] = {
    "fully": "[Fully supported]",
    "partially": "[Partially supported]",
    "none": "[No support / Contradictory]",
}
UTILITY: Mapping[int, str] = {value: f"[Utility:{value}]" for value in range(1, 6)}
PARAGRAPH = ("<paragraph>", "</paragraph>")

TOKENS: tuple[str, ...] = (
    *RETRIEVE.values(),
    *RELEVANCE.values(),
    *SUPPORT.values(),
    *UTILITY.values(),
    *PARAGRAPH,
)
"""The fifteen that are added to a tokenizer, in this order."""

_ANY = re.compile("(" + "|".join(re.escape(token) for token in TOKENS) + ")")
_NAMES: dict[str, tuple[str, Any]] = {
    token: (kind, name)
    for kind, table in (("retrieve", RETRIEVE), ("relevance", RELEVANCE), ("support", SUPPORT), ("utility", UTILITY))
    for name, token in table.items()
}


@dataclass(frozen=True, slots=True)
class Segment:
    """One sentence and what was said about it; empty texts stand for what was not said."""

    text: str
    retrieve: Retrieve = "no"
    passage: str = ""
    relevance: Relevance = ""
    support: Supported = ""

    def __post_init__(self) -> None:
        for name, known in (("retrieve", Retrieve), ("relevance", Relevance), ("support", Supported)):
            if getattr(self, name) not in get_args(known):
                raise ValueError(f"{name} is {getattr(self, name)!r}, not one of {get_args(known)}")
        object.__setattr__(self, "text", plain_text(self.text))
        object.__setattr__(self, "passage", plain_text(self.passage))


@dataclass(frozen=True, slots=True)
class Reflection:
    """A whole answer; utility 0 where none was said."""

    segments: tuple[Segment, ...]
    utility: int = 0

    @property
    def answer(self) -> str:
        """The sentences alone."""
        return " ".join(segment.text for segment in self.segments if segment.text)


def plain_text(text: str) -> str:
    """A text in which no reflection token can stand: a passage must not be able to judge itself."""
    line = " ".join(text.split())
    while _ANY.search(line):  # again: taking one out may make another one whole
        line = " ".join(_ANY.sub(" ", line).split())
    return line


def render_segment(segment: Segment) -> str:
    """Its tokens and texts, as a generator writes them."""
    passage = f"{PARAGRAPH[0]}{segment.passage}{PARAGRAPH[1]}" if segment.passage else ""
    relevance, support = RELEVANCE.get(segment.relevance, ""), SUPPORT.get(segment.support, "")
    return f"{RETRIEVE[segment.retrieve]}{passage}{relevance}{segment.text}{support}"


def render_reflection(reflection: Reflection) -> str:
    """The whole text: `parse_reflection(render_reflection(x)) == x` where the grammar has no complaint."""
    closing = UTILITY.get(reflection.utility, "")
    return "".join(map(render_segment, reflection.segments)) + closing


def parse_reflection(text: str) -> Reflection:
    """What a generator's text says; never raises. What stands in the wrong place is taken for what it is."""
    segments: list[dict[str, Any]] = []
    utility = 0
    inside = False
    for piece in _ANY.split(text):
        kind, name = _NAMES.get(piece, ("", ""))
        if kind == "utility":
            utility = utility or int(name)
        elif kind == "retrieve":
            segments.append({"text": "", "retrieve": name})
            inside = False
        elif piece in PARAGRAPH:
            inside = piece == PARAGRAPH[0]
        elif piece.strip() or kind:
            if not segments:
                segments.append({"text": ""})
            field = kind or ("passage" if inside else "text")
            current = segments[-1]
            if kind:
                current.setdefault(field, name)
            else:
                current[field] = f"{current.get(field, '')} {piece}"
    return Reflection(tuple(Segment(**segment) for segment in segments), utility)


def reflection_grammar(text: str) -> list[str]:
    """What is wrong with the order of the tokens in a generated text; empty where nothing is. Never raises."""
    complaints: list[str] = []
    pieces = [piece for piece in _ANY.split(text) if piece.strip()]
    if not pieces:
        return ["nothing was said"]
    if pieces[-1] not in UTILITY.values():
        complaints.append("no utility token at the end")
    if sum(piece in UTILITY.values() for piece in pieces) > 1:
        complaints.append("more than one utility token")
    body = [piece for piece in pieces if piece not in UTILITY.values()]
    starts = [at for at, piece in enumerate(body) if piece in RETRIEVE.values()]
    if not starts or starts[0] != 0:
        complaints.append("no retrieve token at the beginning")
    evidence = False
    for number, start in enumerate(starts, start=1):
        end = starts[number] if number < len(starts) else len(body)
        complaint, evidence = _segment_complaint(body[start], body[start + 1 : end], evidence)
        if complaint:
            complaints.append(f"segment {number}: {complaint}")
    return complaints


def _segment_complaint(opening: str, rest: list[str], evidence: bool) -> tuple[str, bool]:
    """What is wrong with one segment, and whether evidence is at hand after it."""
    shape = "".join(_letter(piece) for piece in rest)
    if opening == RETRIEVE["no"]:
        return ("" if shape == "t" else f"after {opening} stands more or less than a sentence"), evidence
    if opening == RETRIEVE["continue"]:
        if not evidence:
            return f"{opening} without a passage before it", evidence
        return ("" if shape == "ts" else f"after {opening} stand no sentence and support token"), evidence
    if not re.match(r"<t>", shape):
        return f"no passage after {opening}", evidence
    if re.fullmatch(r"<t>rts|<t>its?", shape):
        return "", True
    missing = "relevance token" if not re.match(r"<t>[ri]", shape) else "sentence and support token"
    return f"no {missing} in its place", True


def _letter(piece: str) -> str:
    letters = {PARAGRAPH[0]: "<", PARAGRAPH[1]: ">", RELEVANCE["relevant"]: "r", RELEVANCE["irrelevant"]: "i"}
    return letters.get(piece) or ("s" if piece in SUPPORT.values() else "t")
