"""Rows for the drafter: a question, passages of which one holds the answer or none does, the evidence and the answer.

The rationale is the sentence of the gold passage that carries the answer, as it stands there (Speculative RAG had a
large model write it; a quote can be checked). Distractors come from the same part of the data, so that no text that is
measured on was ever seen, and hold no right answer. Some questions lose their gold passage, and some of SQuAD 2 have
none: the drafter must say so, of a sentence that is as like the question as right ones are. (Were it the most like one
of all, likeness itself would mean that nothing answers.)
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from ...evals.answer_sets import share_of
from ...evals.text_metrics import contains, normalize
from ...graphs.common.support import content_terms
from ...sentences import sentence_spans
from ..options import Tell, no_tell
from .falsified import Falsifier
from .mining import Mined, Pieces, gold_pieces, hard_negatives, mine
from .parts import Part
from .question_sets import Asked, QuestionSet, read_questions
from .rows import TrainingRow
from .sources import Sources
from .table_rows import table_rows
from .texts import holds_answer
from .traces import trace_rows

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("Evidence", "draft_rows", "find_evidence", "likely_quote", "question_share", "shortened")

Distractor = tuple[str, str, str]
"""Id, title and text of a passage, or of a piece of it."""

MOST_DISTRACTORS = 4
LONG_SHARE = 0.1
"""Of the rows have up to five passages of up to 200 words, as `ask` gives them."""
LONG_WORDS = 200
SHORT_WORDS = 100
HARD_SHARE = 0.8
"""Of the rows have all the distractors that were mined; the others one of them, and random ones."""
TITLED = 0.7
"""Share of the rows whose passages come with their titles."""
OVERHEAD = 80
"""Tokens of the prompt beside its passages."""
TOKENS_PER_WORD = 1.4
LONGEST_ANSWER = 12
"""Words; what is longer is no short answer."""
LONGEST_RATIONALE = 70
UNKNOWN = 0.5
"""Of a set without answers nobody knows how like its questions right quotes are."""
OVERLAP = 0.75
"""Share of an answer's words that a sentence must hold to carry it, where it does not stand there word for word."""
REAL_SHARE = 0.6
"""Share of the unanswerable rows that are questions asked as such, where a set has them."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where the answer stands."""

    passage: str
    """Id of the gold passage."""
    start: int
    end: int
    answer: str


def draft_rows(
    sources: Sources,
    *,
    out: Path,
    seed: int,
    tell: Tell = no_tell,
    limit: int | None = None,
    tokens: int = 256,
    unanswerable: float = 0.2,
    counterfactual: float = 0.0,
    hard: bool = True,
    embedder: str | Embedder | None = None,
) -> Iterator[TrainingRow]:
    """Rows {question, passages, titles, rationale, answer, answers, answerable, gold} of question sets, tables and row
    files.

    Args:
        sources: the data; what cannot be used is added to its `problems`.
        out: the mined distractors are kept below it.
        seed: equal seeds give equal rows, whatever else is in the data.
        tell: progress.
        limit: questions of a set at most.
        tokens: of the prompt, about; a tenth of the rows have longer ones.
        unanswerable: share of the rows without an answer.
        counterfactual: share of the questions whose passage is made to say something else, as far as their answer is a
            name, a number or a date.
        hard: distractors are what our retriever finds for the question, with some random ones; False: all random.
        embedder: of that retriever.
    """
    yield from sources.rows("drafter")
    yield from trace_rows("drafter", sources)
    for source in sources.of("tables"):
        yield from table_rows(source, seed=seed, limit=limit, unanswerable=unanswerable, tell=tell)
    for source in sources.of("questions"):
        found = read_questions(source, [])
        if not found.documents:
            continue
        chosen = _chosen_questions(found, seed, limit, unanswerable)
        mined: Iterator[Sequence[Distractor]] = repeat(())
        if hard:
            asked = [item for item, _ in chosen]
            pieces, rankings = mine(found, asked, out=out, embedder=embedder, tell=tell)
            mined = (_hard(found, pieces, ranking, seed) for ranking in rankings)
        pools = _pools(found)
        falsifier = Falsifier(found, counterfactual, seed=seed)
        right = [(item, found.documents[place.passage][1][place.start : place.end]) for item, place in chosen if place]
        shares = [question_share(item.question, sentence) for item, sentence in right]
        for number, ((item, place), close) in enumerate(zip(chosen, mined, strict=False), start=1):
            made = _row(found, item, place, close, pools[item.part], seed, tokens, shares, falsifier)
            if made:
                yield made
            if number % 200 == 0 or number == len(chosen):
                tell(f"drafts of {found.name}", number, len(chosen))


