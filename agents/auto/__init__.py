"""Strategy routing: a cheap strategy always first, an expensive one only where the cheap one shows a weakness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .curve import Curve, cost_curve
    from .default import default_auto
    from .fitting import Fitted, fit_thresholds
    from .graph import auto_rag
    from .outcome import Outcome
    from .policy_file import load_policy, save_policy
    from .question_class import QuestionClass
    from .retrieval_signals import Disagreement, WeakRetrieval, average_overlap
    from .rows import Figures, Row, row_of
    from .signals import Abstained, BudgetLeft, CheapRun, Signal, Uncited, Unsupported
    from .sweeping import Point, point_of
    from .weakness import Rule, Weakness

__all__ = (
    "Abstained",
    "BudgetLeft",
    "CheapRun",
    "Curve",
    "Disagreement",
    "Figures",
    "Fitted",
    "Outcome",
    "Point",
    "QuestionClass",
    "Row",
    "Rule",
    "Signal",
    "Uncited",
    "Unsupported",
    "WeakRetrieval",
    "Weakness",
    "auto_rag",
    "average_overlap",
    "cost_curve",
    "default_auto",
    "fit_thresholds",
    "load_policy",
    "point_of",
    "row_of",
    "save_policy",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "curve": ["Curve", "cost_curve"],
        "default": ["default_auto"],
        "fitting": ["Fitted", "fit_thresholds"],
        "graph": ["auto_rag"],
        "outcome": ["Outcome"],
        "policy_file": ["load_policy", "save_policy"],
        "question_class": ["QuestionClass"],
        "retrieval_signals": ["Disagreement", "WeakRetrieval", "average_overlap"],
        "rows": ["Figures", "Row", "row_of"],
        "signals": ["Abstained", "BudgetLeft", "CheapRun", "Signal", "Uncited", "Unsupported"],
        "sweeping": ["Point", "point_of"],
        "weakness": ["Rule", "Weakness"],
    },
)
