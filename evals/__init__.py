"""Evals: what retrieval and strategies are worth, measured without a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .datasets import RetrievalSet, load_retrieval_set
    from .retrieval import RetrievalResult, evaluate_retrieval

__all__ = ("RetrievalResult", "RetrievalSet", "evaluate_retrieval", "load_retrieval_set")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "datasets": ["RetrievalSet", "load_retrieval_set"],
        "retrieval": ["RetrievalResult", "evaluate_retrieval"],
    },
)
