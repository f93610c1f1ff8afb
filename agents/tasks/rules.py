"""Tasks by English cues: no model, under a millisecond, and unknown where no cue is certain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...graphs.common.effects import Doing
from ...graphs.common.purse import Purse
from ...graphs.common.support import held_terms
from ..sources.route import SourceRoute
from ..sources.router import BudgetedRouter
from .comparison.sides import sides_of
from .cues import AGGREGATE, OUT_OF_SCOPE, SMALL_TALK, SUMMARY, TABLE
from .task import TASKS, Task

if TYPE_CHECKING:
    from ..tables import Table, Tables

__all__ = ("TaskRules", "is_small_talk")


SEEN_ROWS = 200
"""Rows of a table that are searched for the question's words."""
_EDGES = " \t\n.,;:!?\"'“”‘’()…"


class TaskRules(BudgetedRouter):
    """Chooses by what a question says, in this order; unknown where nothing is said.

    - `small_talk`: the whole message is a greeting, thanks, a farewell, or about the assistant;
    - `out_of_scope`: it wants something written, told, played, switched, ordered or translated, or the weather or time
      of now, and nothing else;
    - `table`: it speaks of a table, its rows or columns; or, where `tables` are given, it counts, orders or asks which,
      and two of its words stand in a table, one of them in title or header;
    - `comparison`: two sides can be found in it (`sides_of`);
    - `summary`: it asks for a summary, an overview, the main points, or what a document is about.

    English only. It is sure of what it says: the score of its task is 1.

    Args:
        tables: whose titles, headers and cells make a question one about tables.

    Example:
        >>> rules = TaskRules()
        >>> [rules.route(question).label for question in ("Hi!", "Sum up the report.", "Tea?", "Oslo vs. Bergen")]
        ['small_talk', 'summary', 'unknown', 'comparison']
    """

    def __init__(self, *, tables: Tables | None = None) -> None:
        self._tables = [_terms_of(table) for table in tables.values()] if tables is not None else []

    @property
    def labels(self) -> tuple[str, ...]:
        """All tasks; what is a fact it never says itself."""
        return TASKS

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Looks for cues; nothing is charged."""
        yield from ()
        by = type(self).__name__
        task, reason = self._found(_bare(question))
        return SourceRoute((task,), {task: 1.0}, by, reason) if task else SourceRoute((), by=by, reason=reason)

    def _found(self, asked: str) -> tuple[Task | None, str]:
        if SMALL_TALK.fullmatch(asked):
            return "small_talk", "the whole message is small talk"
        if found := OUT_OF_SCOPE.search(asked):
            return "out_of_scope", f"it says {found[0]!r}"
        summary = SUMMARY.search(asked)
        if (found := TABLE.search(asked)) and not summary:
            return "table", f"it says {found[0]!r}"
        if (found := AGGREGATE.search(asked)) and (named := self._in_tables(asked)) and not summary:
            return "table", f"it says {found[0]!r}, and a table has {' and '.join(named)}"
        if compared := sides_of(asked):
            return "comparison", f"it compares {' | '.join(compared.sides)}"
        if summary:
            return "summary", f"it says {summary[0]!r}"
        return None, "no cue"

    def _in_tables(self, asked: str) -> list[str]:
        """The question's words that a table holds; none where they are too few to be about it."""
        terms = held_terms(asked)
        for headers, cells in self._tables:
            if headers & terms and len(held := (headers | cells) & terms) > 1:
                return sorted(held)
        return []


def is_small_talk(message: str) -> bool:
    """Whether the whole message is a greeting, thanks, a farewell, or about the assistant. English.

    >>> is_small_talk("Thanks a lot!"), is_small_talk("Thanks, and who is the ombudsperson?")
    (True, False)
    """
    return SMALL_TALK.fullmatch(_bare(message)) is not None


def _bare(message: str) -> str:
    return " ".join(message.split()).replace("’", "'").strip(_EDGES)


def _terms_of(table: Table) -> tuple[frozenset[str], frozenset[str]]:
    """The words of title and header, and those of the first cells."""
    cells = " ".join(cell for row in table.rows[:SEEN_ROWS] for cell in row)
    return held_terms(" ".join([table.title.replace("_", " "), *table.header])), held_terms(cells)
