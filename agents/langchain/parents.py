"""Small chunks are searched, what they are part of is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Protocol

from langchain_core.documents import Document
from langchain_core.stores import BaseStore
from pydantic import BeforeValidator, SkipValidation

from ...errors import UsageError
from ...graphs.common.effects import Doing
from ...types import Step
from .composing import Call, Composition, identified, scored, search
from .llama_index import RetrieverLike

__all__ = ("ParentRetriever", "Parents", "StoreParents")


class Parents(Protocol):
    """Knows what a chunk is part of."""

    def of(self, children: Sequence[Document]) -> Sequence[Document | None]:
        """The parent of each child, with an id of its own; None where it is not known."""
        ...

    async def aof(self, children: Sequence[Document]) -> Sequence[Document | None]:
        """The same, awaited."""
        ...


class StoreParents:
    """Parents in a mapping or in a LangChain store, under what `key` of a child's metadata says.

    >>> manuals = {"m1": Document("The whole manual.")}
    >>> StoreParents(manuals, key="manual").of([Document("whole", metadata={"manual": "m1"})])[0].id
    'm1'
    """

    def __init__(self, store: Mapping[str, Document] | BaseStore[str, Document], *, key: str = "doc_id") -> None:
        self.store, self.key = store, key

    def of(self, children: Sequence[Document]) -> list[Document | None]:
        """One look-up for all."""
        keys = self._keys(children)
        found = self.store.mget(keys) if isinstance(self.store, BaseStore) else [self.store.get(key) for key in keys]
        return _named(found, keys)

    async def aof(self, children: Sequence[Document]) -> list[Document | None]:
        """One look-up for all."""
        keys = self._keys(children)
        return _named(await self.store.amget(keys), keys) if isinstance(self.store, BaseStore) else self.of(children)

    def _keys(self, children: Sequence[Document]) -> list[str]:
        return [str(child.metadata.get(self.key, "")) for child in children]


def _named(found: Sequence[Document | None], keys: Sequence[str]) -> list[Document | None]:
    """Where a parent has no id, its key is one."""
    return [
        parent if parent is None or parent.id else parent.model_copy(update={"id": key})
        for parent, key in zip(found, keys, strict=True)
    ]


def _parents(given: Any) -> Any:
    if isinstance(given, (Mapping, BaseStore)):
        return StoreParents(given)
    if hasattr(given, "of") and hasattr(given, "aof"):
        return given
    raise UsageError(
        f"a {type(given).__name__} holds no parents",
        hint="give a mapping, a LangChain store, or KnowledgeBaseParents(kb)",
    )


class ParentRetriever(Composition):
    """Searches small chunks, and gives what they are part of: each parent once, at the rank of its best child.

    A parent has the `score` and `score_kind` of its best child, and in `children` the ids of all that were found, best
    first. A child whose parent is not known is given itself: nothing that was found is lost. `k` counts parents; they
    are long, so whoever reads them has to count tokens.

        >>> parents = KnowledgeBaseParents(kb, neighbours=1)  # doctest: +SKIP
        >>> ParentRetriever(retriever=kb.retriever(top_k=20), parents=parents, k=5)  # doctest: +SKIP
    """

    retriever: RetrieverLike
    """Finds the children: a LangChain or LlamaIndex retriever, or a Runnable from a query to documents."""
    parents: Annotated[SkipValidation[Parents], BeforeValidator(_parents)]
    """A mapping or LangChain store from `doc_id` to the parent, a `StoreParents` of another key, a
    `KnowledgeBaseParents`, or anything else with `of` and `aof`.
    """

    def compose(self, query: str, step: Step) -> Doing[list[Document]]:
        """The search, then one look-up for all children."""
        children = identified((yield search(self.retriever, query)))
        parents = (yield Call(self.parents.of, self.parents.aof, children)) if children else []
        given: dict[str, Document] = {}
        held: dict[str, list[str]] = {}
        for child, parent in zip(children, parents, strict=True):
            whole = identified([parent or child])[0]
            identity = str(whole.id)
            kind = str(child.metadata.get("score_kind", "unknown"))
            given.setdefault(identity, scored(whole, child.metadata.get("score"), kind))
            held.setdefault(identity, []).append(str(child.id))
        for identity, ids in held.items():
            given[identity].metadata["children"] = ids  # of the copy that `scored` made
        orphans = sum(parent is None for parent in parents)
        step["decision"] = f"{len(given)} parents of {len(children)} children"
        step["reason"] = f"{orphans} children without one are given themselves" if orphans else "each has one"
        return list(given.values())
