"""Writing the next sentence of an answer from one passage, and judging it by everything there is to judge by."""

from __future__ import annotations

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field

from langchain_core.documents import Document
from langchain_core.messages import BaseMessage

from ...models import Scorer
from ..common.ask_all import ask_all, was_asked
from ..common.effects import Compute, Doing
from ..common.lazy import Lazy
from ..common.lazy_scorer import mean_logprob
from ..common.nodes import Parts
from ..common.packing import prompt_passages
from ..common.prompting import render_prompt
from ..common.purse import Purse
from ..common.reading import CheckedSentence, Reading, check_text
from ..common.segment_beam import Path, Segment, path_text, repeats
from ..common.segment_score import SegmentScore, SegmentWeights, known_probability, probability_of, utility_of_grade
from .critics import UsefulnessCritic

__all__ = ("Asked", "SegmentWriter", "Written")


@dataclass(frozen=True, slots=True)
class Asked:
    """One call: a path, a passage, the prompt made of both, and what came."""

    path: Path | None
    document: Document
    messages: list[BaseMessage]
    digest: str
    """Tells this prompt from others."""
    reading: Reading = field(default_factory=Reading)

    @property
    def fresh(self) -> list[CheckedSentence]:
        """The sentences that do not stand in the path yet. The first of them is the next segment."""
        return [sentence for sentence in self.reading.sentences if not repeats(self.path, sentence.text)]


@dataclass(frozen=True, slots=True)
class Written:
    """What a call gave: a segment with its score, or none; and what went wrong."""

    asked: Asked
    segment: Segment | None
    score: SegmentScore
    ended: bool
    """The model stopped by itself after this sentence."""
    problems: list[str]
    called: bool = True
    """Whether the budget let the call be made."""


@dataclass(frozen=True, kw_only=True)
class SegmentWriter:
    """What segments are written and judged with."""

    parts: Parts
    utility: Lazy[UsefulnessCritic] | None
    scorer: Lazy[Scorer] | None
    weights: SegmentWeights
    segment_tokens: int

    def prompted(
        self, question: str, tasks: Sequence[tuple[Path | None, Document]], before: Container[str]
    ) -> list[Asked]:
        """The calls of a round. A prompt that was asked before is left out: at temperature 0 it would say the same."""
        asked: dict[str, Asked] = {}
        for path, document in tasks:
            messages = render_prompt(
                __package__ or "",
                self.parts.prompt,
                passages=prompt_passages([document]),
                question=question,
                so_far=path_text(path),
            )
            digest = hashlib.sha256("\0".join(str(each.text) for each in messages).encode()).hexdigest()[:16]
            if digest not in before:
                asked.setdefault(digest, Asked(path, document, messages, digest))
        return list(asked.values())

    def written(
        self, question: str, asked: Sequence[Asked], relevance: Mapping[str, float | None], purse: Purse
    ) -> Doing[list[Written]]:
        """What the calls gave, side by side, with all terms of the score that are known."""
        prompts = [each.messages for each in asked]
        said = yield from ask_all(self.parts.llm, purse, prompts, max_tokens=self.segment_tokens, keep_calls=0)
        for each, one in zip(asked, said, strict=True):
            each.reading.failed = one.failed if was_asked(one) else ""
        yield Compute(self._check, question, asked, [one.text for one in said])
        useful, failed = yield from self._usefulness(question, asked)
        written = []
        for each, one, use in zip(asked, said, useful, strict=True):
            problems = [f"the model failed: {one.failed}" if was_asked(one) else one.failed] if one.failed else []
            problems += [failed] if failed else []
            problems += [f"the critic failed: {each.reading.unjudged}"] if each.reading.unjudged else []
            if not each.fresh:
                written.append(Written(each, None, SegmentScore(), True, problems, was_asked(one)))
                continue
            first = each.fresh[0]
            sequence, unscored = yield from self._probability(each, first.text)
            support = first.citations[0]["score"] if first.citations else 0.0
            score = SegmentScore(
                sequence=sequence,
                relevance=relevance.get(str(each.document.id)),
                support=None if each.reading.unjudged and not first.citations else known_probability(support),
                utility=use,
            )
            segment = Segment(
                text=first.text,
                written=first.text,
                passage=str(each.document.id),
                citations=first.citations,
                score=score.total(self.weights),
                terms={name: round(value, 4) for name, value in score.known.items()},
            )
            problems += [unscored] if unscored else []
            written.append(Written(each, segment, score, len(each.fresh) == 1, problems))
        return written

    def _check(self, question: str, asked: Sequence[Asked], texts: Sequence[str]) -> None:
        """IsSup: the support critic's, of each sentence with the passage that it was written from."""
        for each, text in zip(asked, texts, strict=True):
            check_text(text, question, [each.document], self.parts.critic, each.reading)

    def _usefulness(self, question: str, asked: Sequence[Asked]) -> Doing[tuple[list[float | None], str]]:
        """IsUse of each answer so far with its new sentence, all in one call."""
        unknown: list[float | None] = [None] * len(asked)
        speaking = [index for index, each in enumerate(asked) if each.fresh]
        if self.utility is None or not speaking:
            return unknown, ""
        critic = yield Compute(self.utility)
        pairs = [(question, f"{path_text(asked[i].path)} {asked[i].fresh[0].text}".strip()) for i in speaking]
        try:
            grades = [utility_of_grade(grade) for grade in (yield Compute(critic.expected_of, pairs))]
            if len(grades) != len(pairs):
                raise ValueError(f"{len(grades)} grades for {len(pairs)} answers")
        except Exception as error:
            return unknown, f"the utility critic failed: {type(error).__name__}: {error}"
        for index, grade in zip(speaking, grades, strict=True):
            unknown[index] = grade
        return unknown, ""

    def _probability(self, asked: Asked, text: str) -> Doing[tuple[float | None, str]]:
        """p(segment): the exponential of the mean log-probability of its tokens after the prompt."""
        if self.scorer is None:
            return None, ""
        mean, failed = yield from mean_logprob(self.scorer, asked.messages, text)
        return (None if mean is None else probability_of(mean)), failed
