"""The embedded store: LanceDB through our own table and LlamaIndex vector store.

Why not the published adapter: it rebuilds the whole text index on the first hybrid query of each process, raises on an
empty result, builds predicates by string concatenation, and ignores the query's mode and alpha.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .table import ChunkTable, Snapshot
    from .vector_store import LanceVectorStore

__all__ = ("ChunkTable", "LanceVectorStore", "Snapshot")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "table": ["ChunkTable", "Snapshot"],
        "vector_store": ["LanceVectorStore"],
    },
)
