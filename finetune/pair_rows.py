"""Rows as classifiers of text pairs read them, and what a recipe says of its pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UsageError
from ..evals.answer_sets import share_of
from ..models.specs import TrainedRole
from .data.parts import Part
from .data.rows import TrainingRow, read_rows
from .recipe import Built

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("Examples", "PairTask", "check_classes", "read_examples", "some")


@dataclass(frozen=True, slots=True)
class Examples:
    """Rows as a classifier reads them."""

    rows: list[TrainingRow]
    pairs: list[tuple[str, str]]
    targets: NDArray[Any]
    """Shares of yes, or class numbers."""

    @property
    def sets(self) -> list[str]:
        """The data set of each row."""
        return [str(row["origin"]["set"]) for row in self.rows]

    @property
    def questions(self) -> list[Hashable]:
        """What groups the rows of one question: `query` where it stands, for two questions may have one wording."""
        return [(row["origin"]["set"], row.get("query") or row["question"]) for row in self.rows]

    def lists(self) -> list[list[int]]:
        """The rows of each question."""
        found: dict[Hashable, list[int]] = {}
        for at, question in enumerate(self.questions):
            found.setdefault(question, []).append(at)
        return list(found.values())

    def take(self, chosen: Sequence[int]) -> Examples:
        """Some of the rows."""
        return Examples([self.rows[at] for at in chosen], [self.pairs[at] for at in chosen], self.targets[list(chosen)])


Measure = Callable[[Examples, "NDArray[Any]"], "Mapping[str, float | None]"]
"""Of rows and their probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairTask:
    """What a recipe says of its pairs."""

    role: TrainedRole
    labels: tuple[str, ...]
    """One name: the logit is of yes against no."""
    inputs: str
    """What stands before and after the separator."""
    pair: Callable[[TrainingRow], tuple[str, str]]
    target: Callable[[TrainingRow], float]
    measure: Measure
    metric: str
    """The one of `measure` by which the best checkpoint is chosen; more is better."""


def read_examples(built: Built, task: PairTask, part: Part) -> Examples:
    """The rows of a part. Raises `UsageError` where there are none."""
    path = built.files.get(part)
    rows = list(read_rows(path, task.role, [])) if path else []
    if not rows:
        raise UsageError(
            f"the {part} part has no rows", hint="parts are split by document: give data of more documents"
        )
    targets = np.array([task.target(row) for row in rows], dtype=np.float64)
    return Examples(rows, [task.pair(row) for row in rows], targets)


def some(examples: Examples, count: int) -> Examples:
    """About `count` rows, the same ones in every run, all rows of a question together, as many of each set as it has or
    its share is: a mean over sets is no better known than that of the smallest.
    """
    if len(examples.rows) <= count:
        return examples
    chosen: list[int] = []
    sets = Counter(examples.sets)
    for number, (name, _) in enumerate(sorted(sets.items(), key=lambda item: (item[1], item[0]))):
        left = (count - len(chosen)) / (len(sets) - number)  # what small sets do not need, others have
        chosen += _some_of(examples, [at for at, own in enumerate(examples.sets) if own == name], max(1, round(left)))
    return examples.take(chosen)


def _some_of(examples: Examples, rows: Sequence[int], count: int) -> list[int]:
    named = ((at, examples.rows[at]) for at in rows)
    keys = {at: str(row.get("question") or row.get("claim") or row.get("text")) for at, row in named}
    order = sorted(rows, key=lambda at: (share_of(keys[at], salt="dev"), keys[at], at))
    end = min(count, len(order))
    while end < len(order) and keys[order[end]] == keys[order[end - 1]]:
        end += 1
    return order[:end]


def check_classes(train: Examples, task: PairTask) -> None:
    """Raises `UsageError` where all rows have one label."""
    kinds = _kinds(train.targets, len(task.labels))
    if len(kinds) < 2:
        raise UsageError(
            f"all {len(train.rows)} rows to train on have the label {train.rows[0].get('label')!r}",
            hint="a classifier needs rows of at least two labels",
        )


def _kinds(targets: Iterable[float], labels: int) -> set[float]:
    return {float(value) for value in targets} if labels > 1 else {float(value >= 0.5) for value in targets}
