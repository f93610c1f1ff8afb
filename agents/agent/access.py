"""Sources that are opened for who asks, and what of a run's context and of a passage says whose it is.

The scope comes with the run (`graph.invoke(..., context=AccessScope(tenant="acme", user="ana"))`), never from a prompt:
no tool has an argument for it, so what a model writes can narrow a search and never widen it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda

from ...access import AccessScope
from ...errors import UsageError
from ..sources import Source
from ..sources.source import checked_sources

__all__ = (
    "AccessScope",
    "AnySource",
    "ScopedSource",
    "allowed_passages",
    "cards_of",
    "named_sources",
    "opened",
    "require_scope",
    "scope_of",
    "visible",
)

_FIELDS = ("tenant", "user", "groups")


@dataclass(frozen=True)
class ScopedSource:
    """A `Source` that is opened for who asks, and cannot be asked without knowing who that is.

    `open` is given the run's scope and returns what `Source.answers` may be. It runs for every search: let it build a
    retriever, not a knowledge base. `groups`: only their members see that the source exists; empty for everybody who
    has a scope.

        >>> ScopedSource("files", "The team's files.", lambda who: kb.retriever(tenant=who.tenant))  # doctest: +SKIP
    """

    name: str
    description: str
    open: Callable[[AccessScope], Any]
    groups: Collection[str] = ()
    cost: float = 1.0
    examples: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not callable(self.open):
            raise UsageError(f"the source {self.name!r} cannot be opened", hint="give a function of an AccessScope")
        if isinstance(self.groups, str):
            raise UsageError(f"the groups of the source {self.name!r} are no list", hint='give groups=["staff"]')
        self.card()  # a wrong name, description or cost is refused now

    def card(self) -> Source:
        """What a model is told of it; this `Source` cannot be asked."""
        return Source(self.name, self.description, RunnableLambda(_closed), self.cost, self.examples)


AnySource: TypeAlias = Source | ScopedSource


def _closed(question: str) -> str:
    raise UsageError("a scoped source was asked without its scope")


def named_sources(sources: Sequence[AnySource]) -> dict[str, AnySource]:
    """Sources by name, in their order. `UsageError` where there are none, or two of one name."""
    checked_sources([each.card() if isinstance(each, ScopedSource) else each for each in sources])
    return {each.name: each for each in sources}


def cards_of(sources: Mapping[str, AnySource]) -> list[Source]:
    """What a model is told of the sources."""
    return [each.card() if isinstance(each, ScopedSource) else each for each in sources.values()]


def scope_of(context: Any) -> AccessScope | None:
    """The scope in a run's context: an `AccessScope`, or whatever has a tenant, a user or groups (a dictionary, the
    context of a bigger graph). None where it has none of them.
    """
    if context is None or isinstance(context, AccessScope):
        return context
    known = dict(context) if isinstance(context, Mapping) else {name: getattr(context, name, None) for name in _FIELDS}
    given: dict[str, Any] = {name: known[name] for name in _FIELDS if known.get(name) is not None}
    return AccessScope(**given) if given else None


def require_scope(sources: Mapping[str, AnySource], scope: AccessScope | None) -> None:
    """`UsageError` where a source needs a scope and the run has none."""
    needing = [name for name, source in sources.items() if isinstance(source, ScopedSource)]
    if needing and scope is None:
        hint = 'graph.invoke(..., context=AccessScope(tenant="acme", user="ana"))'
        raise UsageError(f"the source {needing[0]!r} needs to know who asks", hint=hint)


def visible(sources: Mapping[str, AnySource], scope: AccessScope | None) -> dict[str, AnySource]:
    """The sources that exist for who asks."""
    return {name: source for name, source in sources.items() if _may_see(source, scope)}


def _may_see(source: AnySource, scope: AccessScope | None) -> bool:
    if not isinstance(source, ScopedSource):
        return True
    return scope is not None and (not source.groups or not set(source.groups).isdisjoint(scope.groups))


def opened(source: AnySource, scope: AccessScope | None) -> Source:
    """The source as it is for who asks. `UsageError` where it needs a scope and there is none."""
    if not isinstance(source, ScopedSource):
        return source
    if scope is None or not _may_see(source, scope):
        raise UsageError(f"the source {source.name!r} is not for who asks")
    return Source(source.name, source.description, source.open(scope), source.cost, source.examples)


def allowed_passages(documents: Sequence[Document], scope: AccessScope | None) -> list[Document]:
    """Without the passages that say themselves that they are another tenant's, or for groups that who asks is not in: a
    source was given too widely.

    A run without a scope sees what its sources were given: their scope is part of them.
    """
    return [each for each in documents if scope is None or _may_read(each.metadata, scope)]


def _may_read(metadata: Mapping[str, Any], scope: AccessScope) -> bool:
    """What says nothing of its tenant is anybody's: not every source has tenants."""
    groups = metadata.get("groups") or ()
    named = [str(each) for each in groups] if isinstance(groups, (list, tuple, set)) else [str(groups)]
    return scope.allows(metadata.get("tenant") or scope.tenant, named)
