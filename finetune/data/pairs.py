"""Rows for the embedder: a query, a text that answers it, and texts that only look so.

Out of answer sets and retrieval sets with mined negatives; out of a corpus alone as title to text, and with questions
that `ask` makes of a passage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ...evals.answer_sets import share_of
from ...evals.jsonl import Problem
from ...evals.text_metrics import normalize
from ..options import Tell, no_tell
from .mining import Piece, Pieces, gold_pieces, hard_negatives, mine
from .question_sets import QuestionSet, read_questions
from .rows import TrainingRow
from .sources import Sources
from .traces import trace_rows

if TYPE_CHECKING:
    from ...models.protocols import Embedder

__all__ = ("QuestionMaker", "embedding_rows", "title_rows")

QuestionMaker = Callable[[str, str], "str | None"]
"""(title, text) to a question that the text answers, or None: where a chat model is configured."""
LEAST_WORDS = 8
"""A text with fewer words is no passage to be found by its title."""
FIRST = 3
"""Chunks of a document that count as its beginning."""


def embedding_rows(
    sources: Sources,
    *,
    out: Path,
    negatives: int = 3,
    titles: bool = True,
    ask: QuestionMaker | None = None,
    limit: int | None = None,
    seed: int = 0,
    embedder: str | Embedder | None = None,
    tell: Tell = no_tell,
) -> Iterator[TrainingRow]:
    """{query, positive, negatives, made}; `made` is question, title or asked.

    `negatives`: mined ones of each question; 0 mines nothing, for losses with negatives of the batch alone. `titles`:
    also title to text, of each passage whose title is its own. `ask`: also a question made of each passage. `limit`:
    questions, and passages, of a set.
    """
    for source in [*sources.of("questions"), *sources.of("retrieval"), *sources.of("corpus")]:
        questions = read_questions(source, [])
        if not questions.documents:
            continue
        asked = [item for item in questions.drawn(limit, seed=seed) if item.answerable and item.gold]
        pieces, found = mine(questions, asked, out=out, embedder=embedder, tell=tell)
        for mined in found:
            gold = gold_pieces(mined.asked, pieces, mined.ranking)
            hard = hard_negatives(mined, questions, gold, count=negatives, seed=seed) if negatives else []
            for number, piece in enumerate(gold):
                yield {
                    "query": mined.asked.question,
                    "positive": piece.text,
                    "negatives": [item.text for item in hard],
                    "title": piece.title,
                    "made": "question",
                    "origin": questions.origin(f"{mined.asked.id}.{number}", mined.asked.document),
                }
        if titles or ask:
            made = 0
            for row in title_rows(questions, pieces, titles=titles, ask=ask, limit=limit, seed=seed):
                made += 1
                yield row
            if source.kind == "corpus" and not made:
                what = "no text has a title of its own to be found by: add --make-questions N"
                sources.problems.append(Problem(str(source.path), 0, what))
    yield from trace_rows("embedder", sources)
    yield from sources.rows("embedder")


def title_rows(
    questions: QuestionSet,
    pieces: Pieces,
    *,
    titles: bool = True,
    ask: QuestionMaker | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Iterator[TrainingRow]:
    """Pairs out of the corpus alone: of a long document, its title and one chunk near its beginning."""
    borne: dict[str, int] = {}
    for title, _ in questions.documents.values():
        borne[normalize(title)] = borne.get(normalize(title), 0) + 1
    keys = sorted(questions.documents, key=lambda key: share_of(key, seed=seed, salt="title"))[:limit]
    for key in keys:
        title = questions.documents[key][0]
        body = _beginning(title, pieces.of_passage.get(key, []))
        if not body:
            continue
        queries: list[tuple[str, str]] = []
        # An article's title over each of its paragraphs names none of them.
        if titles and title.strip() and borne[normalize(title)] == 1:
            queries.append((title, "title"))
        if ask and (made := ask(title, body)):
            queries.append((made, "asked"))
        for query, kind in queries:
            yield {
                "query": query,
                "positive": body,
                "negatives": [],
                "title": "",
                "made": kind,
                "origin": questions.origin(f"{key}.{kind}", questions.document(key)),
            }


def _beginning(title: str, chunks: Sequence[Piece]) -> str:
    """Of the first chunks, the one that says most of what the title says: an abstract rather than a list of authors."""
    wanted = set(normalize(title).split())
    texts = [chunk.text.removeprefix(title).strip() for chunk in chunks[:FIRST]]
    texts = [text for text in texts if len(text.split()) >= LEAST_WORDS]
    return max(texts, key=lambda text: len(wanted & set(normalize(text).split())), default="")
