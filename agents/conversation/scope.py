"""Whose conversation, whose memory: part of every key, so that nobody meets what is another's."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, unquote

from ...errors import UsageError

__all__ = ("Scope",)


@dataclass(frozen=True, slots=True)
class Scope:
    """A user of a tenant, as the caller's own authentication names them. `UsageError` where there is no user.

    Every part of a key is percent-encoded, so that no name can reach into another's:

    >>> Scope("ana", tenant="acme").thread_key("1"), Scope("a/b").thread_key("1")
    ('acme/ana/1', '/a%2Fb/1')
    """

    user: str
    tenant: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.user, str) or not self.user.strip():
            raise UsageError("a conversation needs a user", hint="give the id by which your application knows them")
        if not isinstance(self.tenant, str):
            raise UsageError(f"the tenant is {type(self.tenant).__name__}, no text", hint='without tenants it is ""')

    @property
    def prefix(self) -> str:
        """What the keys of all threads of this user begin with. ASCII."""
        return f"{_label(self.tenant)}/{_label(self.user)}/"

    def thread_key(self, thread: str) -> str:
        """The `thread_id` by which LangGraph knows the user's thread. `UsageError` for a thread without a name."""
        if not isinstance(thread, str) or not thread:
            raise UsageError("a thread needs a name", hint="a number or an id as text, unique among the user's own")
        return self.prefix + _label(thread)

    def thread_of(self, key: str) -> str:
        """The user's own name of the thread with this key."""
        return unquote(key.removeprefix(self.prefix), errors="surrogatepass")

    @property
    def namespace(self) -> tuple[str, str, str]:
        """Where a LangGraph store keeps what this user told. Its labels are never empty and hold no full stop."""
        return "memory", f"tenant={_label(self.tenant)}", f"user={_label(self.user)}"


def _label(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass").replace(".", "%2E")
