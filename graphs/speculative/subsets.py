"""Subsets of passages: clustered by what they say to the question, one passage of each cluster in every subset.

Wang et al., 2024, https://arxiv.org/abs/2407.08223, section 3.2: much difference inside a subset, little repetition.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("cluster_texts", "dealt", "distinct", "sample_subsets")


def distinct(documents: Sequence[Document]) -> list[int]:
    """Ranks of the passages that say something new: a second copy would make two subsets the same."""
    first: dict[str, int] = {}
    for rank, document in enumerate(documents):
        first.setdefault(" ".join(document.page_content.split()), rank)
    return list(first.values())


def cluster_texts(embedder: Any, question: str, texts: Sequence[str], k: int, seed: int) -> list[list[int]]:
    """Positions of the texts in k clusters, fewer where fewer vectors differ; the first text's cluster comes first.

    Every text is embedded behind the question, so that the vector says what the text is in respect of it. (The paper
    has an encoder that reads the question as an instruction.) Raises what the embedder raises, and `ValueError` for
    vectors that are none.
    """
    import numpy as np
    from sklearn.cluster import KMeans

    vectors = _vectors(embedder, [f"{question}\n{text}" for text in texts])
    k = min(k, len(np.unique(vectors.round(6), axis=0)))  # k-means cannot part what is the same
    if k == len(texts):
        return [[at] for at in range(k)]
    with _openmp().limit(limits=1, user_api="openmp"):  # a handful of points: threads only wait for each other
        labels = KMeans(n_clusters=k, n_init=3, random_state=seed % 2**32).fit_predict(vectors)
    clusters: dict[int, list[int]] = {}
    for at, label in enumerate(labels):
        clusters.setdefault(int(label), []).append(at)
    return list(clusters.values())


@cache
def _openmp() -> Any:
    """Made once, for it looks through all libraries that are loaded."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def dealt(count: int, k: int) -> list[list[int]]:
    """Positions dealt out like cards, for want of vectors.

    >>> dealt(5, 2)
    [[0, 2, 4], [1, 3]]
    """
    return [list(range(start, count, k)) for start in range(min(k, count))]


def sample_subsets(clusters: Sequence[Sequence[int]], most: int, seed: int) -> list[list[int]]:
    """At most `most` different subsets at random, each of one member of every cluster, in ascending order.

    There are as many as the product of the clusters' sizes; where that is less, all of them.

    >>> sorted(sample_subsets([[0, 3], [1, 2]], 9, seed=0))
    [[0, 1], [0, 2], [1, 3], [2, 3]]
    """
    exist = math.prod(map(len, clusters)) if clusters else 0
    dice = random.Random(seed)
    # Floyd's sampling without replacement: as many draws as subsets, however many of them there could be.
    drawn: dict[int, None] = {}
    for last in range(max(0, exist - most), exist):
        number = dice.randrange(last + 1)
        drawn[last if number in drawn else number] = None
    return [_numbered(clusters, number) for number in drawn]


def _numbered(clusters: Sequence[Sequence[int]], number: int) -> list[int]:
    """Every number below the product of the sizes stands for another subset: its digits choose the members."""
    chosen = []
    for cluster in clusters:
        number, digit = divmod(number, len(cluster))
        chosen.append(cluster[digit])
    return sorted(chosen)


def _vectors(embedder: Any, texts: list[str]) -> NDArray[np.float64]:
    import numpy as np

    given = embedder.embed(texts) if hasattr(embedder, "embed") else embedder.get_text_embedding_batch(texts)
    vectors: NDArray[np.float64] = np.asarray(given, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise ValueError(f"the embedder gave no vector for each of {len(texts)} texts")
    return vectors
