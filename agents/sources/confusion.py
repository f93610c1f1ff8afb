"""How well a router routes, on questions whose sources are known."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import UsageError
from .route import NONE, UNKNOWN, SourceRoute, valid_route
from .router import TO_MEND, BudgetedRouter, SourceRouter

__all__ = ("INVALID", "Confusion", "confusion")

INVALID = "(invalid)"
"""Column of what is no decision: the router raised, or gave a name outside its closed set."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """A confusion matrix and what follows from it. Of several chosen sources the first counts."""

    labels: tuple[str, ...]
    """Of rows and columns; the last one is `(invalid)`."""
    matrix: tuple[tuple[int, ...], ...]
    """`matrix[truth][predicted]` counts texts."""
    n: int
    accuracy: float
    macro_f1: float
    """Mean of the F1 of the labels that are true of a text."""
    out_of_scope_recall: float | None
    """Share of the texts labelled `unknown` that are found out; None where there are none."""
    invalid_rate: float
    """Share of texts without a decision: names outside the closed set, exceptions, replies that say nothing."""
    ms_per_text: float
    """Mean time of a route, in milliseconds."""


def confusion(router: SourceRouter | BudgetedRouter, texts: Sequence[str], labels: Sequence[str]) -> Confusion:
    """Routes every text, one after the other, and compares.

    Raises `UsageError` where there are no texts, or a label that the router cannot give: it would only ever be wrong.

    >>> report = confusion(router, questions, names)  # doctest: +SKIP
    >>> report.accuracy, report.out_of_scope_recall  # doctest: +SKIP
    (0.93, 0.81)
    """
    if not texts or len(texts) != len(labels):
        raise UsageError(f"there are {len(texts)} texts and {len(labels)} labels", hint="give one label a text")
    closed = tuple(dict.fromkeys([*router.labels, NONE, UNKNOWN]))
    if wrong := sorted(set(labels) - set(closed)):
        raise UsageError(f"the router has no label {wrong[0]!r}", hint=f"it has {', '.join(closed)}")
    began = time.perf_counter()
    routes = [_route(router, text) for text in texts]
    seconds = time.perf_counter() - began
    return _measured(routes, labels, (*closed, INVALID), 1000 * seconds / len(texts))


def _route(router: SourceRouter | BudgetedRouter, text: str) -> SourceRoute:
    try:
        return valid_route(router.route(text), router.labels)
    except TO_MEND:
        raise
    except Exception as error:
        return SourceRoute((), failed=type(error).__name__)


def _measured(
    routes: Sequence[SourceRoute], truth: Sequence[str], labels: tuple[str, ...], ms_per_text: float
) -> Confusion:
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, recall_score

    predicted = [INVALID if route.failed else route.label for route in routes]
    actual = list(truth)
    there = sorted(set(actual))
    recall = recall_score(actual, predicted, labels=[UNKNOWN], average="macro", zero_division=0.0)
    return Confusion(
        labels=labels,
        matrix=tuple(tuple(map(int, row)) for row in confusion_matrix(actual, predicted, labels=list(labels))),
        n=len(actual),
        accuracy=float(accuracy_score(actual, predicted)),
        macro_f1=float(f1_score(actual, predicted, labels=there, average="macro", zero_division=0.0)),
        out_of_scope_recall=float(recall) if UNKNOWN in there else None,
        invalid_rate=predicted.count(INVALID) / len(predicted),
        ms_per_text=ms_per_text,
    )
