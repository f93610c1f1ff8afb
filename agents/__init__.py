"""What routes, remembers and plugs in: strategies and sources as parts of a bigger application.

`agent`: a model that searches step by step. `assistant`: a chat with memory. `auto`: a cheap strategy first, a dear one
where its answer is weak. `conversation`: follow-ups, threads and facts. `langchain`: retrieval for LangChain apps.
`sources`: questions routed to what can answer them. `tables`: questions over tables. `tasks`: summaries, comparisons,
small talk and what else is no single fact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .registry import STRATEGIES, build_strategy

__all__ = ("STRATEGIES", "build_strategy")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(__name__, submod_attrs={"registry": ["STRATEGIES", "build_strategy"]})
