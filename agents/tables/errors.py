"""What can go wrong with a statement: it may not run, or it did not run to its end."""

from __future__ import annotations

from typing import ClassVar

from ...errors import RagloomError, UsageError

__all__ = ("QueryError", "UnsafeQueryError")


class UnsafeQueryError(UsageError):
    """A statement that is refused before it runs: not one SELECT over known tables, columns and functions."""

    code: ClassVar[str] = "unsafe_query"


class QueryError(RagloomError):
    """A statement that was allowed, and failed: its types do not fit, it took too long, or too much memory."""

    code: ClassVar[str] = "query"
