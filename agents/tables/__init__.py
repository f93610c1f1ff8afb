"""Questions over tables: a sandboxed SQL path, a textual path, both by vote, and Chain-of-Table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .checking import CheckedQuery, checked_sql
    from .denotation import Value, denotation, same_denotation
    from .errors import QueryError, UnsafeQueryError
    from .graph import table_qa
    from .reading import Problem
    from .running import QueryResult, execute
    from .table import Column, Table
    from .tables import Tables

__all__ = (
    "CheckedQuery",
    "Column",
    "Problem",
    "QueryError",
    "QueryResult",
    "Table",
    "Tables",
    "UnsafeQueryError",
    "Value",
    "checked_sql",
    "denotation",
    "execute",
    "same_denotation",
    "table_qa",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "checking": ["CheckedQuery", "checked_sql"],
        "denotation": ["Value", "denotation", "same_denotation"],
        "errors": ["QueryError", "UnsafeQueryError"],
        "graph": ["table_qa"],
        "reading": ["Problem"],
        "running": ["QueryResult", "execute"],
        "table": ["Column", "Table"],
        "tables": ["Tables"],
    },
)
