"""What a user told that is worth knowing in every thread: LangGraph's store, a namespace for each user."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from langgraph.store.base import Item
from langgraph.store.sqlite import SqliteStore

from ...access import AccessScope
from ...errors import UsageError
from ...models import Embedder
from .database import Database
from .phrases import terms_of

__all__ = ("LongTermMemory", "MemoryItem")

PAGE = 1000
NEAR_ENOUGH = 0.2
"""Cosine from which a fact is recalled by an embedder."""
_UNREADABLE = (KeyError, TypeError, ValueError)
"""What a damaged row gives."""


@dataclass(frozen=True, slots=True)
class MemoryItem:
    """A fact."""

    id: str
    fact: str
    thread: str
    """The thread it was told in, if any."""


class LongTermMemory:
    """Facts that users told, each seen by its user alone.

    In LangGraph's `SqliteStore`, which may share its file with `Threads`. Its own vector index is not used: it needs
    SQLite extensions, and keeps the vectors of items that were deleted. Here a fact's vector lies beside the fact.

    Args:
        path: the file; made where it is missing. `StoreError` where it is damaged or another program's.
        embedder: recalls facts in other words than the query's; without, facts that share words with it.

    Example:
        >>> with LongTermMemory.open("chat.sqlite") as memory:  # doctest: +SKIP
        ...     memory.remember(AccessScope(user="ana"), "I work in the Vienna office.")
        ...     memory.recall(AccessScope(user="ana"), "Which office is mine?")[0].fact
        'I work in the Vienna office.'
    """

    def __init__(self, path: str | Path, *, embedder: Embedder | None = None) -> None:
        self.embedder = embedder
        self._database = Database(path, isolation_level=None)
        try:
            self._store = SqliteStore(self._database.connection)
            self._store.lock = self._database.lock
            self._database.set_up(self._store.setup)
        except BaseException:
            self._database.close()
            raise

    @classmethod
    def open(cls, path: str | Path, *, embedder: Embedder | None = None) -> Self:
        """Opens the file, or makes it."""
        return cls(path, embedder=embedder)

    def remember(self, scope: AccessScope, fact: str, *, thread: str = "") -> MemoryItem:
        """Keeps a fact. The same fact is kept once, with the thread it was told in last."""
        fact = " ".join(fact.encode("utf-8", "replace").decode().split())
        if not fact:
            raise UsageError("there is no fact to remember", hint="give what the user told, as a sentence")
        known = next((item for item in self.list(scope) if item.fact.casefold() == fact.casefold()), None)
        item = MemoryItem(known.id if known else uuid.uuid4().hex, fact, thread)
        value: dict[str, Any] = {"fact": fact, "thread": thread, "told": time.time()}
        if self.embedder is not None:
            value |= {"vector": self.embedder.embed([fact])[0].tolist(), "by": self.embedder.fingerprint}
        with self._database.errors("write"):
            self._store.put(scope.namespace, item.id, value, index=False)
        return item

    def list(self, scope: AccessScope) -> tuple[MemoryItem, ...]:
        """All facts of the user, the newest first."""
        return tuple(_item(each) for each in self._items(scope))

    def recall(self, scope: AccessScope, query: str, k: int = 3) -> tuple[MemoryItem, ...]:
        """At most `k` facts of the user that have to do with the query, the nearest first."""
        items = self._items(scope)
        if not items or k < 1:
            return ()
        scores = self._likeness(items, query) if self.embedder is not None else _shared_words(items, query)
        least = NEAR_ENOUGH if self.embedder is not None else 0.0
        ranked = sorted(zip(scores, items, strict=True), key=lambda pair: -pair[0])
        return tuple(_item(item) for score, item in ranked[:k] if score > least)

    def forget(self, scope: AccessScope, *, thread: str | None = None, item: str | None = None) -> int:
        """Forgets, without a trace: one item, what was told in a thread, or with neither all of the user; how much."""
        if thread is not None and item is not None:
            raise UsageError("forget takes a thread or an item", hint="call it twice for both")
        keys = [
            each.id
            for each in self.list(scope)
            if (thread is None or each.thread == thread) and (item is None or each.id == item)
        ]
        with self._database.errors("delete from"):
            for key in keys:
                self._store.delete(scope.namespace, key)
        self._database.erase()  # always: an earlier try may have ended before it could
        return len(keys)

    async def aremember(self, scope: AccessScope, fact: str, *, thread: str = "") -> MemoryItem:
        """As `remember`."""
        return await asyncio.to_thread(self.remember, scope, fact, thread=thread)

    async def alist(self, scope: AccessScope) -> tuple[MemoryItem, ...]:
        """As `list`."""
        return await asyncio.to_thread(self.list, scope)

    async def arecall(self, scope: AccessScope, query: str, k: int = 3) -> tuple[MemoryItem, ...]:
        """As `recall`."""
        return await asyncio.to_thread(self.recall, scope, query, k)

    async def aforget(self, scope: AccessScope, *, thread: str | None = None, item: str | None = None) -> int:
        """As `forget`."""
        return await asyncio.to_thread(self.forget, scope, thread=thread, item=item)

    def close(self) -> None:
        """Ends the connection."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _items(self, scope: AccessScope) -> Sequence[Item]:
        """All items of the user, the newest first. A namespace below the user's would be another's: none is read."""
        found: dict[str, Item] = {}
        with self._database.errors("read", _UNREADABLE):
            for start in itertools.count(0, PAGE):
                page = self._store.search(scope.namespace, limit=PAGE, offset=start)
                found |= {each.key: each for each in page if each.namespace == scope.namespace}
                if len(page) < PAGE:
                    break
            return sorted(found.values(), key=lambda each: -each.value["told"])

    def _likeness(self, items: Sequence[Item], query: str) -> Sequence[float]:
        """Cosines. Facts that another embedder saw, or none, are embedded now."""
        import numpy as np

        assert self.embedder is not None
        by = self.embedder.fingerprint
        stale = [item for item in items if item.value.get("by") != by]
        fresh = dict(
            zip((item.key for item in stale), self.embedder.embed([_fact(each) for each in stale]), strict=True)
        )
        vectors = np.array([fresh[each.key] if each.key in fresh else each.value["vector"] for each in items])
        likeness: Sequence[float] = (vectors @ self.embedder.embed_query(query)).tolist()
        return likeness


def _shared_words(items: Sequence[Item], query: str) -> Sequence[float]:
    """How much of the query each fact holds; a word that few facts hold counts more (Robertson's idf)."""
    asked = terms_of(query)
    held = [terms_of(_fact(item)) & asked for item in items]
    counts = Counter(term for terms in held for term in terms)
    return [sum(math.log(1 + len(items) / counts[term]) for term in terms) for terms in held]


def _fact(item: Item) -> str:
    return str(item.value["fact"])


def _item(item: Item) -> MemoryItem:
    return MemoryItem(item.key, _fact(item), str(item.value["thread"]))
