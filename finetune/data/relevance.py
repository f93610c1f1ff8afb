"""Rows for the evaluator and the reranker: question, passage, relevant or not.

The paper's evaluator was trained on titles of one set, with passages of other questions as negatives, and learned to
match titles (CRAG, Yan et al. 2024, arXiv 2401.15884; see the critique in the strategies' notes). Here negatives are
what our retriever confuses with the gold, over all sets that are given, and for the evaluator also the paragraph of a
question that only seems to be answered in it (SQuAD 2.0).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...evals.answer_sets import share_of
from ..options import Tell, no_tell
from .mining import Mined, Piece, Pieces, gold_pieces, hard_negatives, mine
from .question_sets import QuestionSet, read_questions
from .rows import TrainingRow
from .sources import Sources
from .texts import holds_answer
from .traces import trace_rows

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("relevance_rows",)

FOUND = 10
"""A random negative is not among so many of the first."""


def relevance_rows(
    sources: Sources,
    *,
    out: Path,
    role: Literal["evaluator", "reranker"] = "evaluator",
    negatives: int = 3,
    random_negatives: int = 1,
    unanswerable: bool = True,
    limit: int | None = None,
    seed: int = 0,
    embedder: str | Embedder | None = None,
    tell: Tell = no_tell,
) -> Iterator[TrainingRow]:
    """{question, passage, title, label, made} with label 1 or 0, and `query`, equal for all rows of one question.

    For each question: a row for each gold passage (its chunk that holds the answer), `negatives` mined ones and
    `random_negatives` of other documents. `unanswerable`: an unanswerable question with the paragraph that it was
    written for is a negative. `limit`: questions a set. `made` is gold, hard, random or unanswerable.
    """
    for source in [*sources.of("questions"), *sources.of("retrieval")]:
        questions = read_questions(source, [])
        if not questions.documents:
            continue
        asked = [item for item in questions.drawn(limit, seed=seed) if item.gold and (item.answerable or unanswerable)]
        pieces, found = mine(questions, asked, out=out, embedder=embedder, tell=tell)
        pools = _pools(questions, pieces)
        for mined in found:
            yield from _rows(mined, questions, pieces, pools, negatives, random_negatives, seed)
    yield from trace_rows(role, sources)
    yield from sources.rows(role)


def _rows(
    mined: Mined,
    questions: QuestionSet,
    pieces: Pieces,
    pools: dict[str, list[Piece]],
    negatives: int,
    random_negatives: int,
    seed: int,
) -> Iterator[TrainingRow]:
    asked = mined.asked
    gold = gold_pieces(asked, pieces, mined.ranking)
    if not gold:
        return
    times = len(gold) if questions.judged else 1
    wanted = negatives * times
    hard = hard_negatives(mined, questions, gold, count=wanted, seed=seed) if wanted else []
    random_negatives *= times
    chosen: list[tuple[Piece, float, str]]
    if asked.answerable:
        chosen = [(piece, 1.0, "gold") for piece in gold] + [(piece, 0.0, "hard") for piece in hard]
        pool = pools[asked.part if not questions.judged else ""]
        chosen += [(piece, 0.0, "random") for piece in _random(mined, pool, [*gold, *hard], random_negatives, seed)]
    else:
        chosen = [(gold[0], 0.0, "unanswerable")]
    for number, (piece, label, made) in enumerate(chosen):
        yield {
            "question": asked.question,
            "passage": piece.text,
            "title": piece.title,
            "label": label,
            "made": made,
            "query": f"{questions.name}:{asked.id}",
            "origin": questions.origin(f"{asked.id}.{number}", asked.document),
        }


def _pools(questions: QuestionSet, pieces: Pieces) -> dict[str, list[Piece]]:
    """Chunks of each part; of a retrieval set, whose parts are of queries, all of them."""
    pools: dict[str, list[Piece]] = {"train": [], "dev": [], "test": [], "": []}
    for key, chunks in pieces.of_passage.items():
        pools["" if questions.judged else questions.part(key)] += chunks
    return pools


def _random(mined: Mined, pool: list[Piece], taken: list[Piece], count: int, seed: int) -> list[Piece]:
    """Chunks of other passages that are not among the first that were found, and hold no answer."""
    asked = mined.asked
    found = {piece.id for piece, _ in mined.ranking[:FOUND]} | {piece.id for piece in taken}
    chosen: list[Piece] = []
    for attempt in range(20 * count):
        if len(chosen) == count or not pool:
            break
        piece = pool[int(share_of(f"{asked.id}\0{attempt}", seed=seed, salt="random") * len(pool))]
        if piece.id in found or piece.passage in asked.gold or holds_answer(piece.text, asked.answers):
            continue
        found.add(piece.id)
        chosen.append(piece)
    return chosen
