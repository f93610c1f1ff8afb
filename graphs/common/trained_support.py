"""The trained support critic: a small classifier says whether a passage supports a sentence.

Method: IsSup of Asai et al., 2023, "Self-RAG", https://arxiv.org/abs/2310.11511: fully, partially or not supported.
Beside it stands the hard rule of `OverlapCritic`: classifiers of this size see paraphrase and contradiction, and miss a
wrong number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from langchain_core.documents import Document

from ...errors import ArtifactError, UnknownModelError
from ...models.pair_text import claim_text, passage_context, passage_text
from ...models.specs import suggest
from ...models.windows import pack_windows, room_beside
from .support import (
    WIDTH_COST,
    OverlapCritic,
    Support,
    SupportCritic,
    added_terms,
    held_share,
    held_terms,
    is_closed,
    quote_windows,
)
from .support_mixture import SupportMixture

if TYPE_CHECKING:
    from ...models.pair_classifier import PairClassifier
    from ...models.trunk import Dtype
    from ...models.weights import Progress

__all__ = ("FULLY", "TrainedSupportCritic", "load_support_critic")

FULLY = "fully"
"""The label whose probability is the score, and the name of its threshold in a manifest."""
MOST_QUOTES = 12
"""Candidates for the quote of a passage: the windows that share most words with the claim."""


class TrainedSupportCritic:
    """Supported means: the classifier finds the sentence, read after its question, fully supported by a passage with a
    probability of at least `threshold`. Of a passage that is longer than the classifier reads, the best of its
    overlapping windows of sentences counts. Where the artifact brings a mixture, the share of the sentence's words that
    the passage holds counts too (`SupportMixture`). Satisfies `SupportCritic`; made by `load_support_critic`.

    With `guard`, a number or name that the sentence adds must stand in the passage, in what stands above it, or in the
    question, and a sentence that only repeats the question is supported by nothing.

        >>> critic = load_support_critic("support:bundled")  # doctest: +SKIP
        >>> passage = Document("Leave is 25 days a year.")
        >>> critic.support("Staff get 25 days.", "How much leave?", [passage])  # doctest: +SKIP
        [Support(passage=0, start=0, end=24, score=0.97)]
    """

    def __init__(self, classifier: PairClassifier, *, threshold: float | None = None, guard: bool = True) -> None:
        """Wrap a loaded classifier; `threshold` by default is the artifact's, else 0.5."""
        manifest = classifier.artifact.manifest
        if FULLY not in classifier.labels:
            folder = str(classifier.artifact.folder)
            raise ArtifactError(f"{folder!r} has no label {FULLY!r}: its labels are {classifier.labels}")
        self.threshold = manifest.thresholds.get(FULLY, 0.5) if threshold is None else threshold
        self.guard = guard
        self._mixture = SupportMixture.of(classifier.artifact)
        self._classifier = classifier
        self._column = classifier.labels.index(FULLY)
        # A passage is read by many sentences, of one answer and of every strategy that found it.
        self._sentences = lru_cache(maxsize=2048)(self._cut)

    @property
    def fingerprint(self) -> str:
        """Changes when its verdicts do."""
        return f"{self._classifier.artifact.fingerprint} {FULLY} {self.threshold} guard {self.guard}"

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Support]:
        """The best quote of each passage that supports the sentence, best first.

        Two forward passes at most: one over all passages, one over the quotes of those that support it.
        """
        new = added_terms(sentence, question)
        if not re.search(r"\w", sentence) or (self.guard and not new and not is_closed(question)):
            return []
        readable = [i for i, passage in enumerate(passages) if self._may_support(new, question, passage)]
        scores = dict(zip(readable, self.scores(sentence, question, [passages[i] for i in readable]), strict=True))
        found = {index: score for index, score in scores.items() if score >= self.threshold}
        hard = {term for term, is_hard in new.items() if is_hard}
        quotes = self._quotes(claim_text(sentence, question), hard, {index: passages[index] for index in found})
        # Rounding must not lift a score over the threshold, nor push it under.
        supports = [
            Support(index, *quotes[index], max(round(score, 4), self.threshold)) for index, score in found.items()
        ]
        return sorted(supports, key=lambda item: (-item.score, item.passage))

    def scores(self, sentence: str, question: str, passages: Sequence[Document]) -> list[float]:
        """How far each passage supports the sentence, 0 to 1, whatever the guard says of it."""
        claim = claim_text(sentence, question)
        room = room_beside(self._classifier, claim)
        read = [(i, part) for i, passage in enumerate(passages) for part in self._parts(passage, room)]
        best = [0.0] * len(passages)
        for (index, _), score in zip(read, self._fully([(claim, part) for _, part in read]), strict=True):
            best[index] = max(score, best[index])
        if self._mixture is None or not passages:
            return best
        shares = [
            held_share(sentence, question, passage.page_content, passage_context(passage.metadata))
            for passage in passages
        ]
        return [float(score) for score in self._mixture.scores(best, shares)]

    def _may_support(self, new: dict[str, bool], question: str, passage: Document) -> bool:
        text = passage.page_content
        if not text.strip():
            return False
        if not self.guard:
            return True
        known = held_terms(text) | held_terms(_above(passage)) | held_terms(question)
        return all(term in known for term, hard in new.items() if hard)

    def _parts(self, passage: Document, room: int) -> list[str]:
        """The passage as the classifier reads it: whole where it fits, else as overlapping windows of sentences."""
        text, above = passage.page_content, passage_context(passage.metadata)
        room = max(1, room - self._classifier.count_tokens(above)) if above else room
        spans, sizes = self._sentences(text)
        if sum(sizes) <= room:
            return [passage_text(text, above)]
        return [passage_text(text[start:end], above) for start, end in pack_windows(spans, sizes, room)]

    def _quotes(self, claim: str, hard: set[str], passages: dict[int, Document]) -> dict[int, tuple[int, int]]:
        """(start, end) of the window of each passage that supports the claim best: one with its numbers and names where
        there is one; shorter ones are preferred.
        """
        asked = held_terms(claim)
        rows: list[tuple[int, int, int, int]] = []
        pairs: list[tuple[str, str]] = []
        for index, passage in passages.items():
            text, context = passage.page_content, passage_context(passage.metadata)
            held = [
                (held_terms(text[start:end]) | held_terms(over), (start, end, over, width))
                for start, end, over, width in quote_windows(text)
            ]
            held = [one for one in held if hard <= one[0]] or held
            held.sort(key=lambda one: -len(asked & one[0]))
            for _, (start, end, over, width) in held[:MOST_QUOTES]:
                rows.append((index, start, end, width))
                pairs.append((claim, passage_text(text[start:end], over or context)))
        best = {index: (0, len(passage.page_content)) for index, passage in passages.items()}
        worth: dict[int, float] = {}
        for (index, start, end, width), score in zip(rows, self._fully(pairs), strict=True):
            if score - WIDTH_COST * width > worth.get(index, -1.0):
                worth[index] = score - WIDTH_COST * width
                best[index] = (start, end)
        return best

    def _fully(self, pairs: list[tuple[str, str]]) -> list[float]:
        if not pairs:
            return []
        return [float(value) for value in self._classifier.probabilities(pairs)[:, self._column]]

    def _cut(self, text: str) -> tuple[list[tuple[int, int]], list[int]]:
        from ...sentences import sentence_spans

        spans = sentence_spans(text)
        return spans, [self._classifier.count_tokens(text[start:end]) for start, end in spans]


def load_support_critic(
    spec: str = "overlap",
    *,
    threshold: float | None = None,
    device: str | None = None,
    dtype: Dtype = "auto",
    progress: Progress | None = None,
) -> SupportCritic:
    """The critic that `spec` names: `overlap`, `support:bundled` or `support:PATH`.

    `threshold` overrides the critic's own. Raises `UnknownModelError` for another name; else as `open_artifact`.
    """
    if spec == "overlap":
        return OverlapCritic() if threshold is None else OverlapCritic(threshold=threshold)
    if not spec.startswith("support:"):
        near = suggest(spec.partition(":")[0], ("overlap", "support"))
        raise UnknownModelError(f"unknown critic {spec!r}", hint=f"{near}use overlap, support:bundled or support:PATH")
    from ...models.pair_classifier import load_pair_classifier

    classifier = load_pair_classifier(spec, "support", device=device, dtype=dtype, progress=progress)
    return TrainedSupportCritic(classifier, threshold=threshold)


def _above(passage: Document) -> str:
    return f"{passage.metadata.get('title', '')} {passage.metadata.get('headings', '')}"
