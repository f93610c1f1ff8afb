"""Nodes of the SQL way: a statement is written, checked, run, and written anew once where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.documents import Document

from ...graphs.common.ask_all import ask_all
from ...graphs.common.asking import Said
from ...graphs.common.effects import Compute, Doing
from ...graphs.common.prompting import render_prompt
from ...types import Step
from .answering import sql_of
from .checking import checked_sql
from .citing import result_document
from .errors import QueryError, UnsafeQueryError
from .parts import TableParts, failure, tell
from .running import QueryResult, execute
from .sampling import sampling_options
from .state import Attempt, TableState
from .table import ROW_ID
from .voting import Ballot

__all__ = ("MOST_ROWS", "SqlNodes")

SQL_TOKENS = 160
MOST_ROWS = 50
"""Rows of a statement that are an answer."""


class SqlNodes(TableParts):
    """The nodes."""

    def write(self, state: TableState, step: Step) -> Doing[dict[str, Any]]:
        """Asks for statements, and runs those that the check lets through."""
        purse = self.purse(state)
        # The other path's samples, where there is one: both have as many.
        samples = len(state["ballots"]) or self.samples
        messages = render_prompt(__package__ or "", "sql", schema=self.schema(state), question=state["asked"])
        options = sampling_options(self.llm, samples, self.seed)
        prompts = [messages] * samples
        said = yield from ask_all(self.llm, purse, prompts, max_tokens=SQL_TOKENS, keep_calls=0, options=options)
        statements = ["" if reply.failed else sql_of(reply.text) for reply in said]
        ballots = yield from self._tried(statements, said)
        failed = [
            Attempt(sql=sql, failed=ballot["trouble"])
            for sql, ballot, reply in zip(statements, ballots, said, strict=True)
            if ballot["trouble"] and not reply.failed
        ]
        kept = [ballot for ballot, reply in zip(ballots, said, strict=True) if not ballot["trouble"] or reply.failed]
        tell(step, ballots, "checked, and run")
        step["details"] = {"sql": statements, "failed": [each["failed"] for each in failed]}
        error = failure(said)
        return {
            "ballots": [*state["ballots"], *kept],
            "attempts": failed,
            "error": error if not state["ballots"] or state["error"] else "",
            "usage": purse.usage,
        }

    def repair(self, state: TableState, step: Step) -> Doing[dict[str, Any]]:
        """Tells the model once why its statements failed. One that it only repeats is not run again."""
        purse, attempts = self.purse(state), state["attempts"]
        schema, question = self.schema(state), state["asked"]
        prompts = [
            render_prompt(
                __package__ or "",
                "repair",
                schema=schema,
                question=question,
                sql=each["sql"],
                error=each["failed"],
            )
            for each in attempts
        ]
        said = yield from ask_all(self.llm, purse, prompts, max_tokens=SQL_TOKENS, keep_calls=0)
        statements = ["" if reply.failed else sql_of(reply.text) for reply in said]
        changed = ["" if _same(sql, each["sql"]) else sql for sql, each in zip(statements, attempts, strict=True)]
        ballots = yield from self._tried(changed, said)
        for ballot, sql, new in zip(ballots, statements, changed, strict=True):
            if sql and not new:
                ballot["trouble"] = "the model wrote the same statement again"
        tell(step, ballots, "after the error was told")
        step["details"] = {"sql": statements, "failed": [ballot["trouble"] for ballot in ballots if ballot["trouble"]]}
        return {"ballots": [*state["ballots"], *ballots], "attempts": [], "usage": purse.usage}

    def after_write(self, state: TableState) -> Literal["repair", "answer"]:
        """Once more, where a statement failed and there is a call left."""
        return "repair" if state["attempts"] and not self.purse(state).refusal() else "answer"

    def _tried(self, statements: Sequence[str], said: Sequence[Said]) -> Doing[list[Ballot]]:
        """A ballot for each statement; equal ones are run once."""
        ran: dict[str, Ballot] = {}
        for sql in dict.fromkeys(each for each in statements if each):
            ran[sql] = yield Compute(self._try, sql)
        return [
            Ballot(**ran[sql]) if sql else _no_ballot(reply.failed or "the model wrote no statement")
            for sql, reply in zip(statements, said, strict=True)
        ]

    def _try(self, sql: str) -> Ballot:
        try:
            query = checked_sql(sql, self.tables, limit=MOST_ROWS)
            result = execute(query, self.tables)
        except (UnsafeQueryError, QueryError) as error:
            return _no_ballot(str(error))
        values = _values(result)
        document = result_document([self.tables[name] for name in query.tables], query.sql, result)
        trouble = "" if values else "the statement gave no rows"
        return Ballot(path="sql", values=values, document=document, trouble=trouble)


def _no_ballot(trouble: str) -> Ballot:
    return Ballot(path="sql", values=[], document=Document(""), trouble=trouble)


def _values(result: QueryResult) -> list[str]:
    """Every cell of the rows, each once; the rows' places only where nothing else was asked for."""
    kept = [at for at, name in enumerate(result.columns) if name != ROW_ID] or range(len(result.columns))
    return list(dict.fromkeys(row[at] for row in result.texts() for at in kept if row[at].strip()))


def _same(left: str, right: str) -> bool:
    return " ".join(left.split()).rstrip("; ").lower() == " ".join(right.split()).rstrip("; ").lower()
