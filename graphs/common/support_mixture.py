"""A trained support critic and the plain words together: each sees what the other misses.

A small classifier recognises paraphrase and contradiction, but compares words badly; the share of words that a passage
holds does nothing else.

    score = sigmoid(weight_model * log(p / (1 - p)) + weight_words * share + shift)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import ArtifactError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from ...models.artifacts import Artifact

__all__ = ("SupportMixture",)

LEAST = 1e-6
"""Probabilities are kept so far from 0 and 1: their log odds stay finite."""


@dataclass(frozen=True, slots=True)
class SupportMixture:
    """The weights of a logistic regression; a manifest has them as `settings.mixture`.

    >>> mixture = SupportMixture(weight_model=1.0, weight_words=2.0, shift=-1.0)
    >>> mixture.scores([0.5, 0.5], [0.0, 1.0]).round(2).tolist()
    [0.27, 0.73]
    """

    weight_model: float
    weight_words: float
    shift: float

    @classmethod
    def of(cls, artifact: Artifact) -> SupportMixture | None:
        """The one that an artifact brings, if any. `ArtifactError` where its weights are not these three."""
        told = artifact.manifest.settings.get("mixture")
        try:
            return cls(**told) if told else None
        except TypeError as error:
            needed = "it needs weight_model, weight_words and shift"
            raise ArtifactError(f"{str(artifact.folder)!r} has a damaged mixture: {told!r}", hint=needed) from error

    @classmethod
    def fitted(
        cls,
        probabilities: ArrayLike,
        shares: ArrayLike,
        supported: Sequence[bool] | NDArray[Any],
        weights: NDArray[Any] | None = None,
    ) -> SupportMixture:
        """By logistic regression; a weight that came out below 0 is taken for 0. Both classes must occur."""
        from sklearn.linear_model import LogisticRegression

        odds, words = _log_odds(probabilities), np.asarray(shares, dtype=np.float64)
        found = LogisticRegression().fit(np.stack([odds, words], axis=1), supported, sample_weight=weights)
        model, word = (round(max(0.0, float(each)), 4) for each in found.coef_[0])
        return cls(model, word, round(float(found.intercept_[0]), 4))

    def scores(self, probabilities: ArrayLike, shares: ArrayLike) -> NDArray[np.float64]:
        """0 to 1, of any equal shapes; higher where either is higher."""
        words = np.asarray(shares, dtype=np.float64)
        total = self.weight_model * _log_odds(probabilities) + self.weight_words * words + self.shift
        return np.asarray(1 / (1 + np.exp(-total)))

    def settings(self) -> dict[str, float]:
        """As a manifest has it."""
        return asdict(self)


def _log_odds(probabilities: ArrayLike) -> NDArray[np.float64]:
    kept = np.clip(np.asarray(probabilities, dtype=np.float64), LEAST, 1 - LEAST)
    return np.asarray(np.log(kept / (1 - kept)))
