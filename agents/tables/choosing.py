"""Which table is asked, and which rows are shown where not all fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...graphs.common.support import content_terms
from .schema import schema_text
from .table import Table

if TYPE_CHECKING:
    from ...models import Embedder
    from .operations import Frame

__all__ = ("by_embedding", "by_words", "rows_by_words")

SEEN_ROWS = 200
"""Rows of a table that are searched for the question's words."""
NAMED = 3.0
"""How much more a word counts that stands in the title or the header."""
SCHEMA_CHARACTERS = 1000


def by_words(question: str, tables: Sequence[Table]) -> list[tuple[Table, float]]:
    """The tables by the share of the question's words that they hold, best first; ties keep their order."""
    asked = _terms(question)

    def score(table: Table) -> float:
        named = _terms(" ".join([table.title.replace("_", " "), *table.header]))
        held = _terms(" ".join(cell for row in table.rows[:SEEN_ROWS] for cell in row))
        return sum(NAMED if term in named else float(term in held) for term in asked) / (NAMED * max(len(asked), 1))

    return sorted(((table, score(table)) for table in tables), key=lambda each: -each[1])


def by_embedding(question: str, tables: Sequence[Table], embedder: Embedder) -> list[tuple[Table, float]]:
    """The tables by the cosine of the question and their schema, best first; ties keep their order."""
    vectors = embedder.embed([schema_text([table], most_chars=SCHEMA_CHARACTERS) for table in tables])
    scores = vectors @ embedder.embed_query(question)
    return sorted(zip(tables, map(float, scores), strict=True), key=lambda each: -each[1])


def rows_by_words(question: str, frame: Frame) -> list[int]:
    """Places of the rows in the frame: those that hold most of the question's words first; ties keep their order."""
    asked = _terms(question)
    held = [len(asked & _terms(" ".join(row))) for _, row in frame.rows]
    return sorted(range(len(held)), key=lambda at: -held[at])


def _terms(text: str) -> set[str]:
    return {term for term, _ in content_terms(text)}
