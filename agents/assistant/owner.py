"""Whose run it is, told by its thread: the one place where a conversation's owner is written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ...access import AccessScope
from ...errors import UsageError
from ..agent.access import scope_of

__all__ = ("owner_of", "who_asks")


def owner_of(config: Mapping[str, Any]) -> tuple[AccessScope, str]:
    """The user, and the user's own name of the thread. `UsageError` where no scope's `thread_key` made its id.

    >>> owner_of({"configurable": {"thread_id": AccessScope("acme", "ana").thread_key("1")}})
    (AccessScope(tenant='acme', user='ana', groups=()), '1')
    """
    key = str(config.get("configurable", {}).get("thread_id", ""))
    parts = [unquote(part, errors="surrogatepass") for part in key.split("/")]
    if len(parts) == 3 and parts[1].strip() and parts[2]:
        scope = AccessScope(parts[0], parts[1])
        if scope.thread_key(parts[2]) == key:
            return scope, parts[2]
    raise UsageError(f"the thread {key!r} has no owner", hint="its id is AccessScope(tenant, user).thread_key(name)")


def who_asks(config: Mapping[str, Any], context: Any) -> tuple[AccessScope, str]:
    """The thread's owner, with the groups that the run's context gives them now, and the thread's name.

    No thread keeps groups: people leave them. `UsageError` where the context names somebody else.

    >>> thread = {"configurable": {"thread_id": AccessScope("acme", "ana").thread_key("1")}}
    >>> who_asks(thread, AccessScope("acme", "ana", ["staff"]))[0].groups
    ('staff',)
    """
    owner, thread = owner_of(config)
    scope = scope_of(context)
    if scope is not None and scope.owner != owner.owner:
        raise UsageError("the run's context names somebody else than its thread", hint="give both the same scope")
    return scope or owner, thread
