"""The first wall: a statement is parsed, and runs only if all of it is known to be harmless."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...markdown import on_one_line
from .allowed import FUNCTIONS, OTHER_FUNCTIONS, SYNTAX
from .errors import UnsafeQueryError
from .resolving import tables_read

if TYPE_CHECKING:
    from sqlglot import exp

    from .tables import Tables

__all__ = ("CheckedQuery", "checked_sql")

MOST_CHARACTERS = 4000
MOST_NODES = 800
MOST_GROWTH = 64
ROWS = 200
_OPENERS = frozenset({"SELECT", "WITH", "FROM", "("})
_HINT = "write one SELECT"


@dataclass(frozen=True, slots=True)
class CheckedQuery:
    """A statement that may run. Made by `checked_sql`."""

    sql: str
    """Written anew from the parsed form, without comments: what was checked is what runs."""
    tables: tuple[str, ...]
    """Names of the tables that it reads."""
    limit: int
    """Rows at most; the statement itself asks for one more, which tells that there are more."""


def checked_sql(sql: str, tables: Tables, *, limit: int = ROWS) -> CheckedQuery:
    """The statement, if it is one SELECT over known tables, columns and functions; else `UnsafeQueryError` says why.

    Common table expressions (not recursive ones), subqueries, joins, set operations, windows and aggregates are
    allowed; see `allowed` for the functions. Tables and columns may also be named by what they were called in the file.
    A limit of `limit` rows is put in, or a larger one lowered.

    >>> tables = Tables.of({"results": (["Name", "Year won"], [["Ann", "1999"]])})
    >>> checked_sql('select name from results where "Year won" > 1990', tables).sql
    'SELECT name FROM results WHERE year_won > 1990 LIMIT 201'
    >>> checked_sql("select * from read_csv('/etc/passwd')", tables)
    Traceback (most recent call last):
    ...
    ragloom.agents.tables.errors.UnsafeQueryError: READ_CSV is not allowed as a table (name a table)
    """
    try:
        query = _parsed(sql)
        _check_nodes(query)
        known = tables.columns()
        _use_identifiers(query, tables, known)
        read = tables_read(query, known)
        _limit(query, limit)
        written = query.sql(dialect="duckdb", comments=False)
    except UnsafeQueryError:
        raise
    except RecursionError:
        raise UnsafeQueryError("the statement is nested too deeply", hint="write it flat") from None
    except Exception as error:  # where the parser itself stumbles, nothing is known of the statement
        raise UnsafeQueryError(f"the statement cannot be parsed: {_reason(error)}", hint=_HINT) from error
    own = {name: table.name for table in tables.values() for name in (table.name, table.text_name)}
    return CheckedQuery(written, tuple(sorted({own[name] for name in read})), limit)


def _parsed(sql: str) -> exp.Query:
    import sqlglot
    from sqlglot import exp

    if len(sql) > MOST_CHARACTERS:
        raise UnsafeQueryError(f"the statement has {len(sql)} characters", hint=f"{MOST_CHARACTERS} at most")
    if any(not sign.isprintable() and sign not in "\t\n\r" for sign in sql):
        raise UnsafeQueryError("the statement holds control characters", hint="write plain SQL")
    tokens = [token.text.upper() for token in sqlglot.tokenize(sql, read="duckdb")]
    while tokens and tokens[-1] == ";":
        tokens.pop()
    if ";" not in tokens and tokens and tokens[0] in _OPENERS:  # sqlglot writes warnings about other statements
        found = next(each for each in sqlglot.parse(sql, read="duckdb") if each is not None)
        if isinstance(found, (exp.Select, exp.SetOperation)):
            return found
    if not tokens:
        raise UnsafeQueryError("there is no statement", hint=_HINT)
    several = "several statements are" if ";" in tokens else f"{tokens[0][:40]} is"
    raise UnsafeQueryError(f"{several} not allowed", hint=_HINT)


def _check_nodes(query: exp.Query) -> None:
    from sqlglot import exp

    growth = 1
    for count, node in enumerate(query.walk(), start=1):
        kind = type(node).__name__
        if count > MOST_NODES:
            raise UnsafeQueryError("the statement is too long", hint="ask for less at once")
        if isinstance(node, exp.Anonymous):
            if not isinstance(node.this, str) or node.name.lower() not in OTHER_FUNCTIONS:
                raise UnsafeQueryError(f"the function {_called(node)} is not allowed", hint="use common SQL functions")
        elif kind not in SYNTAX and kind not in FUNCTIONS:
            raise UnsafeQueryError(f"{_called(node)} is not allowed", hint="write a plain SELECT")
        if isinstance(node, exp.With) and node.args.get("recursive"):
            raise UnsafeQueryError("WITH RECURSIVE is not allowed", hint="write it without recursion")
        if isinstance(node, exp.CTE) and not isinstance(node.this, (exp.Select, exp.SetOperation, exp.Subquery)):
            raise UnsafeQueryError(f"WITH {node.alias} is no SELECT", hint="write a SELECT in it")
        if isinstance(node, exp.Table) and not isinstance(node.this, exp.Identifier):
            raise UnsafeQueryError(f"{_called(node.this)} is not allowed as a table", hint="name a table")
        if isinstance(node, exp.Tuple) and not isinstance(node.parent, (exp.In, exp.Values)):
            raise UnsafeQueryError("a tuple is not allowed as a value", hint="select single columns")
        growth *= _growth(node)
    if growth > MOST_GROWTH:
        raise UnsafeQueryError("too many texts are put together", hint="select the columns beside each other")


def _growth(node: exp.Expr) -> int:
    """How many times longer than what it is made of a text can become here.

    One upon another they would fill the memory, which DuckDB's own limit does not see.
    """
    from sqlglot import exp

    if isinstance(node, exp.DPipe):
        return 1 if any(isinstance(part, exp.Literal) for part in (node.this, node.expression)) else 2
    if isinstance(node, (exp.Concat, exp.ConcatWs)):
        return max(1, sum(not isinstance(part, exp.Literal) for part in node.expressions))
    if isinstance(node, (exp.Replace, exp.RegexpReplace)):
        new = node.args.get("replacement")
        return len(new.name) + 1 if isinstance(new, exp.Literal) else MOST_GROWTH + 1
    if isinstance(node, exp.Split):
        return 4  # a list as a text: every sign with quotes and a comma
    if isinstance(node, exp.TimeToStr):
        return 1 if isinstance(node.args.get("format"), exp.Literal) else 8
    return MOST_GROWTH if isinstance(node, exp.GroupConcat) else 1  # it alone: its memory is counted


def _use_identifiers(query: exp.Query, tables: Tables, known: dict[str, dict[str, str]]) -> None:
    """Puts the SQL name in the place of a name as the file has it, where there is one table or column of that name."""
    from sqlglot import exp

    titles = _unique((table.title, table.name) for table in tables.values())
    headers = _unique((column.header, column.name) for table in tables.values() for column in table.columns)
    columns = {name for names in known.values() for name in names}
    own = {alias.name.lower() for alias in query.find_all(exp.Alias, exp.TableAlias)}
    for node in query.find_all(exp.Table, exp.Column):
        name = node.name.lower()
        better = titles.get(name) if isinstance(node, exp.Table) else headers.get(name)
        taken = name in own or name in (known if isinstance(node, exp.Table) else columns)
        if better and not taken:
            node.set("this", exp.to_identifier(better))


def _unique(pairs: Any) -> dict[str, str]:
    """What was given to its SQL name, without what two names go by."""
    found: dict[str, set[str]] = {}
    for given, name in pairs:
        found.setdefault(on_one_line(given).lower(), set()).add(name)
    return {given: names.pop() for given, names in found.items() if len(names) == 1}


def _limit(query: exp.Query, limit: int) -> None:
    from sqlglot import exp

    given = query.args.get("limit")
    asked = given.expression if given is not None else None
    if given is not None and not (isinstance(asked, exp.Literal) and asked.is_int):
        raise UnsafeQueryError(f"{given.sql('duckdb').strip()} is not allowed", hint="write LIMIT and a number")
    if asked is None or int(asked.this) > limit:
        query.set("limit", exp.Limit(expression=exp.Literal.number(limit + 1)))


def _called(node: exp.Expr) -> str:
    """What a node is called in SQL, for the message."""
    from sqlglot import exp

    if isinstance(node, exp.Anonymous):
        return str(node.name).upper()[:40]
    if isinstance(node, exp.Func):
        return node.sql_name()
    return type(node).__name__.upper()


def _reason(error: Exception) -> str:
    return " ".join(str(error).split("\n", 1)[0].split())[:200] or type(error).__name__
