"""What makes an agent of LangChain's `create_agent` a careful one: each concern a middleware of its own.

    create_agent(llm, [], middleware=[
        BudgetMiddleware(Budget(llm_calls=6)), ScopeMiddleware(sources), ScreeningMiddleware(guard),
        GroundednessMiddleware(), SourcesMiddleware(sources),
    ], context_schema=AccessScope)

The first one is the outermost: what a source gave passes the guard before the model or the check sees it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .budget import BudgetMiddleware
    from .groundedness import GroundednessMiddleware
    from .scope import ScopeMiddleware
    from .screening import ScreeningMiddleware
    from .sources import SourcesMiddleware

__all__ = (
    "BudgetMiddleware",
    "GroundednessMiddleware",
    "ScopeMiddleware",
    "ScreeningMiddleware",
    "SourcesMiddleware",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "budget": ["BudgetMiddleware"],
        "groundedness": ["GroundednessMiddleware"],
        "scope": ["ScopeMiddleware"],
        "screening": ["ScreeningMiddleware"],
        "sources": ["SourcesMiddleware"],
    },
)
