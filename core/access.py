"""Who asks: the scope that the application sets, and every key that follows from it.

The rule of what may be seen: a document belongs to one tenant, and is for all of them or for the members of its groups.
Stores enforce it in their own filter; `AccessScope.allows` says the same in Python.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import quote, unquote

from .errors import UsageError

__all__ = ("AccessScope", "checked_groups", "scope_from")


@dataclass(frozen=True)
class AccessScope:
    """The identity under which a run searches and remembers, as the application's own authentication knows it.

    `tenant` is whose documents are seen ("" without tenants), `groups` are those that the user is a member of now, and
    tenant and user are whose conversations and memory it is. Raises `UsageError` where it names nobody, or is no text.

    >>> AccessScope(tenant="acme", user="ana", groups=["staff"]).groups
    ('staff',)
    """

    tenant: str = ""
    user: str = ""
    groups: Collection[str] = ()

    def __post_init__(self) -> None:
        for name in ("tenant", "user"):
            if not isinstance(value := getattr(self, name), str):
                raise UsageError(
                    f"the {name} of an access scope is {type(value).__name__}, no text", hint='without one it is ""'
                )
        object.__setattr__(self, "groups", checked_groups(self.groups))
        if not (self.tenant.strip() or self.user.strip() or self.groups):
            raise UsageError("the access scope names nobody", hint="give a tenant, a user or groups")

    # -- what it may see ----------------------------------------------------------------------------------------------

    def allows(self, tenant: str, groups: Collection[str] = ()) -> bool:
        """Whether a document of this tenant and these groups may be seen.

        >>> ana = AccessScope("acme", "ana", ["staff"])
        >>> ana.allows("acme"), ana.allows("acme", ["staff", "board"]), ana.allows("acme", ["board"]), ana.allows("")
        (True, True, False, False)
        """
        return tenant == self.tenant and (not groups or not set(groups).isdisjoint(self.groups))

    def covers(self, other: AccessScope) -> bool:
        """Whether the other scope is this one, or a smaller one: the same tenant, no other user, no further group."""
        same = self.tenant == other.tenant and other.user in ("", self.user)
        return same and set(other.groups) <= set(self.groups)

    def narrowed(
        self, *, tenant: str | None = None, user: str | None = None, groups: Collection[str] | None = None
    ) -> AccessScope:
        """This scope or a smaller one; what is None stays. `UsageError` for anything wider.

        No tenant is a part of another one, "" neither, so a tenant can be confirmed only. A user can be left out
        (`user=""`), groups can be fewer.

        >>> AccessScope("acme", "ana", ["staff", "board"]).narrowed(groups=["staff"])
        AccessScope(tenant='acme', user='ana', groups=('staff',))
        """
        asked = AccessScope(
            self.tenant if tenant is None else tenant,
            self.user if user is None else user,
            self.groups if groups is None else groups,
        )
        if not self.covers(asked):
            raise UsageError("a scope can only be narrowed", hint="keep the tenant, and take users and groups away")
        return asked

    # -- whose conversation, whose memory -----------------------------------------------------------------------------

    @property
    def owner(self) -> list[str]:
        """Whose a thread is: tenant and user, as a checkpoint keeps them."""
        return [self.tenant, self.user]

    @property
    def prefix(self) -> str:
        """What the keys of all threads of this user begin with. ASCII. `UsageError` without a user."""
        return "".join(f"{label}/" for label in self._labels())

    def thread_key(self, thread: str) -> str:
        """The `thread_id` by which LangGraph knows the user's thread. `UsageError` without a user or a name.

        Every part is percent-encoded, so that no name can reach into another's:

        >>> AccessScope("acme", "ana").thread_key("1"), AccessScope(user="a/b").thread_key("1")
        ('acme/ana/1', '/a%2Fb/1')
        """
        if not isinstance(thread, str) or not thread:
            raise UsageError("a thread needs a name", hint="a number or an id as text, unique among the user's own")
        return self.prefix + _label(thread)

    def thread_of(self, key: str) -> str:
        """The user's own name of the thread with this key."""
        return unquote(key.removeprefix(self.prefix), errors="surrogatepass")

    @property
    def namespace(self) -> tuple[str, str, str]:
        """Where a LangGraph store keeps what this user told. Its labels are never empty and hold no full stop.

        `UsageError` without a user.
        """
        tenant, user = self._labels()
        return "memory", f"tenant={tenant}", f"user={user}"

    def _labels(self) -> tuple[str, str]:
        if not self.user.strip():
            raise UsageError("a conversation needs a user", hint="give the id by which your application knows them")
        return _label(self.tenant), _label(self.user)


def scope_from(
    scope: AccessScope | None, tenant: str = "", *, groups: Collection[str] = (), user: str = ""
) -> AccessScope | None:
    """The scope that a call was given, in full or by its parts; None where it was given nothing.

    Both together must agree: the parts narrow the scope. `UsageError` where they would widen it.

    >>> scope_from(None, "acme"), scope_from(None)
    (AccessScope(tenant='acme', user='', groups=()), None)
    """
    if scope is None:
        return AccessScope(tenant, user, groups) if tenant or user or groups else None
    if not isinstance(scope, AccessScope):
        raise UsageError(f"a {type(scope).__name__} is no access scope", hint="give an AccessScope")
    return scope.narrowed(tenant=tenant or None, user=user or None, groups=groups or None)


def checked_groups(groups: Collection[str]) -> tuple[str, ...]:
    """Names of groups, each once and sorted. `UsageError` for what is no list of names.

    >>> checked_groups(["staff", "board", "staff"])
    ('board', 'staff')
    """
    if isinstance(groups, (str, bytes)) or not isinstance(groups, Collection):
        raise UsageError("the groups are no list", hint='give groups=["staff"]')
    for name in groups:
        if not isinstance(name, str) or not name.strip():
            raise UsageError(f"a group is named {name!r}", hint="a group's name is text, and not empty")
    return tuple(sorted(set(groups)))


def _label(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass").replace(".", "%2E")
