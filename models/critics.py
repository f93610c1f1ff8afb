"""Two of Self-RAG's critics: is an answer useful, and does a question need retrieval at all?

Asai et al., 2023, "Self-RAG", https://arxiv.org/abs/2310.11511 (IsUse and Retrieve). The third, IsSup, judges sentences
against passages: `ragloom.graphs.common.trained_support`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import ArtifactError
from .pair_classifier import PairClassifier, load_pair_classifier
from .weights import Progress

if TYPE_CHECKING:
    from .trunk import Dtype

__all__ = ("RetrievalNeedCritic", "UtilityCritic", "load_retrieval_need_critic", "load_utility_critic")


class UtilityCritic:
    """How useful an answer is to its question, from 1 (useless) to 5. Made by `load_utility_critic`."""

    def __init__(self, classifier: PairClassifier) -> None:
        """Wrap a classifier whose labels are numbers."""
        try:
            self._values = [float(label) for label in classifier.labels]
        except ValueError as error:
            folder = str(classifier.artifact.folder)
            raise ArtifactError(f"{folder!r} is no utility critic: its labels are {classifier.labels}") from error
        self._classifier = classifier

    @property
    def fingerprint(self) -> str:
        """Changes when its verdicts do."""
        return self._classifier.artifact.fingerprint

    def expected(self, question: str, answer: str) -> float:
        """The mean of the grades, each weighed by its probability."""
        return self.expected_of([(question, answer)])[0]

    def expected_of(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """`expected` of many (question, answer), in one call."""
        if not pairs:
            return []
        shares = self._classifier.probabilities(pairs)
        return [float(value) for value in shares @ self._values]


class RetrievalNeedCritic:
    """Whether a question needs anything looked up. Made by `load_retrieval_need_critic`."""

    def __init__(self, classifier: PairClassifier) -> None:
        """Wrap a classifier with a label `yes`, alone or beside `no`."""
        self.threshold = classifier.artifact.manifest.thresholds.get("yes", 0.5)
        if "yes" not in classifier.labels:
            folder = str(classifier.artifact.folder)
            raise ArtifactError(f"{folder!r} has no label 'yes': its labels are {classifier.labels}")
        self._column = classifier.labels.index("yes")
        self._classifier = classifier

    @property
    def fingerprint(self) -> str:
        """Changes when its verdicts do."""
        return f"{self._classifier.artifact.fingerprint} yes {self.threshold}"

    def probability(self, question: str) -> float:
        """How probably the question needs retrieval."""
        return self.probabilities([question])[0]

    def probabilities(self, questions: Sequence[str]) -> list[float]:
        """`probability` of many questions, in one call."""
        if not questions:
            return []
        shares = self._classifier.probabilities([(question, "") for question in questions])
        return [float(value) for value in shares[:, self._column]]

    def needed(self, question: str) -> bool:
        """Whether the probability reaches the artifact's threshold."""
        return self.probability(question) >= self.threshold


def load_utility_critic(
    spec: str, *, device: str | None = None, dtype: Dtype = "auto", progress: Progress | None = None
) -> UtilityCritic:
    """The critic that `spec` names, `utility:bundled` or `utility:PATH`. Errors as in `open_artifact`."""
    return UtilityCritic(load_pair_classifier(spec, "utility", device=device, dtype=dtype, progress=progress))


def load_retrieval_need_critic(
    spec: str, *, device: str | None = None, dtype: Dtype = "auto", progress: Progress | None = None
) -> RetrievalNeedCritic:
    """The critic that `spec` names, `retrieve:bundled` or `retrieve:PATH`. Errors as in `open_artifact`."""
    return RetrievalNeedCritic(load_pair_classifier(spec, "retrieve", device=device, dtype=dtype, progress=progress))
