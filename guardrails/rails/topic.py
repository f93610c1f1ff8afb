"""Topic scope: questions that are about nothing that the application is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ModelError, UsageError
from ...guarding import Finding, Stage

if TYPE_CHECKING:
    import numpy as np
    from llama_index.core.base.embeddings.base import BaseEmbedding
    from numpy.typing import NDArray

__all__ = ("TopicRail", "fit_threshold")


class TopicRail:
    """Blocks questions that are near to none of the topics, by the cosine of embeddings.

    The similarity of a question is its greatest cosine to a topic; with `off_topic` a question is out as well where it
    is nearer to one of those. Twenty questions that were really asked say more than any description. Every message is
    judged alone: "And in Berlin?" is about nothing by itself, so put whole questions before this rail, and greetings
    among the topics.

    Args:
        embedder: any LlamaIndex embedder; that of the knowledge base is loaded already.
        topics: questions that belong (best), or descriptions of what does.
        threshold: least similarity. None: fitted to `topics` and `off_topic` by `fit_threshold`, where the similarity
            of a topic is that to the others; needs 2 topics at least.
        off_topic: questions that do not belong.

    The score is 1 less the similarity. Everything is embedded as a query is, the topics with the first question.
    Raises `UsageError` where there is no threshold and nothing to fit one to.

    Example:
        >>> rail = TopicRail(embedder, ["How much leave do I get?"], threshold=0.3)  # doctest: +SKIP
        >>> rail.check("input", ["Who won the world cup?"], {})[0].verdict  # doctest: +SKIP
        'block'
    """

    name = "topic"
    stages: tuple[Stage, ...] = ("input",)

    def __init__(
        self,
        embedder: BaseEmbedding,
        topics: Sequence[str],
        *,
        threshold: float | None = None,
        off_topic: Sequence[str] = (),
    ) -> None:
        if isinstance(topics, str) or isinstance(off_topic, str) or not topics:
            raise UsageError("the topics are no list of texts", hint="give one text or more")
        if threshold is None and (len(topics) < 2 or not off_topic):
            raise UsageError(
                "nothing to fit the threshold of the topic rail to", hint="give it, or 2 topics and off_topic texts"
            )
        if threshold is not None and not -1 <= threshold <= 1:
            raise UsageError(f"the threshold of the topic rail is {threshold!r}", hint="a cosine is from -1 to 1")
        self._embedder, self._topics, self._off_topic = embedder, tuple(topics), tuple(off_topic)
        self._threshold = threshold
        self._known: tuple[NDArray[np.float64], NDArray[np.float64], float] | None = None

    @property
    def threshold(self) -> float:
        """The least similarity; fitted on first use where none was given."""
        return self._learned()[2]

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any]) -> list[Finding]:
        """Each text on its own."""
        on, off, threshold = self._learned()
        found = []
        for text, vector in zip(texts, self._vectors(texts), strict=True):
            near = float((on @ vector).max())
            away = float((off @ vector).max()) if len(off) else -1.0
            score = round(1 - min(max(near, 0.0), 1.0), 4)
            if near >= threshold and near >= away:
                found.append(Finding("pass", text, score=score))
            else:
                found.append(Finding("block", text, reason="is about none of the topics", score=score))
        return found

    def _learned(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        # Two threads may do this at once: they learn the same.
        if self._known is None:
            import numpy as np

            on, off = self._vectors(self._topics), self._vectors(self._off_topic)
            threshold = self._threshold
            if threshold is None:
                among = on @ on.T
                np.fill_diagonal(among, -1.0)
                threshold = fit_threshold(among.max(axis=1).tolist(), (off @ on.T).max(axis=1).tolist())
            self._known = on, off, threshold
        return self._known

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float64]:
        import numpy as np

        given = np.array([self._embedder.get_query_embedding(text) for text in texts], dtype=np.float64)
        if not len(given):
            return given.reshape(0, 0)
        if given.ndim != 2 or not np.isfinite(given).all():
            raise ModelError("the embedder of the topic rail gave vectors that are none")
        vectors: NDArray[np.float64] = given / np.maximum(np.linalg.norm(given, axis=1, keepdims=True), 1e-12)
        return vectors


def fit_threshold(on_topic: Sequence[float], off_topic: Sequence[float]) -> float:
    """The similarity that tells the two apart best: the greatest mean of the shares that are on their right side (the
    balanced accuracy), in the middle of the gap where it is reached; of several such gaps the widest.

    >>> fit_threshold([0.8, 0.6], [0.2, 0.1])
    0.4
    """
    if not on_topic or not off_topic:
        raise UsageError("similarities of one kind only", hint="give some on and some off the topic")
    values = sorted({*on_topic, *off_topic})
    gaps = [(values[0], values[0]), *zip(values, values[1:], strict=False)]

    def worth(gap: tuple[float, float]) -> tuple[float, float]:
        middle = (gap[0] + gap[1]) / 2
        kept = sum(value >= middle for value in on_topic) / len(on_topic)
        return kept + sum(value < middle for value in off_topic) / len(off_topic), gap[1] - gap[0]

    low, high = max(gaps, key=worth)
    return (low + high) / 2
