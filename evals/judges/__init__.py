"""Judges: metrics of ragas and DeepEval, for people who have a language model that is good enough to judge.

None is needed: everything that `ragloom eval answers` reports comes without a judge. docs/judges.md says what a judge
costs and what its scores are worth.

>>> from ragloom.evals.judges import load_judge
>>> judge = load_judge("ragas:faithfulness,context_recall", llm)  # doctest: +SKIP
>>> scores = judge.judge(record)  # doctest: +SKIP
>>> scores, scores.reasons  # doctest: +SKIP
({'ragas:faithfulness': 0.75, 'ragas:context_recall': None}, {'ragas:context_recall': 'the set has no right answer'})
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .loading import known_metrics, load_judge
    from .protocol import Judge, Scores

__all__ = ("Judge", "Scores", "known_metrics", "load_judge")

# Each name is imported on first use; ragas and DeepEval themselves only by `load_judge`.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "loading": ["known_metrics", "load_judge"],
        "protocol": ["Judge", "Scores"],
    },
)
