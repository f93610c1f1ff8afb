"""Rows for the Self-RAG generator: an answer cut into segments, each with what our own critics say about it.

The construction of Asai et al., 2023, "Self-RAG", https://arxiv.org/abs/2310.11511, section 3.2: the retrieve critic
decides whether to look anything up; of the passages found, the relevant one that supports the sentence best is taken,
else one at random, so that the generator sees bad ones too; partially and not supported segments are thinned out. Where
the paper asked a large model, small trained critics answer here.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, get_args

from ...errors import UnknownModelError, UsageError
from ...models.pair_text import claim_text
from ...models.reflections import (
    Reflection,
    Segment,
    Supported,
    plain_text,
    reflection_grammar,
    render_reflection,
)
from ...sentences import sentence_spans
from ..options import Tell, no_tell
from .drafts import shortened
from .mining import gold_pieces, hard_negatives, mine
from .question_sets import Asked, QuestionSet, read_questions
from .rows import TrainingRow
from .sources import Sources

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("CRITICS", "Critics", "TrainedCritics", "critics_of", "reflective_rows")

CRITICS = ("retrieve:bundled", "evaluator:bundled", "support:bundled", "utility:bundled")

BATCH = 32
"""Questions judged at a time."""
WORDS = 100
"""Of a passage."""
CANDIDATES = 3
"""Passages beside the gold one that are judged."""
RANDOM_SHARE = 0.3
"""Of the segments take a passage at random where a good one is there, as the paper did for NQ and FEVER."""
KEPT = {"fully": 1.0, "partially": 0.7, "none": 0.25, "": 1.0}
"""Share that is kept of segments by their support: the paper's."""
MOST_SEGMENTS = 4
RELEVANT = 0.5


