"""Whether every name of a parsed query is known, and whether the query stays as small as it looks.

Few words can ask for very much: `SELECT *, *` doubles the columns, a table expression that is joined with itself
doubles the plan, and a column made of an earlier one twice doubles the expression. Each level costs a line, and
planning cannot be interrupted as running can: thirty levels took DuckDB more than a minute. So sizes are counted here,
without anything being written out.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import UnsafeQueryError
from .table import ROW_ID

if TYPE_CHECKING:
    from sqlglot import exp
    from sqlglot.optimizer.scope import Scope

__all__ = ("tables_read",)

MOST_COLUMNS = 2000
MOST_PARTS = 100
MOST_WEIGHT = 1000
Known = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class _Outline:
    """What a part of a query gives, and what it takes."""

    names: frozenset[str]
    """Of its columns."""
    columns: int
    parts: int
    """Tables and queries that it is put together from, each as often as it is named."""


def tables_read(query: exp.Query, known: Known) -> set[str]:
    """The tables that a query reads. `UnsafeQueryError` for an unknown name, and for a query that swells."""
    from sqlglot import exp
    from sqlglot.errors import SqlglotError
    from sqlglot.optimizer.scope import traverse_scope

    resolver = _Resolver(known)
    try:
        for scope in traverse_scope(query):  # inner ones first
            resolver.check(scope)
    except SqlglotError as error:
        raise UnsafeQueryError(" ".join(str(error).split())[:200], hint="write it simpler") from None
    for table in query.find_all(exp.Table):
        if id(table) not in resolver.seen:
            raise UnsafeQueryError(f"the table {table.name} stands where none is expected", hint="write it simpler")
    return resolver.read


class _Resolver:
    def __init__(self, known: Known) -> None:
        self.known = known
        self.read: set[str] = set()
        self.seen: set[int] = set()
        """Ids of the nodes that name a table, and were looked up."""
        self._outlines: dict[int, _Outline] = {}

    def check(self, scope: Scope) -> None:
        """Outlines a scope, and looks up each of its columns there and in those around it."""
        from sqlglot import exp

        outline = self._outline(scope)
        if outline.columns > MOST_COLUMNS:
            raise UnsafeQueryError(f"the query makes {outline.columns} columns", hint=f"{MOST_COLUMNS} at most")
        if outline.parts > MOST_PARTS:
            raise UnsafeQueryError(f"the query has {outline.parts} parts", hint=f"{MOST_PARTS} at most")
        _check_weight(scope.expression)
        for column in scope.find_all(exp.Column):
            self._check_column(column, scope)

    def _check_column(self, column: exp.Column, scope: Scope) -> None:
        from sqlglot import exp

        name, table = column.name.lower(), column.table.lower()
        visible: set[str] = set()
        for each in _around(scope):
            sources = self._sources(each)
            if table and table not in sources:
                continue
            seen = set(sources[table].names) if table else self._own_names(each, sources)
            if isinstance(column.this, exp.Star) or name in seen:
                return
            visible |= seen
        shown = f"{column.table}.{column.name}" if table else column.name
        _unknown(f"there is no column {shown}", name, visible - {ROW_ID})

    def _own_names(self, scope: Scope, sources: Mapping[str, _Outline]) -> set[str]:
        """What a column without a table may be called here: a column of the sources, or an alias."""
        from sqlglot import exp

        if isinstance(scope.expression, exp.SetOperation):  # it is sorted by what it gives
            return set(self._outline(scope).names)
        aliases = {made.alias.lower() for made in getattr(scope.expression, "selects", []) if made.alias}
        return aliases.union(*(source.names for source in sources.values()))

    def _outline(self, scope: Scope) -> _Outline:
        if id(scope) not in self._outlines:
            self._outlines[id(scope)] = self._made(scope)
        return self._outlines[id(scope)]

    def _made(self, scope: Scope) -> _Outline:
        from sqlglot import exp

        expression: Any = scope.expression
        if isinstance(expression, exp.SetOperation):
            sides = [self._outline(each) for each in scope.set_operation_scopes]
            parts = 1 + sum(side.parts for side in sides)
            return _Outline(sides[0].names, max(side.columns for side in sides), parts)
        if isinstance(expression, exp.Values):
            width = len(expression.expressions[0].expressions) if expression.expressions else 0
            return _Outline(frozenset(f"col{at}" for at in range(width)), width, 1)
        if not isinstance(expression, exp.Select):  # (name AS x): whose tables no scope would look up
            raise UnsafeQueryError("brackets around a table are not allowed", hint="name the table without them")
        sources = self._sources(scope)
        names: set[str] = set()
        columns = 0
        for made in expression.expressions:
            if made.is_star:
                table = str(getattr(made, "table", "")).lower()
                of = [sources[table]] if table and table in sources else list(sources.values())
                columns += sum(each.columns for each in of)
                names.update(*(each.names for each in of))
            else:
                columns += 1
                names.add(made.alias_or_name.lower())
        parts = 1 + sum(each.parts for each in sources.values())
        parts += sum(self._outline(each).parts for each in scope.subquery_scopes)
        return _Outline(frozenset(names), columns, parts)

    def _sources(self, scope: Scope) -> dict[str, _Outline]:
        """What a scope reads itself, by the name that it has there."""
        from sqlglot import exp

        found: dict[str, _Outline] = {}
        for name, node in scope.references:  # `selected_sources` leaves out what is only joined by SEMI and ANTI
            source = scope.sources[name]
            self.seen.add(id(node))
            if name.lower() in found:  # the parser would know only one of them
                raise UnsafeQueryError(f"two tables are called {name}", hint="give each a name of its own")
            if isinstance(source, exp.Table):
                outline = self._table(source)
                renamed = [each.name for each in source.args["alias"].columns] if source.args.get("alias") else []
            elif isinstance(node, exp.Table) and not source.is_cte:
                _unknown(f"there is no table {node.name}", node.name.lower(), self.known)
            else:
                outline = self._outline(source)
                alias = node.args.get("alias")
                renamed = source.outer_columns or ([each.name for each in alias.columns] if alias else [])
            names = outline.names | {each.lower() for each in renamed}
            found[name.lower()] = _Outline(names, outline.columns, outline.parts)
        return found

    def _table(self, table: exp.Table) -> _Outline:
        name = table.name.lower()
        if table.db or table.catalog or name not in self.known:
            _unknown(f"there is no table {table.sql('duckdb')}", name, self.known)
        self.read.add(name)
        return _Outline(frozenset(self.known[name]), len(self.known[name]), 1)


def _around(scope: Scope) -> Iterator[Scope]:
    each: Scope | None = scope
    while each is not None:
        yield each
        each = each.parent


def _check_weight(expression: Any) -> None:
    """That columns made of earlier ones of the same SELECT do not grow without end."""
    from sqlglot import exp

    weights: dict[str, int] = {}
    for made in expression.expressions if isinstance(expression, exp.Select) else []:
        weight = 1 + sum(weights.get(column.name.lower(), 0) for column in made.find_all(exp.Column))
        if weight > MOST_WEIGHT:
            raise UnsafeQueryError("columns are made of columns too often", hint="write it flat")
        if made.alias:
            weights[made.alias.lower()] = weight


def _unknown(message: str, name: str, known: Collection[str]) -> NoReturn:
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5) or sorted(known)
    raise UnsafeQueryError(message, hint=f"use {', '.join(close[:12])}" if close else "name a table")
