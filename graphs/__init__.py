"""Strategies: one RAG strategy is one LangGraph state machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .adaptive import adaptive_rag
    from .closed import closed_book
    from .corrective import corrective_rag
    from .custom import with_nodes
    from .decompose import decompose_rag
    from .fusion import fusion_rag
    from .hierarchical import hierarchical_rag
    from .langchain import StrategyRetriever, as_tool
    from .multi_hop import multi_hop_rag
    from .naive import naive_rag
    from .registry import STRATEGIES, build_strategy
    from .self_rag_critic import self_rag
    from .self_rag_reflection import self_rag_tokens
    from .speculative import speculative_rag
    from .summarise import summarise_rag
    from .transforms import load_transform
    from .vote import vote_rag

__all__ = (
    "STRATEGIES",
    "StrategyRetriever",
    "adaptive_rag",
    "as_tool",
    "build_strategy",
    "closed_book",
    "corrective_rag",
    "decompose_rag",
    "fusion_rag",
    "hierarchical_rag",
    "load_transform",
    "multi_hop_rag",
    "naive_rag",
    "self_rag",
    "self_rag_tokens",
    "speculative_rag",
    "summarise_rag",
    "vote_rag",
    "with_nodes",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adaptive": ["adaptive_rag"],
        "closed": ["closed_book"],
        "corrective": ["corrective_rag"],
        "custom": ["with_nodes"],
        "decompose": ["decompose_rag"],
        "fusion": ["fusion_rag"],
        "hierarchical": ["hierarchical_rag"],
        "langchain": ["StrategyRetriever", "as_tool"],
        "multi_hop": ["multi_hop_rag"],
        "naive": ["naive_rag"],
        "registry": ["STRATEGIES", "build_strategy"],
        "self_rag_critic": ["self_rag"],
        "self_rag_reflection": ["self_rag_tokens"],
        "speculative": ["speculative_rag"],
        "summarise": ["summarise_rag"],
        "transforms": ["load_transform"],
        "vote": ["vote_rag"],
    },
)
