"""Evals: what retrieval and strategies are worth, measured without a judge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .answer_sets import AnswerSet, Question, load_answer_set
    from .answers import evaluate_answers
    from .cached_model import CachedChatModel
    from .datasets import RetrievalSet, load_retrieval_set
    from .report import write_report
    from .retrieval import RetrievalResult, evaluate_retrieval
    from .stress import Stress, StressedRetriever
    from .systems import System

__all__ = (
    "AnswerSet",
    "CachedChatModel",
    "Question",
    "RetrievalResult",
    "RetrievalSet",
    "Stress",
    "StressedRetriever",
    "System",
    "evaluate_answers",
    "evaluate_retrieval",
    "load_answer_set",
    "load_retrieval_set",
    "write_report",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answer_sets": ["AnswerSet", "Question", "load_answer_set"],
        "answers": ["evaluate_answers"],
        "datasets": ["RetrievalSet", "load_retrieval_set"],
        "cached_model": ["CachedChatModel"],
        "report": ["write_report"],
        "retrieval": ["RetrievalResult", "evaluate_retrieval"],
        "stress": ["Stress", "StressedRetriever"],
        "systems": ["System"],
    },
)
