"""Rows for the evaluator and the reranker: question, passage, relevant or not.

The paper's evaluator was trained on titles of one set, with passages of other questions as negatives, and learned to
match titles (CRAG, Yan et al. 2024, arXiv 2401.15884; see the critique in the strategies' notes). Here negatives are
what our retriever confuses with the gold, over all sets that are given.

    evaluator   a paragraph that only seems to answer the question (SQuAD 2.0) is a negative too
    reranker    not so, for it is the best one to be had; dev and test rows are the retriever's own lists with its
                scores, because the mixture with the first stage is fitted and measured on what will be reranked

In dev and test rows negatives are as hard as in use, of documents of any part before their own (`hard_negatives`): such
a row says `distractor`, and its passage is no reason to keep others out of training.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ...evals.answer_sets import share_of
from ..options import Tell, no_tell
from .made_queries import made_queries
from .mining import MARGIN, Mined, Piece, Pieces, gold_pieces, hard_negatives, mine
from .parts import PARTS, Part
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
UNTITLED = 0.25
"""Share of the questions of the train part whose passages stand there without their titles: a model that had them
always would match titles, as the paper's did."""
LIST = 20
"""Passages of a list that a reranker is measured on, at most."""
MADE_GOLD = 2
"""Relevant passages of a made query: a title may have fifty."""


def relevance_rows(
    sources: Sources,
    *,
    out: Path,
    role: Literal["evaluator", "reranker"] = "evaluator",
    negatives: int = 3,
    random_negatives: int = 1,
    unanswerable: bool = True,
    margin: float | None = MARGIN,
    parts: Collection[Part] = PARTS,
    untrained: bool = False,
    limit: int | None = None,
    made: float = 0.0,
    seed: int = 0,
    embedder: str | Embedder | None = None,
    tell: Tell = no_tell,
) -> Iterator[TrainingRow]:
    """{question, passage, title, label, made} with label 1 or 0, and `query`, equal for all rows of one question.

    For each question: a row for each gold passage (its chunk that holds the answer), `negatives` mined ones and
    `random_negatives` of other documents. `unanswerable` (evaluator): an unanswerable question with the paragraph that
    it was written for is a negative. `limit`: questions a set, of these `parts`. `margin`: see `hard_negatives`.
    `untrained`: rows to measure on only, with negatives of any document. `made`: so many queries made of the passages
    (`made_queries`) for each question of the train part. The column `made` is gold, hard, random or unanswerable, of
    made queries their kind. Rows of the reranker have the score of the `first_stage`, None where it did not find the
    passage.
    """
    unanswerable = unanswerable and role == "evaluator"
    for source in [*sources.of("questions"), *sources.of("retrieval")]:
        questions = read_questions(source, [])
        if not questions.documents:
            continue
        drawn = questions.drawn(limit, seed=seed, parts=parts)
        asked = [item for item in drawn if item.gold and (item.answerable or unanswerable)]
        pieces, found = mine(questions, asked, out=out, embedder=embedder, tell=tell)
        pools = _pools(questions, pieces)
        for mined in found:
            part = mined.asked.part
            among = PARTS if untrained else PARTS[: PARTS.index(part) + 1]
            if role == "reranker" and part != "train":
                rows = _list(mined, questions, pieces, among, seed)
            else:
                rows = _chosen(mined, questions, pieces, pools, negatives, random_negatives, margin, among, seed)
            yield from _as_rows(mined, questions, rows, role)
        # The documents of a retrieval set are shared by queries of all parts: nothing is made of them.
        trained = 0 if questions.judged else sum(item.part == "train" for item in asked)
        for row in _made_rows(questions, round(made * trained), negatives, out, seed, embedder, tell):
            yield {**row, "first_stage": None} if role == "reranker" else row
    yield from trace_rows(role, sources)
    yield from sources.rows(role)


_Chosen = tuple[Piece, float, str]
"""A chunk, its label, and how it was chosen."""


