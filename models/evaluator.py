"""The retrieval evaluator of Corrective RAG: does a passage answer the question at all, and what is to be done then?

Yan, Gu, Zhu and Ling, 2024, "Corrective Retrieval Augmented Generation", https://arxiv.org/abs/2401.15884. The paper's
scores lie between -1 and 1 and its thresholds were chosen for each data set; here scores are calibrated probabilities,
and an artifact brings the thresholds that were fitted on its held-out questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from ..errors import ArtifactError, UsageError
from .pair_classifier import PairClassifier, load_pair_classifier
from .weights import Progress
from .windows import pack_windows, room_beside, word_spans

if TYPE_CHECKING:
    from .trunk import Dtype

__all__ = ("LOWER", "UPPER", "Action", "RetrievalEvaluator", "TrainedEvaluator", "action_of", "load_evaluator")

Action = Literal["correct", "ambiguous", "incorrect"]
UPPER, LOWER = 0.75, 0.05
"""Where an artifact has no thresholds: about the paper's 0.5 and -0.91 (PubHealth, ARC) on a scale from 0 to 1."""


class RetrievalEvaluator(Protocol):
    """Grades passages. `grade` gives probabilities, one a passage; `upper` and `lower` belong to them."""

    upper: float
    lower: float

    def grade(self, question: str, passages: Sequence[str]) -> list[float]:
        """How probably each passage is relevant to the question, 0 to 1."""
        ...


def action_of(scores: Sequence[float], *, upper: float, lower: float) -> Action:
    """`correct` if any score is above `upper`, `incorrect` if all are below `lower` (also where there are none).

    >>> action_of([0.1, 0.9], upper=0.7, lower=0.2), action_of([0.1, 0.1], upper=0.7, lower=0.2)
    ('correct', 'incorrect')
    >>> action_of([0.1, 0.2], upper=0.7, lower=0.2)
    'ambiguous'
    """
    if any(score > upper for score in scores):
        return "correct"
    return "incorrect" if all(score < lower for score in scores) else "ambiguous"


class TrainedEvaluator:
    """A trained evaluator. Satisfies `RetrievalEvaluator`; made by `load_evaluator`.

    >>> evaluator = load_evaluator("evaluator:bundled")  # doctest: +SKIP
    >>> evaluator.action(evaluator.grade("Who wrote Emma?", ["Emma is a novel by Jane Austen."]))  # doctest: +SKIP
    'correct'
    """

    def __init__(self, classifier: PairClassifier, *, upper: float | None = None, lower: float | None = None) -> None:
        """Wrap a loaded classifier of one label; thresholds that are not given are the artifact's."""
        manifest = classifier.artifact.manifest
        if len(classifier.labels) != 1:
            folder = str(classifier.artifact.folder)
            raise ArtifactError(f"{folder!r} has {len(classifier.labels)} labels; an evaluator has one")
        self.upper = manifest.thresholds.get("upper", UPPER) if upper is None else upper
        self.lower = manifest.thresholds.get("lower", LOWER) if lower is None else lower
        if not self.lower <= self.upper:
            raise UsageError(f"the lower threshold {self.lower} is above the upper one {self.upper}")
        self._classifier = classifier

    @property
    def fingerprint(self) -> str:
        """Changes when its grades or its actions do."""
        return f"{self._classifier.artifact.fingerprint} upper {self.upper} lower {self.lower}"

    def grade(self, question: str, passages: Sequence[str]) -> list[float]:
        """Calibrated probabilities, all passages in one call.

        Of a passage that is longer than the model reads, the best of its overlapping windows counts; one without a word
        gets 0.
        """
        room = room_beside(self._classifier, question)
        pairs: list[tuple[str, str]] = []
        owners: list[int] = []
        for index, passage in enumerate(passages):
            for start, end in self._windows(passage, room):
                pairs.append((question, passage[start:end]))
                owners.append(index)
        grades = [0.0] * len(passages)
        if pairs:
            for owner, value in zip(owners, self._classifier.probabilities(pairs)[:, 0], strict=True):
                grades[owner] = max(grades[owner], float(value))
        return grades

    def action(self, scores: Sequence[float]) -> Action:
        """What Corrective RAG does with passages of these grades."""
        return action_of(scores, upper=self.upper, lower=self.lower)

    def _windows(self, passage: str, room: int) -> list[tuple[int, int]]:
        if not passage.strip():
            return []
        if self._classifier.count_tokens(passage) <= room:
            return [(0, len(passage))]
        words = word_spans(passage)
        return pack_windows(words, [self._classifier.count_tokens(passage[slice(*word)]) for word in words], room)


def load_evaluator(
    spec: str,
    *,
    upper: float | None = None,
    lower: float | None = None,
    device: str | None = None,
    dtype: Dtype = "auto",
    progress: Progress | None = None,
) -> TrainedEvaluator:
    """The evaluator that `spec` names, `evaluator:bundled` or `evaluator:PATH`. Errors as in `open_artifact`."""
    classifier = load_pair_classifier(spec, "evaluator", device=device, dtype=dtype, progress=progress)
    return TrainedEvaluator(classifier, upper=upper, lower=lower)
