"""Whose thread is it? A thread is of the tenant and user who asked in it first."""

from __future__ import annotations

from langgraph.runtime import get_runtime

from .access import AccessScope, scope_of
from .state import RagAgentState

__all__ = ("asking", "current_scope", "is_strangers", "strangers_messages")


def current_scope() -> AccessScope | None:
    """The scope of the run that is going on."""
    return scope_of(get_runtime().context)


def asking() -> list[str]:
    """Who asks now, as an owner is kept."""
    scope = current_scope()
    return scope.owner if scope else ["", ""]


def is_strangers(state: RagAgentState) -> bool:
    """Whether somebody else than the thread's owner asks. Nobody is a stranger in a new thread."""
    return "owner" in state and state["owner"] != asking()


def strangers_messages(state: RagAgentState) -> list[str]:
    """Ids of the messages at the end that came after the owner's last question, and that nobody answered."""
    new: list[str] = []
    for message in reversed(state.get("messages") or []):
        if message.type != "human" or message.id == state.get("heard"):
            break
        new.append(str(message.id))
    return new
