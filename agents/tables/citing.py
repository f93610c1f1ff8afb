"""What an answer cites: the rows that hold its values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from langchain_core.documents import Document

from ...graphs.common.support import content_terms
from ...types import Citation
from .denotation import denotation
from .running import QueryResult
from .table import Table, pipe_lines

__all__ = ("cited", "result_document")

MOST_CITATIONS = 8
_BAR = re.compile(r"(?<!\\) \| ")


def result_document(tables: Sequence[Table], sql: str, result: QueryResult) -> Document:
    """The rows that a statement gave as a passage: a Markdown table; the statement is in its metadata."""
    lines = pipe_lines(result.columns, enumerate(result.texts(), start=1))
    source = ", ".join(dict.fromkeys(table.source for table in tables)) or "computed"
    digest = hashlib.blake2b("\0".join([sql, *(table.id for table in tables)]).encode(), digest_size=8).hexdigest()
    return Document(
        "\n".join(lines),
        id=f"rows:{digest}",
        metadata={
            "source": source,
            "title": ", ".join(table.title for table in tables),
            "page": 1,
            "sql": sql,
            "rows_shown": len(result.rows),
            "truncated": result.truncated,
            "score": 1.0,
            "score_kind": "sql",
        },
    )


def cited(values: Sequence[str], documents: Sequence[Document], question: str) -> list[Citation]:
    """For each value the row that holds it, in the first document that has one; nothing for what no row holds.

    Of several rows of a table the one with most of the question's words. A number is found somewhere by chance: in a
    table that was only read, its row must share a word with the question.
    """
    asked = {term for term, _ in content_terms(question)}
    citations = []
    for value in values[:MOST_CITATIONS]:
        for document in documents:
            if quote := _row_with(value, document, asked):
                citations.append(
                    Citation(
                        sentence=value,
                        id=str(document.id),
                        source=str(document.metadata["source"]),
                        page=1,
                        quote=quote,
                        score=1.0,
                    )
                )
                break
    return citations


def _row_with(value: str, document: Document, asked: set[str]) -> str:
    wanted = {each.key for each in denotation([value])}
    counts = any(each.number is not None for each in denotation([value]))
    found: list[tuple[int, str]] = []
    for line in document.page_content.split("\n")[2:]:
        cells = [cell.replace("\\|", "|") for cell in _BAR.split(line.removeprefix("| ").removesuffix(" |"))][1:]
        if wanted & {each.key for each in denotation(cells)}:
            shared = len(asked & {term for term, _ in content_terms(" ".join(cells))})
            found.append((shared, line))
    computed = "sql" in document.metadata
    best = max(found, key=lambda each: each[0], default=(0, ""))
    return best[1] if computed or best[0] or not counts else ""
