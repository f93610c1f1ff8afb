"""Strategies: one RAG strategy is one LangGraph state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .naive import naive_rag
    from .registry import STRATEGIES, build_strategy

__all__ = ("STRATEGIES", "build_strategy", "naive_rag")


def __getattr__(name: str) -> Any:
    """Imports on first use: LangGraph and LlamaIndex take a second that not every command needs."""
    if name == "naive_rag":
        from .naive import naive_rag

        return naive_rag
    if name in ("STRATEGIES", "build_strategy"):
        from . import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
