"""Strategies by name."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

__all__ = ("STRATEGIES", "build_strategy", "strategy_named")


_HOMES = {
    "adaptive": ("adaptive", "adaptive_rag"),
    "closed-book": ("closed", "closed_book"),
    "corrective": ("corrective", "corrective_rag"),
    "decompose": ("decompose", "decompose_rag"),
    "fusion": ("fusion", "fusion_rag"),
    "hierarchical": ("hierarchical", "hierarchical_rag"),
    "multi-hop": ("multi_hop", "multi_hop_rag"),
    "naive": ("naive", "naive_rag"),
    "self-rag": ("self_rag_critic", "self_rag"),
    "self-rag-tokens": ("self_rag_reflection", "self_rag_tokens"),
    "speculative": ("speculative", "speculative_rag"),
    "summarise": ("summarise", "summarise_rag"),
    "vote": ("vote", "vote_rag"),
}
"""Name to module and function."""


def _builder(module: str, function: str) -> Callable[..., CompiledStateGraph[Any, Any, Any, Any]]:
    """The function, imported when it is first called."""

    def build(*args: Any, **kwargs: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
        built: CompiledStateGraph[Any, Any, Any, Any]
        built = getattr(importlib.import_module(f".{module}", __package__), function)(*args, **kwargs)
        return built

    return build


STRATEGIES: dict[str, Callable[..., CompiledStateGraph[Any, Any, Any, Any]]] = {
    name: _builder(*home) for name, home in _HOMES.items()
}
"""Every strategy there is: `name: function(retriever, llm, **options)`."""


def build_strategy(name: str, *args: Any, **kwargs: Any) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Builds a strategy by name; `UsageError` with the list of known ones for any other name.

    Strategies that choose among others (`auto`, `agentic`) are known to `ragloom.agents.build_strategy`.
    """
    return strategy_named(name, STRATEGIES)(*args, **kwargs)


def strategy_named(name: str, known: Mapping[str, Callable[..., Any]]) -> Callable[..., Any]:
    """The builder of that name; `UsageError` with the list of known ones for any other name."""
    if name not in known:
        names = ", ".join(sorted(known))
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}? Known: {names}" if close else f"known: {names}"
        raise UsageError(f"unknown strategy {name!r}", hint=hint)
    return known[name]
