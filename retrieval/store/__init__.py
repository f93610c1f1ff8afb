"""The embedded store: LanceDB through our own table and LlamaIndex vector store.

Why not the published adapter: it rebuilds the whole text index on the first hybrid query of each process, raises on an
empty result, builds predicates by string concatenation, and ignores the query's mode and alpha.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .table import ChunkTable, Snapshot
    from .vector_store import LanceVectorStore

__all__ = ("ChunkTable", "LanceVectorStore", "Snapshot")


def __getattr__(name: str) -> Any:
    """Imports on first use: the LlamaIndex face costs a second that the command line need not pay."""
    if name in ("ChunkTable", "Snapshot"):
        from . import table

        return getattr(table, name)
    if name == "LanceVectorStore":
        from .vector_store import LanceVectorStore

        return LanceVectorStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
