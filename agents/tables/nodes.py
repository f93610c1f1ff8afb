"""The nodes of questions over tables: which table is asked, the two paths, and the answer."""

from __future__ import annotations

from typing import Any

from langchain_core.messages import AIMessage
from langgraph.config import get_stream_writer

from ...graphs.common.effects import Compute, Doing
from ...types import Step
from .choosing import by_embedding, by_words
from .citing import cited
from .reading_nodes import ReadingNodes
from .sql_nodes import MOST_ROWS, SqlNodes
from .state import TableState
from .voting import counted

__all__ = ("TableNodes",)

NO_ANSWER = "I found nothing in the tables that answers the question."
FIRST_ROWS = 10
"""Rows that are shown where nothing was read."""


class TableNodes(ReadingNodes, SqlNodes):
    """The nodes."""

    def choose(self, state: TableState, step: Step) -> Doing[dict[str, Any]]:
        """Finds the table that is asked; the others follow, as a statement may join them."""
        own = [self.tables[self.table]] if self.table else list(self.tables.values())
        if len(own) == 1:
            ranked, by = [(own[0], 1.0)], "as given" if self.table else "the only table"
        elif self.embedder is not None:
            ranked, by = (yield Compute(by_embedding, state["asked"], own, self.embedder)), "by the schema's embedding"
        else:
            ranked, by = (yield Compute(by_words, state["asked"], own)), "by the question's words"
        first = ranked[0][0]
        step["decision"], step["reason"] = first.name, by
        step["scores"] = {table.name: round(score, 4) for table, score in ranked}
        shown = first.document(first.header, list(enumerate(first.rows, start=1))[:FIRST_ROWS])
        # What an earlier turn of the thread left behind is forgotten.
        earlier: dict[str, Any] = {"ballots": [], "attempts": [], "operations": [], "ended": False}
        return {**earlier, "tables": [table.name for table, _ in ranked], "documents": [shown]}

    def answer(self, state: TableState, step: Step) -> Doing[dict[str, Any]]:
        """Counts the votes, and cites the rows that hold the winner's values; abstains where nobody has an answer."""
        yield from ()
        ballots = state["ballots"]
        candidates = counted(ballots)
        troubles = [ballot["trouble"] for ballot in ballots if ballot["trouble"]]
        dropped = f"; {len(troubles)} without an answer have no vote: {troubles[0]}" if troubles else ""
        read = list({ballot["document"].id: ballot["document"] for ballot in ballots}.values())
        if not candidates:
            error = state["error"]
            text = f"The language model failed: {error}" if error else NO_ANSWER
            step["decision"], step["reason"] = "abstain", (troubles or ["nothing was asked"])[0]
            message = AIMessage(text, additional_kwargs={"citations": [], "abstained": True})
            nearest = [each for each in read if each.page_content] or state["documents"]
            return {"answer": text, "abstained": True, "citations": [], "documents": nearest, "messages": [message]}
        winner = candidates[0]
        values = winner.ballots[0]["values"]
        text = ", ".join(values)
        documents = list({ballot["document"].id: ballot["document"] for ballot in winner.ballots}.values())
        citations = cited(values, documents, state["asked"])
        step["decision"] = f"{text[:80]} ({len(winner.ballots)} of {len(ballots)} votes)"
        tied = [each for each in candidates[1:] if len(each.ballots) == len(winner.ballots)]
        step["reason"] = f"by {' and '.join(sorted(winner.paths))}{_why(len(winner.paths), len(tied))}{dropped}"
        if any(document.metadata.get("truncated") for document in documents):
            step["reason"] += f"; only the first {MOST_ROWS} rows are shown"
        if not citations:
            step["reason"] += "; no row holds the answer itself: it was worked out"
        step["scores"] = {", ".join(each.ballots[0]["values"])[:80]: float(len(each.ballots)) for each in candidates}
        get_stream_writer()({"type": "sentence", "text": text, "citations": citations})
        message = AIMessage(text, additional_kwargs={"citations": citations, "abstained": False})
        return {
            "answer": text,
            "abstained": False,
            "citations": citations,
            "documents": documents,
            "error": "",
            "messages": [message],
        }


def _why(paths: int, tied: int) -> str:
    if not tied:
        return ""
    return f"; a tie with {tied} others, " + ("broken by both paths' agreement" if paths > 1 else "the first one said")
