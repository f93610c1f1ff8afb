"""Which passage supports a sentence? A critic protocol, and the lexical critic that needs no model.

The trained critic (`trained_support`, Self-RAG's IsSup) comes through the same protocol.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Protocol

from langchain_core.documents import Document

__all__ = (
    "AlsoAsked",
    "OverlapCritic",
    "Support",
    "SupportCritic",
    "added_terms",
    "content_terms",
    "held_share",
    "held_terms",
    "is_closed",
    "quote_windows",
)


@dataclass(frozen=True, slots=True)
class Support:
    """How much of a sentence a quote of one passage supports."""

    passage: int
    """Index among the passages given."""
    start: int
    """Character offset of the quote in the passage."""
    end: int
    score: float
    """0 to 1."""


class AlsoAsked:
    """A critic for an answer that stands in passages about the parts of a question.

    "Jane Austen was born in Steventon" answers "Where was the author of Emma born?", though its passage does not name
    Emma. A sentence is supported where it answers the question or one of `questions`: what was searched for on the way.
    """

    def __init__(self, critic: SupportCritic, questions: Sequence[str]) -> None:
        self.threshold = critic.threshold
        self._critic, self._questions = critic, list(dict.fromkeys(questions))

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Support]:
        """The best quotes, by the question under which they support the sentence most."""
        found = self._critic.support(sentence, question, passages)
        for other in self._questions:
            if found and found[0].score >= self.threshold:
                break
            more = self._critic.support(sentence, other, passages)
            found = max(found, more, key=lambda each: each[0].score if each else 0.0)
        return found


class SupportCritic(Protocol):
    """Judges support. `threshold` is the score from which a sentence counts as supported."""

    threshold: float

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Support]:
        """The best quote of each passage that supports the sentence at all, best first."""
        ...


_STOP = frozenset(files(__package__).joinpath("stopwords.txt").read_text(encoding="utf-8").split())
_WORD = re.compile(r"\d+(?:[.,:]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)?", re.UNICODE)
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"],
    )
}
_CLOSED = re.compile(
    r"\bor\b|^\W*(?:am|are|is|was|were|do|does|did|has|have|had|can|could|may|must|shall|should|will|would)\b", re.I
)
"""A question that is answered by yes, no, or one of its own words."""
_NEGATION = frozenset({"not", "no", "never", "none", "without", "cannot", "nor", "neither"})


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    import snowballstemmer

    return str(snowballstemmer.stemmer("english").stemWord(word))


def content_terms(text: str) -> list[tuple[str, bool]]:
    """(stem, is hard) of each content word. Hard are numbers and names: a wrong one makes a sentence false."""
    terms = []
    for found in _WORD.finditer(text):
        word = found.group()
        plain = word.lower().replace("’", "'").removesuffix("'s")
        if plain in _NUMBER_WORDS:
            terms.append((_NUMBER_WORDS[plain], True))
        elif word[0].isdigit():
            terms.append((_number(word), True))
        elif plain not in _STOP or (word == "May" and found.start()):  # the month is a name, the verb is not
            # The first word of a sentence is capitalised without being a name.
            hard = word[0].isupper() and bool(text[: found.start()].strip(" \"'*-([{"))
            terms.append((_stem(plain), hard))
    return terms


def added_terms(sentence: str, question: str) -> dict[str, bool]:
    """What a sentence adds to the question: stem to whether it is a number or a name. Empty: it only repeats it."""
    asked = dict(content_terms(question))
    said = dict(content_terms(sentence))
    new = {term: hard for term, hard in said.items() if term not in asked or term[0].isdigit()}
    # "Tea or coffee?" and "Are pets allowed?" are answered in the question's own words.
    return said if not new and is_closed(question) else new


def is_closed(question: str) -> bool:
    """Whether yes, no or one of the question's own words is an answer."""
    return bool(_CLOSED.search(question))


def _number(word: str) -> str:
    """`1,200.50` as `1200.5`, `25.00` as `25`: one writing for one number."""
    plain = re.sub(r",(?=\d{3}\b)", "", word).rstrip(".,:")
    return plain.rstrip("0").rstrip(".") if re.fullmatch(r"\d+\.\d+", plain) else plain


ABOUT = 0.4
"""A quote must hold this share of the question's words, or it is true but no answer."""
WIDTH_COST = 0.05
"""A quote of one sentence more must support this much more: readers check short quotes."""


ROW = 0
"""The width, in sentences, by which a table row is told from prose."""