def find_evidence(found: QuestionSet, asked: Asked) -> Evidence | None:
    """The sentence of a gold passage that carries the answer; None where no sentence does.

    The record's own `rationale` where it stands in the passage, else the first sentence that holds the answer word for
    word, else (explicit answers of a story) the one that holds most of its words.
    """
    if not asked.answerable or asked.fields.get("answer_kind", "explicit") != "explicit":
        return None
    answer = _short_answer(asked.answers)
    if not answer:
        return None
    wanted = str(asked.fields.get("rationale") or "")
    for key in asked.gold:
        text = found.documents[key][1]
        at = text.find(wanted) if wanted else -1
        if at >= 0 and contains(wanted, [answer]):
            return Evidence(key, at, at + len(wanted), answer)
    for key in asked.gold:
        span = _carrier(found.documents[key][1], answer, _starts(asked, answer))
        if span:
            return Evidence(key, *span, answer)
    return None


def shortened(text: str, words: int, rng: random.Random, around: tuple[int, int] | None = None) -> str:
    """Whole sentences of a text, about `words` words, around a span or at a random place; always the span itself."""
    spans = sentence_spans(text) or [(0, len(text))]
    if around is None:
        first = last = rng.randrange(len(spans))
    else:
        inside = [i for i, (start, end) in enumerate(spans) if start < around[1] and end > around[0]] or [0]
        first, last = inside[0], inside[-1]
    size = sum(_words(text[start:end]) for start, end in spans[first : last + 1])
    while True:
        left, right = first - 1, last + 1
        fits = [
            i for i in (left, right) if 0 <= i < len(spans) and size + _words(text[spans[i][0] : spans[i][1]]) <= words
        ]
        if not fits:
            break
        chosen = rng.choice(fits)
        size += _words(text[spans[chosen][0] : spans[chosen][1]])
        first, last = min(first, chosen), max(last, chosen)
    piece = text[spans[first][0] : spans[last][1]]
    if around is None and size > 2 * words:  # one sentence without end: a table, a list
        piece = " ".join(piece.split()[: 2 * words])
    return piece


def question_share(question: str, sentence: str) -> float:
    """The share of a question's content words that stand in a sentence; 0 where it has none.

    >>> question_share("Who sold the mill?", "The mill was built by Duke Otto.")
    0.5
    """
    asked = {term for term, _ in content_terms(question)}
    return len(asked & {term for term, _ in content_terms(sentence)}) / len(asked) if asked else 0.0


def likely_quote(question: str, texts: Sequence[str], share: float) -> str:
    """The sentence whose `question_share` is nearest to `share`, the first of those; "" where none is short enough.

    >>> likely_quote("Who sold the mill?", ["It burnt in 1688. The mill was built by Duke Otto."], 0.6)
    'The mill was built by Duke Otto.'
    """
    sentences = [text[start:end] for text in texts for start, end in sentence_spans(text)]
    usable = [each for each in sentences if _words(each) <= LONGEST_RATIONALE]
    return min(usable, key=lambda each: abs(question_share(question, each) - share), default="")


def _chosen_questions(
    found: QuestionSet, seed: int, limit: int | None, unanswerable: float
) -> list[tuple[Asked, Evidence | None]]:
    """Questions with the place of their answer, and those that shall be unanswerable, without."""
    asked = found.drawn(limit, seed=seed)
    evidence = {item.id: place for item in asked if (place := find_evidence(found, item))}
    real = sum(not item.answerable for item in asked)
    kept = min(real, round(unanswerable * len(evidence) * REAL_SHARE))
    robbed = max(0.0, unanswerable * (len(evidence) + kept) - kept)  # questions that lose their gold passage
    chosen: list[tuple[Asked, Evidence | None]] = []
    for item in asked:
        draw = share_of(item.id, seed=seed, salt="drafts")
        if item.id in evidence:
            chosen.append((item, None if draw * len(evidence) < robbed else evidence[item.id]))
        elif not item.answerable and draw * real < kept:
            chosen.append((item, None))
    return chosen