class Critics(Protocol):
    """Judges of questions, passages, sentences and answers; the four kinds of reflection tokens."""

    def needed(self, questions: Sequence[str]) -> list[bool]:
        """Whether anything must be looked up for each question."""

    def relevant(self, question: str, passages: Sequence[str]) -> list[float]:
        """How probably each passage is of use for the question."""

    def supported(self, rows: Sequence[tuple[str, str, str]]) -> list[Supported]:
        """`fully`, `partially` or `none` for each (sentence, question, passage)."""

    def useful(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """1 to 5 for each (question, answer)."""


class TrainedCritics:
    """The trained ones, by name; a role that is not named is the one that ships with ragloom."""

    def __init__(self, specs: Sequence[str] = CRITICS, *, device: str | None = None) -> None:
        """Errors as in `open_artifact`."""
        from ...models.critics import load_retrieval_need_critic, load_utility_critic
        from ...models.evaluator import load_evaluator
        from ...models.pair_classifier import load_pair_classifier

        named = {spec.partition(":")[0]: spec for spec in CRITICS}
        for spec in specs:
            role = spec.partition(":")[0]
            if role not in named:
                raise UnknownModelError(f"{spec!r} names no critic", hint=f"use {', '.join(CRITICS)}, or ROLE:PATH")
            named[role] = spec
        if missing := [role for role in ("retrieve", "utility") if named[role] == f"{role}:bundled"]:
            raise UsageError(
                f"no critic of the role {missing[0]!r} ships with ragloom",
                hint=f"train one (`ragloom finetune {missing[0]} ...`), and name it in critics: {missing[0]}:PATH",
            )
        self._need = load_retrieval_need_critic(named["retrieve"], device=device)
        self._evaluator = load_evaluator(named["evaluator"], device=device)
        self._support = load_pair_classifier(named["support"], "support", device=device)
        self._utility = load_utility_critic(named["utility"], device=device)
        if set(self._support.labels) != set(get_args(Supported)) - {""}:
            raise UsageError(f"{named['support']!r} has the labels {self._support.labels}, not fully, partially, none")

    @property
    def fingerprint(self) -> str:
        """Changes when a verdict may."""
        support = self._support.artifact.fingerprint
        return " ".join((self._need.fingerprint, self._evaluator.fingerprint, support, self._utility.fingerprint))

    def needed(self, questions: Sequence[str]) -> list[bool]:
        """By the artifact's threshold."""
        return [value >= self._need.threshold for value in self._need.probabilities(questions)]

    def relevant(self, question: str, passages: Sequence[str]) -> list[float]:
        """Calibrated probabilities."""
        return self._evaluator.grade(question, passages)

    def supported(self, rows: Sequence[tuple[str, str, str]]) -> list[Supported]:
        """The most probable label, the sentence read after its question."""
        if not rows:
            return []
        shares = self._support.probabilities([(claim_text(said, asked), passage) for said, asked, passage in rows])
        labels: Any = self._support.labels
        return [labels[int(column)] for column in shares.argmax(axis=1)]

    def useful(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """The expected grade, rounded."""
        return [min(5, max(1, round(value))) for value in self._utility.expected_of(pairs)]


def critics_of(given: Critics | Sequence[str], *, device: str | None = None) -> Critics:
    """Critics as they are given: objects, or names."""
    if isinstance(given, str):
        return TrainedCritics([given], device=device)
    return TrainedCritics(given, device=device) if isinstance(given, Sequence) else given


@dataclass(frozen=True, slots=True)
class _Case:
    """A question, the sentences of its answer, and passages of which one may support them."""

    found: QuestionSet
    asked: Asked
    sentences: tuple[str, ...]
    passages: tuple[str, ...]


def reflective_rows(
    sources: Sources,
    critics: Critics,
    *,
    out: Path,
    seed: int,
    tell: Tell = no_tell,
    limit: int | None = None,
    hard: bool = True,
    embedder: str | Embedder | None = None,
) -> Iterator[TrainingRow]:
    """Rows {question, segments, utility} of question sets with answers, and of files of rows.

    Args:
        sources: the data; what cannot be used is added to its `problems`.
        critics: who judges.
        out: what was mined is kept below it.
        seed: equal seeds and critics give equal rows.
        tell: progress.
        limit: questions of a set at most.
        hard: other passages are what our retriever finds; False: random ones of the same part.
        embedder: of that retriever.
    """
    yield from sources.rows("reflective", complaint=_wrong_segment)
    for source in sources.of("questions"):
        found = read_questions(source, [])
        asked = [item for item in found.drawn(limit, seed=seed) if item.answerable and item.answers and item.gold]
        cases = _cases(found, asked, out, seed, hard, embedder, tell)
        done = 0
        while batch := list(islice(cases, BATCH)):
            yield from _judged(batch, critics, seed)
            done += len(batch)
            tell(f"judging {found.name}", done, len(asked))


_SEGMENT = frozenset(each.name for each in fields(Segment))


def _wrong_segment(row: TrainingRow) -> str:
    for number, segment in enumerate(row["segments"], start=1):
        if others := sorted(segment.keys() - _SEGMENT):
            return f"segment {number} has {others[0]!r}, which is none of {', '.join(sorted(_SEGMENT))}"
        if wrong := [name for name, value in segment.items() if not isinstance(value, str)]:
            return f"segment {number}: {wrong[0]!r} must be a text"
    try:
        segments = tuple(Segment(**segment) for segment in row["segments"])
    except ValueError as error:
        return f"a segment is wrong: {error}"
    complaints = reflection_grammar(render_reflection(Reflection(segments, row["utility"])))
    return f"out of grammar: {complaints[0]}" if complaints else ""


def _cases(
    found: QuestionSet,
    asked: Sequence[Asked],
    out: Path,
    seed: int,
    hard: bool,
    embedder: str | Embedder | None,
    tell: Tell,
) -> Iterator[_Case]:
    pools: dict[str, list[str]] = {}
    for key in found.documents:
        pools.setdefault(found.part(key), []).append(key)
    rankings: Iterator[Any] = iter(asked)
    if hard and asked:
        pieces, rankings = mine(found, asked, out=out, embedder=embedder, tell=tell)
    for item, ranking in zip(asked, rankings, strict=False):
        rng = random.Random(f"{seed}:{found.name}:{item.id}")
        answer = min(item.answers, key=len) if item.fields.get("answer_starts") else item.answers[0]
        sentences = [plain_text(answer[start:end]) for start, end in sentence_spans(answer)]
        sentences = [sentence for sentence in sentences if sentence][:MOST_SEGMENTS]
        text = found.documents[item.gold[0]][1]
        at = text.lower().find(answer.lower())
        gold = shortened(text, WORDS, rng, (at, at + len(answer)) if at >= 0 else None)
        if hard:
            close = hard_negatives(
                ranking, found, gold_pieces(item, pieces, ranking.ranking), count=CANDIDATES, seed=seed
            )
            others = [piece.text for piece in close]
        else:
            pool = [key for key in pools[item.part] if key not in item.gold]
            others = [found.documents[key][1] for key in rng.sample(pool, min(len(pool), CANDIDATES))]
        passages = [plain_text(gold), *(plain_text(shortened(other, WORDS, rng)) for other in others if other.strip())]
        if sentences and passages[0]:
            yield _Case(found, item, tuple(sentences), tuple(dict.fromkeys(passages)))


def _judged(batch: Sequence[_Case], critics: Critics, seed: int) -> Iterator[TrainingRow]:
    """Rows of one batch; a question whose segments were thinned out gives none."""
    needed = critics.needed([case.asked.question for case in batch])
    answers = [" ".join(case.sentences) for case in batch]
    utilities = critics.useful([(case.asked.question, answer) for case, answer in zip(batch, answers, strict=True)])
    for case, need, utility in zip(batch, needed, utilities, strict=True):
        rng = random.Random(f"{seed}:judged:{case.found.name}:{case.asked.id}")
        segments = _segments(case, critics, rng) if need else [Segment(sentence) for sentence in case.sentences]
        if segments:
            yield {
                "question": case.asked.question,
                "segments": [asdict(segment) for segment in segments],
                "utility": utility,
                "origin": case.found.origin(case.asked.id, case.asked.document),
            }


def _segments(case: _Case, critics: Critics, rng: random.Random) -> list[Segment]:
    """One passage for the whole answer; the sentences after the first go on with it. Empty: left out."""
    question = case.asked.question
    grades = critics.relevant(question, case.passages)
    first = case.sentences[0]
    support = critics.supported([(first, question, passage) for passage in case.passages])
    order = {"fully": 2, "partially": 1, "none": 0, "": 0}
    good = [i for i, grade in enumerate(grades) if grade >= RELEVANT and order[support[i]]]
    at = max(good, key=lambda i: (order[support[i]], grades[i]), default=None)
    if at is None or rng.random() < RANDOM_SHARE:
        at = rng.randrange(len(case.passages))
    passage, is_relevant = case.passages[at], grades[at] >= RELEVANT
    if not is_relevant:  # what an irrelevant passage supports is not asked
        return [Segment(first, "yes", passage, "irrelevant", "")]
    later = critics.supported([(sentence, question, passage) for sentence in case.sentences[1:]])
    if rng.random() >= KEPT[support[at]]:
        return []
    segments = [Segment(first, "yes", passage, "relevant", support[at])]
    for sentence, level in zip(case.sentences[1:], later, strict=True):
        if rng.random() < KEPT[level]:
            segments.append(Segment(sentence, "continue", "", "", level))
    return segments
