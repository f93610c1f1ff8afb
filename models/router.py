"""Routers: which class a question is of, so that a graph can choose the strategy or the source.

Two kinds of artifact are one class here: a linear layer on the vectors of the embedder (it costs nothing where the
question is embedded for retrieval anyway), and a classifier on the trunk. Both may abstain: a question that is like
none of the classes is out of scope. Idea: Jeong et al., 2024, "Adaptive-RAG", https://arxiv.org/abs/2403.14403.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArtifactError
from .artifacts import Artifact, open_artifact
from .pair_classifier import calibrated, load_pair_classifier
from .weights import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .protocols import Embedder
    from .trunk import Dtype

__all__ = ("HEAD", "IN_SCOPE", "LinearHead", "Route", "Router", "load_router", "query_vectors", "read_head")

HEAD = "head.safetensors"
"""File of a linear router: `weight` (labels, dimension) and `bias` (labels)."""
IN_SCOPE = "in_scope"
"""Name of the threshold under which the best probability means: none of the classes."""


@dataclass(frozen=True, slots=True)
class Route:
    """One decision."""

    label: str
    """The most probable class, also where it abstained."""
    probabilities: dict[str, float] = field(repr=False)
    abstained: bool = False
    """None of the classes is probable enough: the text is out of scope."""


@dataclass(frozen=True, slots=True)
class LinearHead:
    """Logits are `vectors @ weight.T + bias`."""

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]

    def logits(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape `(len(vectors), labels)`."""
        return np.asarray(vectors @ self.weight.T + self.bias, dtype=np.float32)


class Router:
    """Classes of texts with calibrated probabilities. Thread-safe.

    >>> router = load_router("router:bundled")  # doctest: +SKIP
    >>> router.route(["hello", "Who wrote Emma?"])  # doctest: +SKIP
    [Route(label='no_retrieval', abstained=False), Route(label='single_hop', abstained=False)]
    """

    def __init__(self, artifact: Artifact, logits: Callable[[Sequence[str]], NDArray[np.float32]]) -> None:
        """`logits` gives one row for each text, one column for each label of the artifact."""
        self.artifact = artifact
        self.labels = artifact.manifest.labels
        self.threshold = artifact.manifest.thresholds.get(IN_SCOPE, 0.0)
        self._logits = logits

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Shape `(len(texts), len(labels))`; every row sums to 1."""
        if not texts:
            return np.zeros((0, len(self.labels)), dtype=np.float32)
        return calibrated(self._logits(texts), self.artifact)

    def route(self, texts: Sequence[str]) -> list[Route]:
        """One `Route` for each text, in their order."""
        routes = []
        for row in self.probabilities(texts):
            best = int(row.argmax())
            named: Mapping[str, float] = dict(zip(self.labels, row.tolist(), strict=True))
            routes.append(Route(self.labels[best], dict(named), bool(row[best] < self.threshold)))
        return routes


def load_router(
    spec: str,
    *,
    device: str | None = None,
    dtype: Dtype = "auto",
    progress: Progress | None = None,
    embedder: Embedder | None = None,
) -> Router:
    """The router that `spec` names (`router:bundled`, `router:PATH`).

    Args:
        spec: names the artifact.
        device: torch's; by default CUDA where there is one.
        dtype: `auto`, `float32` or `bfloat16`.
        progress: told about the weights of a bundled base that are fetched.
        embedder: of a linear router: a loaded one of the same base, so that a question is embedded only once.

    Errors as in `open_artifact`; `ArtifactError` too where `embedder` is of another base.
    """
    artifact = open_artifact(spec, "router")
    if artifact.manifest.method != "linear":
        classifier = load_pair_classifier(spec, "router", device=device, dtype=dtype, progress=progress)
        return Router(artifact, lambda texts: classifier.logits([(text, "") for text in texts]))

    head = read_head(artifact.folder / HEAD)
    artifact.base_path(progress)
    from .embedders import embedder_fingerprint, load_embedder

    base = artifact.manifest.base.spec
    found: Any = load_embedder(base, device=device, dtype=dtype) if embedder is None else embedder
    if found.fingerprint != embedder_fingerprint(base):
        raise ArtifactError(
            f"the router in {str(artifact.folder)!r} was trained on vectors of {base}, not of {found.fingerprint}",
            hint="leave embedder out, or give the one of its base",
        )
    if head.weight.shape != (len(artifact.manifest.labels), found.dimension):
        raise ArtifactError(
            f"the head of {str(artifact.folder)!r} has the shape {head.weight.shape}, but there are "
            f"{len(artifact.manifest.labels)} labels and vectors of {found.dimension} numbers",
            hint=f"it needs the embedder {artifact.manifest.base.spec}",
        )
    return Router(artifact, lambda texts: head.logits(query_vectors(found, texts)))


def read_head(path: Path) -> LinearHead:
    """A linear head from its file. Raises `ArtifactError` for a damaged one."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        weights = load_file(str(path))
        return LinearHead(weights["weight"].astype(np.float32), weights["bias"].astype(np.float32))
    except (OSError, KeyError, SafetensorError) as error:
        raise ArtifactError(f"{str(path)!r} is no linear head: {type(error).__name__}: {error}") from error


def query_vectors(embedder: Embedder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors of questions, shape `(len(texts), dimension)`.

    One by one: the embedder remembers the vector of a question, and the retriever asks for the same one.
    """
    return np.stack([embedder.embed_query(text) for text in texts])
