"""Running a statement behind the second wall.

The first wall is `checked_sql`. The second one stands by itself. DuckDB's own parser must say that the statement is one
SELECT, and find no table function and no table of another set in it. It runs in a read-only transaction, in a database
without files, network, extensions and Python variables, with locked settings and limits of time, memory and rows. What
the second wall cannot stop is one call of a function that makes a gigantic value (`repeat('x', 1000000000)`): DuckDB
looks up from it only afterwards. The first wall lets no such function through.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .cells import cell_text
from .errors import QueryError, UnsafeQueryError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from .checking import CheckedQuery
    from .tables import Tables

__all__ = ("QueryResult", "connect", "execute")

SETTINGS = {
    "enable_external_access": "false",  # files, network, COPY, ATTACH of a file, INSTALL, LOAD
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
    "allow_persistent_secrets": "false",
    "python_enable_replacements": "false",  # a table name is never a Python variable
    "temp_directory": "",  # nothing spills to a disk
    "memory_limit": "512MB",
    "threads": "1",
    "lock_configuration": "true",
}
SECONDS = 5.0
_AGAIN = 0.05
"""Seconds between interrupts: one that comes between two statements is lost."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows that a statement gave."""

    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    truncated: bool
    """There were more rows than the limit."""

    def texts(self) -> list[list[str]]:
        """The cells as they are shown; what is true or false is answered by yes or no."""
        return [[_shown(value) for value in row] for row in self.rows]


def connect() -> DuckDBPyConnection:
    """A new, locked database in memory that no other connection sees."""
    import duckdb

    return duckdb.connect(":memory:", config=dict(SETTINGS))


def execute(query: CheckedQuery, tables: Tables, *, seconds: float = SECONDS) -> QueryResult:
    """The rows of a checked statement. `QueryError` where it fails, or takes longer than `seconds`.

    >>> tables = Tables.of({"cities": (["name", "people"], [["Graz", "303,270"], ["Linz", "212,538"]])})
    >>> execute(checked_sql("SELECT name FROM cities WHERE people > 250000", tables), tables).rows
    [('Graz',)]
    """
    import duckdb

    cursor = tables.connection.cursor()
    try:
        statements = cursor.extract_statements(query.sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UnsafeQueryError("the statement is not one SELECT", hint="write one SELECT")
        _check_tables(cursor, query.sql, tables)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        try:
            with _watched(cursor, seconds):
                cursor.execute(statements[0])
                columns = tuple(str(column[0]) for column in cursor.description or ())
                rows = cursor.fetchmany(query.limit + 1)
        finally:
            cursor.execute("ROLLBACK")
    except duckdb.InterruptException:
        raise QueryError(f"the query took longer than {seconds:g} seconds", hint="ask for less") from None
    except (duckdb.Error, ValueError, OverflowError) as error:  # a date after the year 9999, a message that is no text
        raise QueryError(f"the query failed: {_first_line(error)}") from error
    finally:
        cursor.close()
    return QueryResult(columns, rows[: query.limit], len(rows) > query.limit)


def _check_tables(cursor: DuckDBPyConnection, sql: str, tables: Tables) -> None:
    """That a SELECT reads these tables only, by DuckDB's parser: the first wall's may understand a text differently."""
    (answer,) = cursor.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0]
    nodes: list[Any] = [json.loads(answer)]
    named: set[str] = set()
    made: set[str] = set()
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            if node.get("error") is True:
                raise QueryError(f"the query failed: {node.get('error_message')}"[:300])
            if (
                node.get("type") in ("TABLE_FUNCTION", "SHOW_REF")
                or node.get("schema_name")
                or node.get("catalog_name")
            ):
                raise UnsafeQueryError("the statement reads something else than tables", hint="name tables only")
            if node.get("type") == "BASE_TABLE":
                named.add(str(node["table_name"]).lower())
            made.update(str(each["key"]).lower() for each in (node.get("cte_map") or {}).get("map", []))
            nodes += node.values()
        elif isinstance(node, list):
            nodes += node
    if foreign := named - made - set(tables.columns()):
        raise UnsafeQueryError(f"there is no table {min(foreign)}", hint=f"use {', '.join(tables)}")


@contextmanager
def _watched(cursor: DuckDBPyConnection, seconds: float) -> Iterator[None]:
    """Interrupts what runs inside the block when its time is over."""
    done = threading.Event()

    def watch() -> None:
        wait = seconds
        while not done.wait(wait):
            cursor.interrupt()
            wait = _AGAIN

    watcher = threading.Thread(target=watch, name="ragloom-query-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return cell_text(value)


def _first_line(error: Exception) -> str:
    """DuckDB's message without the lines that draw where in the statement it was."""
    text = str(error).split("\nLINE ", 1)[0]
    return " ".join(text.split())[:300] or type(error).__name__