class OverlapCritic:
    """Supported means: one to three neighbouring sentences of one passage (or one table row with its header) hold
    most content words that the sentence adds to the question, all of its numbers and names, and enough of the question.

    Deliberately strict on numbers and names: a small model's commonest fault is a right sentence with a wrong figure.
    It cannot see paraphrase or contradiction in other words; the trained critic does.

        >>> critic = OverlapCritic()
        >>> passage = Document("Full-time staff get 25 days of leave. Unused days expire in March.")
        >>> critic.support("Staff get 25 days of leave.", "", [passage])[0].score
        1.0
        >>> critic.support("Staff get 30 days of leave.", "", [passage])
        []
    """

    def __init__(self, *, threshold: float = 0.7) -> None:
        self.threshold = threshold

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Support]:
        """The best window of each passage that reaches the threshold, best first.

        What only repeats the question supports nothing; every number and every name that the sentence adds to the
        question must stand in the window itself.
        """
        asked = dict(content_terms(question))
        new = added_terms(sentence, question)
        if not new:
            return []
        negated = bool(_negations(sentence))
        found = []
        for index, passage in enumerate(passages):
            above = held_terms(f"{passage.metadata.get('title', '')} {passage.metadata.get('headings', '')}")
            anywhere = held_terms(passage.page_content)
            names = {term for term, hard in asked.items() if hard and term in anywhere}
            best: Support | None = None
            worth = 0.0
            for start, end, over, width in quote_windows(passage.page_content):
                text = passage.page_content[start:end]
                held = held_terms(text) | held_terms(over)
                if any(hard and term not in held for term, hard in new.items()) or (negated and not _negations(text)):
                    continue
                # "25 days." alone would find support anywhere: the quote has to be about what was asked.
                if asked and _share(asked, held | above) < ABOUT:
                    continue
                # A row is of one thing: if the thing asked for stands elsewhere in the passage, this row is another's.
                if width == ROW and not names <= held:
                    continue
                score = _share(new, held | above)
                if score >= self.threshold and score - WIDTH_COST * width > worth:
                    worth = score - WIDTH_COST * width
                    best = Support(index, start, end, round(score, 4))
            if best:
                found.append(best)
        return sorted(found, key=lambda item: (-item.score, item.passage))


def held_share(sentence: str, question: str, text: str, above: str = "") -> float:
    """The share of the words that a sentence adds to its question that stand in a text or in what stands above it, from
    0 to 1; 1 where it adds none. Numbers and names weigh double.

        >>> held_share("Staff get 25 days.", "How much leave do staff get?", "Leave is 25 working days.")
        1.0
    """
    return _share(added_terms(sentence, question), held_terms(text) | held_terms(above))


def _share(terms: dict[str, bool], held: frozenset[str]) -> float:
    """The weight of the terms that are held; numbers and names weigh double."""
    weights = {term: 2 if hard else 1 for term, hard in terms.items()}
    if not weights:
        return 1.0
    return sum(weight for term, weight in weights.items() if term in held) / sum(weights.values())


@lru_cache(maxsize=4096)
def held_terms(text: str) -> frozenset[str]:
    """The stems of a text's content words."""
    return frozenset(term for term, _ in content_terms(text))


def _negations(text: str) -> list[str]:
    words = re.findall(r"[a-z']+", text.lower())
    return [word for word in words if word in _NEGATION or word.endswith("n't")]


@lru_cache(maxsize=256)
def quote_windows(text: str) -> tuple[tuple[int, int, str, int], ...]:
    """(start, end, what stands above, sentences) of every run of one to three sentences, and of every table row."""
    return tuple(_each_window(text))


def _each_window(text: str) -> Iterator[tuple[int, int, str, int]]:
    from ...sentences import sentence_spans

    run: list[tuple[int, int]] = []
    heading = header = ""
    at = 0
    for line in text.split("\n"):
        start, end = at, at + len(line)
        at = end + 1
        is_row = line.lstrip().startswith("|")
        if is_row or line.startswith("#"):  # neither tables nor headings lie within a quote
            yield from _runs_of(run, heading)
            run = []
        if is_row:
            header = header or line
            if not re.fullmatch(r"[|:\-\s]+", line):
                yield start, end, f"{heading} {header}", ROW
            continue
        header = ""
        heading = line if line.startswith("#") else heading
        run += [(start + left, start + right) for left, right in sentence_spans(line)]
    yield from _runs_of(run, heading)


def _runs_of(sentences: list[tuple[int, int]], heading: str) -> Iterator[tuple[int, int, str, int]]:
    for width in (1, 2, 3):
        for first in range(len(sentences) - width + 1):
            yield sentences[first][0], sentences[first + width - 1][1], heading, width
