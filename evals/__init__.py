"""Evals: what retrieval and strategies are worth, measured without a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .datasets import RetrievalSet, load_retrieval_set
    from .retrieval import RetrievalResult, evaluate_retrieval

__all__ = ("RetrievalResult", "RetrievalSet", "evaluate_retrieval", "load_retrieval_set")


def __getattr__(name: str) -> Any:
    """Imports on first use."""
    if name in ("RetrievalSet", "load_retrieval_set"):
        from . import datasets

        return getattr(datasets, name)
    if name in ("RetrievalResult", "evaluate_retrieval"):
        from . import retrieval

        return getattr(retrieval, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