def _chosen(
    mined: Mined,
    questions: QuestionSet,
    pieces: Pieces,
    pools: dict[str, list[Piece]],
    negatives: int,
    random_negatives: int,
    margin: float | None,
    among: Collection[Part],
    seed: int,
) -> list[_Chosen]:
    """Gold, hard and random ones."""
    asked = mined.asked
    gold = gold_pieces(asked, pieces, mined.ranking)
    if not gold:
        return []
    if not asked.answerable:
        return [(gold[0], 0.0, "unanswerable")]
    times = len(gold) if questions.judged else 1
    count = negatives * times
    hard = hard_negatives(mined, questions, gold, count=count, seed=seed, margin=margin, parts=among) if count else []
    pool = pools[asked.part if not questions.judged else ""]
    others = _random(mined, pool, [*gold, *hard], random_negatives * times, seed)
    return [
        *((piece, 1.0, "gold") for piece in gold),
        *((piece, 0.0, "hard") for piece in hard),
        *((piece, 0.0, "random") for piece in others),
    ]


def _list(mined: Mined, questions: QuestionSet, pieces: Pieces, among: Collection[Part], seed: int) -> list[_Chosen]:
    """The best of what was found, as it was found; nothing where no gold passage was."""
    found = {piece.id for piece, _ in mined.ranking}
    gold = [piece for piece in gold_pieces(mined.asked, pieces, mined.ranking) if piece.id in found]
    # The queries of a retrieval set share its corpus: whole lists would leave next to no passage to train on.
    count, spread = (3 * len(gold), 3) if questions.judged else (LIST - len(gold), 1)
    if not gold:
        return []
    others = hard_negatives(mined, questions, gold, count=count, seed=seed, spread=spread, margin=None, parts=among)
    return [*((piece, 1.0, "gold") for piece in gold), *((piece, 0.0, "hard") for piece in others)]


def _as_rows(
    mined: Mined, questions: QuestionSet, chosen: Sequence[_Chosen], role: Literal["evaluator", "reranker"]
) -> Iterator[TrainingRow]:
    asked = mined.asked
    scores = {piece.id: score for piece, score in mined.ranking}
    untitled = asked.part == "train" and share_of(asked.id, salt="untitled") < UNTITLED
    for number, (piece, label, made) in enumerate(chosen):
        row: TrainingRow = {
            "question": asked.question,
            "passage": piece.text,
            "title": "" if untitled else piece.title,
            "label": label,
            "made": made,
            "query": f"{questions.name}:{asked.id}",
            "origin": questions.origin(f"{asked.id}.{number}", asked.document),
        }
        if not label and not questions.judged and questions.part(piece.passage) != asked.part:
            row["distractor"] = True
        yield {**row, "first_stage": scores.get(piece.id)} if role == "reranker" else row


def _made_rows(
    questions: QuestionSet,
    count: int,
    negatives: int,
    out: Path,
    seed: int,
    embedder: str | Embedder | None,
    tell: Tell,
) -> Iterator[TrainingRow]:
    """Rows of queries that were made of the passages: at most `MADE_GOLD` relevant ones each, and mined negatives."""
    made = made_queries(questions, count, seed=seed)
    if not made:
        return
    pieces, found = mine(questions, [one.asked for one in made], out=out, embedder=embedder, tell=tell)
    for one, mined in zip(made, found, strict=True):
        gold = gold_pieces(mined.asked, pieces, mined.ranking)
        gold = [piece for piece in gold if not one.sentence or one.sentence in piece.text][:MADE_GOLD]
        hard = hard_negatives(mined, questions, gold, count=negatives * len(gold), seed=seed) if gold else []
        hard = [piece for piece in hard if not one.sentence or one.sentence not in piece.text]  # boilerplate
        chosen = [*((piece, 1.0) for piece in gold), *((piece, 0.0) for piece in hard)]
        for number, (piece, label) in enumerate(chosen if hard else ()):
            yield {
                "question": one.asked.question,
                "passage": " ".join(piece.text.replace(one.sentence, " ").split()) if one.sentence else piece.text,
                "title": "" if one.kind == "title" else piece.title,
                "label": label,
                "made": one.kind,
                "query": f"{questions.name}:{one.asked.id}",
                "origin": questions.origin(f"{one.asked.id}.{number}", one.asked.document),
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
