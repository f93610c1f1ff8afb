"""The agent: a model that searches sources step by step, within a budget, in somebody's name, and cites."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .access import AccessScope, ScopedSource
    from .graph import rag_agent
    from .middleware import (
        BudgetMiddleware,
        GroundednessMiddleware,
        ScopeMiddleware,
        ScreeningMiddleware,
        SourcesMiddleware,
    )
    from .modes import calls_tools

__all__ = (
    "AccessScope",
    "BudgetMiddleware",
    "GroundednessMiddleware",
    "ScopeMiddleware",
    "ScopedSource",
    "ScreeningMiddleware",
    "SourcesMiddleware",
    "calls_tools",
    "rag_agent",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "access": ["AccessScope", "ScopedSource"],
        "graph": ["rag_agent"],
        "middleware": [
            "BudgetMiddleware",
            "GroundednessMiddleware",
            "ScopeMiddleware",
            "ScreeningMiddleware",
            "SourcesMiddleware",
        ],
        "modes": ["calls_tools"],
    },
)
