"""CRAG's two thresholds, chosen on held-out questions by what a wrong action costs.

The action of a question (Yan et al., 2024, "Corrective Retrieval Augmented Generation", https://arxiv.org/abs/2401.15884):

    correct     one passage scores above `upper`: answer from the passages
    incorrect   all score below `lower`: drop them, search elsewhere
    ambiguous   otherwise: both

What is right is known where the passages are labelled: `correct` if there is a gold one among them, else `incorrect`.
The pair of thresholds with the least mean cost is taken; there are only as many as gaps between scores, and all are
looked at. The paper sets them by hand for each data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ..errors import UsageError
from ..models.evaluator import Action, action_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("ACTIONS", "ALARM", "Costs", "Thresholds", "fit_thresholds", "measure_thresholds")

ACTIONS: tuple[Action, ...] = get_args(Action)
ALARM = 0.85
"""An action this frequent means that the evaluator does not tell questions apart."""

Scored = Sequence[tuple[float, bool]]
"""The passages of one question: score, and whether it is gold."""


@dataclass(frozen=True, slots=True)
class Costs:
    """What is lost by an action that is not the right one; the right one costs 0."""

    wrong_correct: float = 1.0
    """No gold passage, yet the answer is read from them."""
    wrong_incorrect: float = 1.0
    """A gold passage is dropped."""
    ambiguous: float = 0.25
    """Both are done: only time is lost. So it is chosen where one is less than three times as likely as the other."""

    def __post_init__(self) -> None:
        if min(self.wrong_correct, self.wrong_incorrect, self.ambiguous) < 0:
            raise UsageError("costs cannot be negative", hint="use 0 or more")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Two thresholds and what they do on the questions they were measured on."""

    lower: float
    upper: float
    cost: float
    """Mean over questions."""
    agreement: float
    """Share of questions with the right action; ambiguous is never the right one."""
    mix: Mapping[Action, float]
    """Share of each action."""
    questions: int
    warnings: tuple[str, ...] = field(default=())

    def report(self) -> dict[str, object]:
        """For the manifest and the card."""
        return {
            "cost": round(self.cost, 4),
            "agreement": round(self.agreement, 4),
            "mix": {action: round(share, 4) for action, share in self.mix.items()},
            "questions": self.questions,
            "warnings": list(self.warnings),
        }


def fit_thresholds(
    questions: Mapping[str, Scored], *, costs: Costs | None = None, without_gold: bool = True
) -> Thresholds:
    """The cheapest pair of thresholds, lower <= upper.

    Args:
        questions: question to its passages, scored by the evaluator, of a part that it was not trained on.
        costs: of wrong actions.
        without_gold: a question whose passages are gold and others counts twice, the second time without the gold ones:
            most data sets ask only what can be answered, and retrieval that found nothing would have no example.

    Raises `UsageError` where there is no question with passages.
    """
    weights = costs or Costs()
    cases = _cases(questions, without_gold)
    if not cases:
        raise UsageError("there is no question with passages to choose thresholds on", hint="give more documents")
    best = np.array([max(score for score, _ in case) for case in cases])
    gold = np.array([any(right for _, right in case) for case in cases])
    order = np.argsort(best, kind="stable")
    best, gold = best[order], gold[order]
    # A cut at k: the k lowest on one side. What the questions below `lower`, above `upper` and between them cost:
    below = np.concatenate([[0.0], np.cumsum(gold * weights.wrong_incorrect)])
    above = np.concatenate([np.cumsum((~gold * weights.wrong_correct)[::-1])[::-1], [0.0]])
    between = weights.ambiguous * np.arange(len(best) + 1)
    cuts = [0, *(np.flatnonzero(np.diff(best) > 0) + 1), len(best)]  # equal scores are never parted
    least, at, chosen = np.inf, 0, (0, 0)
    for cut in cuts:
        if below[cut] - between[cut] <= below[at] - between[at]:
            at = cut  # of equal ones the later: fewer questions in between
        cost = below[at] - between[at] + between[cut] + above[cut]
        if cost < least - 1e-12:
            least, chosen = cost, (at, cut)
    lower, upper = _between(best, *chosen)
    return measure_thresholds(questions, lower, upper, costs=weights, without_gold=without_gold)


def measure_thresholds(
    questions: Mapping[str, Scored],
    lower: float,
    upper: float,
    *,
    costs: Costs | None = None,
    without_gold: bool = True,
) -> Thresholds:
    """What two thresholds do on questions, such as those of the test part."""
    weights = costs or Costs()
    cases = _cases(questions, without_gold)
    actions = [action_of([score for score, _ in case], lower=lower, upper=upper) for case in cases]
    rights: list[Action] = ["correct" if any(right for _, right in case) else "incorrect" for case in cases]
    price = {"correct": weights.wrong_correct, "incorrect": weights.wrong_incorrect, "ambiguous": weights.ambiguous}
    count = max(len(cases), 1)
    cost = sum(price[done] for done, right in zip(actions, rights, strict=True) if done != right) / count
    mix = {action: actions.count(action) / count for action in ACTIONS}
    warnings = [
        f"{share:.0%} of the questions are {action}: the evaluator does not tell them apart"
        for action, share in mix.items()
        if share > ALARM
    ]
    if len(set(rights)) < 2:
        warnings.append("all questions ask for the same action: nothing was learned about the other one")
    agreement = sum(done == right for done, right in zip(actions, rights, strict=True)) / count
    return Thresholds(lower, upper, cost, agreement, mix, len(cases), tuple(warnings))


def _cases(questions: Mapping[str, Scored], without_gold: bool) -> list[Scored]:
    cases: list[Scored] = [list(passages) for passages in questions.values() if passages]
    if without_gold:
        others = [[item for item in case if not item[1]] for case in cases]
        cases += [other for case, other in zip(list(cases), others, strict=True) if other and len(other) < len(case)]
    return cases


def _between(best: NDArray[Any], low: int, high: int) -> tuple[float, float]:
    """The thresholds below which `low` scores lie, and above which all but `high`."""
    if low == high:
        if low == 0:
            both = float(np.nextafter(best[0], -np.inf))
        elif low == len(best):
            both = float(np.nextafter(best[-1], np.inf))
        else:
            both = float((best[low - 1] + best[low]) / 2)
        return both, both
    # At the ends the outermost score itself, which neither rule takes.
    lower = best[0] if low == 0 else max((best[low - 1] + best[low]) / 2, np.nextafter(best[low - 1], np.inf))
    upper = best[-1] if high == len(best) else min((best[high - 1] + best[high]) / 2, np.nextafter(best[high], -np.inf))
    return float(lower), float(upper)
