"""Strategies: one RAG strategy is one LangGraph state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .closed_book import closed_book
    from .corrective import corrective_rag
    from .custom import with_nodes
    from .langchain import StrategyRetriever, as_tool
    from .naive import naive_rag
    from .registry import STRATEGIES, build_strategy

__all__ = (
    "STRATEGIES",
    "StrategyRetriever",
    "as_tool",
    "build_strategy",
    "closed_book",
    "corrective_rag",
    "naive_rag",
    "with_nodes",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "closed_book": ["closed_book"],
        "corrective": ["corrective_rag"],
        "custom": ["with_nodes"],
        "langchain": ["StrategyRetriever", "as_tool"],
        "naive": ["naive_rag"],
        "registry": ["STRATEGIES", "build_strategy"],
    },
)