def _row(
    found: QuestionSet,
    asked: Asked,
    place: Evidence | None,
    close: Sequence[Distractor],
    pool: Sequence[str],
    seed: int,
    tokens: int,
    shares: Sequence[float],
    falsifier: Falsifier,
) -> TrainingRow | None:
    rng = random.Random(f"{seed}:{found.name}:{asked.id}")
    is_long = rng.random() < LONG_SHARE
    count = rng.randint(1, MOST_DISTRACTORS)
    titled = rng.random() < TITLED
    words = LONG_WORDS if is_long else min(SHORT_WORDS, int((tokens - OVERHEAD) / TOKENS_PER_WORD / (count + 1)))
    texts = _distractors(found, asked, close, pool, count if place else count + 1, words, rng)
    if not asked.answerable:  # the passage that it was written for looks most like an answer
        written = [found.documents[key] for key in asked.gold[:1]]
        texts = [(title, shortened(text, words, rng)) for title, text in written] + texts[:count]
    gold = -1
    rationale = ""
    answers = asked.answers
    if place is not None:
        title, text = found.documents[place.passage]
        if false := falsifier.of(asked, text, place.start, place.end):
            text, answers = false.text, (false.answer,)
            place = Evidence(place.passage, false.start, false.end, false.answer)
        rationale = " ".join(text[place.start : place.end].split())
        gold_text = shortened(text, words, rng, (place.start, place.end))
        gold = rng.randint(0, len(texts))
        texts.insert(gold, (title, gold_text))
    else:
        rng.shuffle(texts)
    if not texts:
        return None
    passages = [" ".join(text.split()) for _, text in texts]
    return {
        "question": asked.question,
        "passages": passages,
        "titles": [title if titled else "" for title, _ in texts],
        "rationale": rationale if place else likely_quote(asked.question, passages, rng.choice(shares or [UNKNOWN])),
        "answer": place.answer if place else "",
        "answers": list(answers) if place else [],
        "answerable": place is not None,
        "gold": gold,
        "origin": found.origin(asked.id, asked.document),
    }


def _distractors(
    found: QuestionSet,
    asked: Asked,
    close: Sequence[Distractor],
    pool: Sequence[str],
    count: int,
    words: int,
    rng: random.Random,
) -> list[tuple[str, str]]:
    """Titles and texts: the close ones first, but now and then easy ones, none that holds a right answer."""
    easy = [(key, *found.documents[key]) for key in rng.sample(pool, min(len(pool), 4 * count))]
    texts: dict[str, str] = {}
    for key, title, text in [*(close if rng.random() < HARD_SHARE else close[:1]), *easy]:
        if key in asked.gold or not text.strip():
            continue
        piece = shortened(text, words, rng)
        if piece not in texts and not holds_answer(piece, asked.answers):
            texts[piece] = title
        if len(texts) == count:
            break
    return [(title, text) for text, title in texts.items()]


def _hard(found: QuestionSet, pieces: Pieces, mined: Mined, seed: int) -> list[Distractor]:
    gold = gold_pieces(mined.asked, pieces, mined.ranking)
    close = hard_negatives(mined, found, gold, count=MOST_DISTRACTORS + 1, seed=seed)
    return [(piece.passage, piece.title, piece.text) for piece in close]


def _pools(found: QuestionSet) -> dict[Part, list[str]]:
    pools: dict[Part, list[str]] = {"train": [], "dev": [], "test": []}
    for key in found.documents:
        pools[found.part(key)].append(key)
    return pools


def _short_answer(answers: Sequence[str]) -> str:
    """The answer that most annotators gave, the shortest of those."""
    tidy = [re.sub(r"\s+([.,;:!?])", r"\1", " ".join(answer.split())).strip(" .,;:") for answer in answers]
    usable = [answer for answer in tidy if normalize(answer) and _words(answer) <= LONGEST_ANSWER]
    votes = Counter(map(normalize, usable))
    return min(usable, key=lambda answer: (-votes[normalize(answer)], len(answer)), default="")


def _starts(asked: Asked, answer: str) -> int | None:
    """Where the record says that the answer begins, as SQuAD does."""
    starts = asked.fields.get("answer_starts")
    if isinstance(starts, list) and len(starts) == len(asked.answers):
        for start, given in zip(starts, asked.answers, strict=True):
            if isinstance(start, int) and normalize(given) == normalize(answer):
                return start
    return None


def _carrier(text: str, answer: str, start: int | None) -> tuple[int, int] | None:
    """The span of the sentence that carries the answer."""
    spans = [span for span in sentence_spans(text) if _words(text[span[0] : span[1]]) <= LONGEST_RATIONALE]
    holding = [span for span in spans if contains(text[span[0] : span[1]], [answer])]
    for span in holding:
        if start is not None and span[0] <= start < span[1]:
            return span
    if holding:
        return holding[0]
    wanted = set(normalize(answer).split())
    best = max(spans, key=lambda span: _held(wanted, text[span[0] : span[1]]), default=None)
    if best and len(wanted) > 1 and _held(wanted, text[best[0] : best[1]]) >= OVERLAP:
        return best
    return None


def _held(wanted: set[str], text: str) -> float:
    return len(wanted & set(normalize(text).split())) / max(1, len(wanted))


def _words(text: str) -> int:
    return len(text.split())
