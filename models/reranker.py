"""Reranking with a trained model of one of two architectures.

    cross-encoder      question and passage are read together (Nogueira and Cho, 2019, "Passage Re-ranking with BERT",
                       https://arxiv.org/abs/1901.04085)
    late interaction   they are read apart, and their tokens compared (`late_interaction`)

A small model that was trained on few domains can rank others worse than the first stage did; an artifact may therefore
carry a mixture of both scores, whose weights were chosen on held-out questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from llama_index.core.bridge.pydantic import Field, PrivateAttr
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from ..errors import ArtifactError, UsageError
from .artifacts import Artifact, open_artifact
from .late_interaction import LATE_INTERACTION, LateInteraction
from .pair_classifier import PairClassifier, load_pair_classifier, probabilities_of
from .pair_text import passage_context, passage_text
from .weights import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .trunk import Dtype

__all__ = ("SCORE_KIND", "TrainedReranker", "load_reranker", "mixed_scores")

SCORE_KIND = "reranker"
_FIRST = ("first_score", "first_score_kind")


class TrainedReranker(BaseNodePostprocessor):
    """Orders passages by a trained reranker. Made by `load_reranker`.

    Scores are its calibrated probabilities; where the artifact has a mixture, weighted sums that mean something within
    one list only. `score_kind` becomes `reranker`; what the first stage said stays in `first_score` and
    `first_score_kind`.
    Equal scores keep their order; a passage without a word comes last, with no score.
    """

    top_n: int | None = Field(default=None, ge=1)
    """How many passages to keep; None: all."""

    _model: Any = PrivateAttr()
    _mixture: dict[str, float] | None = PrivateAttr(default=None)

    def __init__(self, model: PairClassifier | LateInteraction, *, top_n: int | None = None) -> None:
        """Wrap a loaded model of one label."""
        fields: dict[str, Any] = {"top_n": top_n}
        super().__init__(**fields)
        if len(model.labels) != 1:
            folder = str(model.artifact.folder)
            raise ArtifactError(f"{folder!r} has {len(model.labels)} labels; a reranker has one")
        self._model = model
        self._mixture = _weights(self._artifact.manifest.settings, str(self._artifact.folder))

    @classmethod
    def class_name(cls) -> str:
        """As LlamaIndex serialises it."""
        return "TrainedReranker"

    @property
    def name(self) -> str:
        """The artifact's name, with its role."""
        manifest = self._artifact.manifest
        return f"{manifest.role}:{manifest.name}"

    @property
    def fingerprint(self) -> str:
        """Changes when its rankings do."""
        return f"{self._artifact.fingerprint} mixture {self._mixture} top {self.top_n}"

    @property
    def _artifact(self) -> Artifact:
        found: Artifact = self._model.artifact
        return found

    def score(self, question: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """Scores of relevance before calibration and mixture, one a passage, all of them in one call."""
        result: NDArray[np.float32]
        if isinstance(self._model, LateInteraction):
            result = self._model.score(question, passages)
        else:
            result = self._model.logits([(question, passage) for passage in passages])[:, 0]
        return result

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        if query_bundle is None:
            raise UsageError("a reranker needs the question", hint="give query_str or query_bundle")
        texts = [passage_text(item.node.get_content(), passage_context(item.node.metadata)) for item in nodes]
        readable = [index for index, text in enumerate(texts) if text.strip()]
        blank = [index for index, text in enumerate(texts) if not text.strip()]
        scores: dict[int, float] = {}
        ranked: NDArray[Any]
        shown: NDArray[Any]
        if readable:
            logits = self.score(query_bundle.query_str, [texts[index] for index in readable])
            if self._mixture:
                first = [nodes[index].score for index in readable]
                ranked = shown = mixed_scores(logits, first, **self._mixture)
            else:
                # Ordered by logits: probabilities near 1 are equal in float32 where logits are not.
                fitted = self._artifact.manifest.calibration
                ranked, shown = logits, probabilities_of(logits[:, None], fitted)[:, 0]
            order = sorted(range(len(readable)), key=lambda at: -float(ranked[at]))
            readable, scores = [readable[at] for at in order], {readable[at]: float(shown[at]) for at in order}
        return [_scored(nodes[index], scores.get(index)) for index in [*readable, *blank][: self.top_n]]


def load_reranker(
    spec: str,
    *,
    top_n: int | None = None,
    device: str | None = None,
    dtype: Dtype = "auto",
    progress: Progress | None = None,
) -> TrainedReranker:
    """The reranker that `spec` names, `reranker:bundled` or `reranker:PATH`. Errors as in `open_artifact`.

    >>> reranker = load_reranker("reranker:bundled", top_n=5)  # doctest: +SKIP
    >>> best = reranker.postprocess_nodes(nodes, query_str="Who is the ombudsperson?")  # doctest: +SKIP
    """
    if top_n is not None and top_n < 1:
        raise UsageError(f"top_n is {top_n}", hint="use 1 or more")
    artifact = open_artifact(spec, "reranker")
    model: PairClassifier | LateInteraction
    if artifact.manifest.settings.get("architecture") == LATE_INTERACTION:
        model = LateInteraction.of(artifact, device=device, dtype=dtype, progress=progress)
    else:
        model = load_pair_classifier(spec, "reranker", device=device, dtype=dtype, progress=progress)
    return TrainedReranker(model, top_n=top_n)


def mixed_scores(
    model: Sequence[float] | NDArray[Any],
    first: Sequence[float | None] | NDArray[Any],
    *,
    weight_model: float,
    weight_first: float,
) -> NDArray[np.float64]:
    """Weighted sum of two score lists, each made to mean 0 and deviation 1 within the list (all 0 where it is flat).

    A passage without a first score gets the lowest one of the list.

        >>> mixed_scores([2.0, 0.0], [0.1, None], weight_model=1.0, weight_first=0.5).tolist()
        [1.0, -1.0]
    """
    known = [value for value in first if value is not None]
    lowest = min(known, default=0.0)
    filled = [lowest if value is None else value for value in first]
    return weight_model * _standard(model) + weight_first * _standard(filled)


def _standard(values: Sequence[float] | NDArray[Any]) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    spread = numbers.std() if len(numbers) else 0.0
    return (numbers - numbers.mean()) / spread if spread > 1e-12 else np.zeros_like(numbers)


def _weights(settings: Mapping[str, Any], folder: str) -> dict[str, float] | None:
    found = settings.get("mixture")
    if found is None:
        return None
    names = ("weight_model", "weight_first")
    if not isinstance(found, Mapping) or not all(isinstance(found.get(name), (int, float)) for name in names):
        raise ArtifactError(f"{folder!r} has a damaged mixture: {found!r}", hint=f"it needs {' and '.join(names)}")
    return {name: float(found[name]) for name in names}


def _scored(found: NodeWithScore, score: float | None) -> NodeWithScore:
    """A copy with the new score: the first stage's nodes are the caller's."""
    node: Any = found.node.model_copy()
    before = node.metadata
    node.metadata = {
        **before,
        "score_kind": SCORE_KIND,
        "first_score": found.score,
        "first_score_kind": before.get("score_kind", "unknown"),
    }
    if isinstance(node, TextNode):
        hidden = ("score_kind", *_FIRST)
        for kind in ("excluded_embed_metadata_keys", "excluded_llm_metadata_keys"):
            setattr(node, kind, list(dict.fromkeys([*getattr(node, kind), *hidden])))
    return NodeWithScore(node=node, score=score)
