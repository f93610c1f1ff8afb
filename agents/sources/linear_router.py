"""A router that is fitted on examples: logistic regression on vectors of the questions."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import UsageError
from ...graphs.common.effects import Compute, Doing
from ...graphs.common.lazy import Lazy
from ...graphs.common.purse import Purse
from ...models import Embedder
from ...models.router import query_vectors
from .embedding_router import DEFAULT_EMBEDDER, lazy_embedder
from .route import UNKNOWN, SourceRoute, choose
from .router import BudgetedRouter

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ("LinearRouter",)

PENALTY = 10.0
"""Inverse weight of the L2 penalty: vectors have length 1, so that little of it is needed."""
KEPT = 0.98
"""Share of the rightly classified held-out texts that stays known, where no text is labelled `unknown`."""


class LinearRouter(BudgetedRouter):
    """Chooses by the probabilities of a linear classifier; unknown where the best one is too low. Made by `fit`.

    A linear model on features of the question equals or beats most learned routers of the literature at no cost
    (https://arxiv.org/abs/2505.04253). To keep one, train an artifact: `ragloom finetune router` and `TrainedRouter`.
    """

    def __init__(
        self,
        labels: Sequence[str],
        probabilities: Callable[[NDArray[np.float32]], NDArray[np.float64]],
        *,
        embedder: Lazy[Embedder],
        threshold: float,
        margin: float = 0.0,
    ) -> None:
        """`probabilities` gives a row for each vector, with a column for each label."""
        self._labels = tuple(labels)
        self._probabilities, self._embedder = probabilities, embedder
        self.threshold, self.margin = threshold, margin

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the texts that it was fitted on."""
        return self._labels

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        embedder: Embedder | str = DEFAULT_EMBEDDER,
        held_out: float = 0.2,
        margin: float = 0.0,
        seed: int = 0,
    ) -> LinearRouter:
        """Fits on questions and the names of their sources, `none` for those that need no source.

        Texts labelled `unknown` are of no class: they only set the threshold. It is chosen on them and on a held-out
        share of the others: where the mean of two shares is largest, that of in-scope texts classified rightly and
        kept, and that of out-of-scope texts found out. Without such texts, it keeps 98 % of what is classified rightly.
        The classifier itself is then fitted on all in-scope texts.

        Args:
            texts: questions.
            labels: one for each.
            embedder: an `Embedder` or the spec of one, loaded here.
            held_out: share of each class that the threshold is chosen on, 0 to 1.
            margin: sources whose probability is within this of the best one's are chosen as well; 0 for one only.
            seed: of the choice of the held-out texts.

        Raises `UsageError` where there are fewer than two classes, or no class has two texts.

        Example:
            >>> router = LinearRouter.fit(questions, names)  # doctest: +SKIP
            >>> router.route("How many days of leave do I get?").names  # doctest: +SKIP
            ('handbook',)
        """
        if len(texts) != len(labels):
            raise UsageError(f"there are {len(texts)} texts and {len(labels)} labels", hint="give one label a text")
        inside = [at for at, label in enumerate(labels) if label != UNKNOWN]
        classes = sorted({labels[at] for at in inside})
        if len(classes) < 2:
            raise UsageError("a router needs texts of at least two sources", hint="`none` counts, `unknown` does not")
        tried = _held_out([labels[at] for at in inside], held_out, seed)
        if not tried:
            raise UsageError("no label has two texts: there is nothing to choose the threshold on")

        loaded = lazy_embedder(embedder)
        vectors = query_vectors(loaded(), texts)
        own, names = vectors[inside], [labels[at] for at in inside]
        outside = vectors[[at for at, label in enumerate(labels) if label == UNKNOWN]]
        rest = sorted(set(range(len(inside))) - tried)
        trial = _classifier(own[rest], [names[at] for at in rest], seed)
        held = sorted(tried)
        truth = [classes.index(names[at]) for at in held]
        beyond = trial.predict_proba(outside) if len(outside) else np.zeros((0, len(classes)))
        threshold = _threshold(trial.predict_proba(own[held]), truth, beyond)
        model = _classifier(own, names, seed)
        return cls(classes, model.predict_proba, embedder=loaded, threshold=threshold, margin=margin)

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Classifies; nothing is charged."""
        scores = yield Compute(self._scores, question)
        return choose(scores, threshold=self.threshold, margin=self.margin, by=type(self).__name__)

    def _scores(self, question: str) -> dict[str, float]:
        row = self._probabilities(query_vectors(self._embedder(), [question]))[0]
        return dict(zip(self._labels, map(float, row), strict=True))


def _held_out(labels: Sequence[str], share: float, seed: int) -> set[int]:
    """Indices of that share of each class, at least one text of it, and never its last one."""
    of_class: dict[str, list[int]] = defaultdict(list)
    for at, label in enumerate(labels):
        of_class[label].append(at)
    dice = random.Random(seed)
    taken: set[int] = set()
    for _, own in sorted(of_class.items()):
        taken |= set(dice.sample(own, min(len(own) - 1, max(1, round(share * len(own))))))
    return taken


def _classifier(vectors: NDArray[np.float32], names: Sequence[str], seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=PENALTY, max_iter=1000, random_state=seed).fit(vectors, list(names))


def _threshold(probabilities: NDArray[np.float64], truth: Sequence[int], outside: NDArray[np.float64]) -> float:
    """Below which best probability a text is out of scope; rows are texts, columns classes."""
    best = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == np.asarray(truth)
    if not len(outside):
        return float(np.quantile(best[right], 1 - KEPT)) if right.any() else 0.0
    other = outside.max(axis=1)
    seen = np.unique(np.concatenate([best, other]))
    # Between two values that were seen: a threshold on one of them would hang on its rounding.
    candidates = np.concatenate([[0.0], (seen[1:] + seen[:-1]) / 2])
    gains = [(right & (best >= at)).mean() + (other < at).mean() for at in candidates]
    return float(candidates[int(np.argmax(gains))])
