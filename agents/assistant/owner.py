"""Whose run it is, told by its thread: the one place where a conversation's owner is written down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from ...errors import UsageError
from ..conversation.scope import Scope

__all__ = ("owner_of",)


def owner_of(config: Mapping[str, Any]) -> tuple[Scope, str]:
    """The user, and the user's own name of the thread. `UsageError` where `Scope.thread_key` did not make its id.

    >>> owner_of({"configurable": {"thread_id": Scope("ana", tenant="acme").thread_key("1")}})
    (Scope(user='ana', tenant='acme'), '1')
    """
    key = str(config.get("configurable", {}).get("thread_id", ""))
    parts = [unquote(part, errors="surrogatepass") for part in key.split("/")]
    if len(parts) == 3 and parts[1].strip() and parts[2]:
        scope = Scope(parts[1], tenant=parts[0])
        if scope.thread_key(parts[2]) == key:
            return scope, parts[2]
    raise UsageError(f"the thread {key!r} has no owner", hint="its id is Scope(user, tenant=...).thread_key(name)")
