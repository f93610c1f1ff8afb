"""The cheapest router: cosine of the question to what the sources say of themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...graphs.common.effects import Compute, Doing
from ...graphs.common.lazy import Lazy
from ...graphs.common.purse import Purse
from ...models import Embedder, load_embedder, parse_spec
from ...models.router import query_vectors
from .route import NONE, SourceRoute, choose
from .router import BudgetedRouter
from .source import Source, checked_sources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("DEFAULT_EMBEDDER", "EmbeddingRouter", "lazy_embedder")

DEFAULT_EMBEDDER = "bundled:minilm"


def lazy_embedder(given: Embedder | str) -> Lazy[Embedder]:
    """The embedder, or the one that a spec names, loaded with the first question. An unknown spec is refused now."""
    if not isinstance(given, str):
        return Lazy.of(given)
    parse_spec(given, role="embedder")
    return Lazy[Embedder](lambda: load_embedder(given))


class EmbeddingRouter(BudgetedRouter):
    """Chooses by the greatest cosine between the question and a source's description or one of its examples.

    Idea: nearest neighbours of embedded utterances, as in "semantic router" libraries. Nothing is trained, and it costs
    nothing where the question is embedded for retrieval anyway. Examples help more than a longer description does.

    The defaults of both thresholds are starting-points for all-MiniLM-L6-v2: look at `confusion` on questions of your
    own, or use `LinearRouter`, which fits its threshold.

    Args:
        sources: what can be chosen.
        embedder: an `Embedder` (that of a knowledge base, so that a question is embedded once) or the spec of one,
            loaded with the first question.
        threshold: below this best cosine the question is unknown.
        margin: sources whose cosine is within this of the best one's are chosen as well; 0 for one source only.
        none_examples: things said that need no source ("Thanks!"); without any, `none` is never chosen.

    Example:
        >>> router = EmbeddingRouter([handbook, sales])  # doctest: +SKIP
        >>> router.route("How many days of leave do I get?")  # doctest: +SKIP
        SourceRoute(names=('handbook',), scores={'handbook': 0.61, 'sales': 0.08}, by='EmbeddingRouter', ...)
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        embedder: Embedder | str = DEFAULT_EMBEDDER,
        threshold: float = 0.25,
        margin: float = 0.05,
        none_examples: Sequence[str] = (),
    ) -> None:
        self.sources = checked_sources(sources)
        self.threshold, self.margin = threshold, margin
        self.none_examples = tuple(none_examples)
        self._costs = {name: source.cost for name, source in self.sources.items()}
        self._embedder = lazy_embedder(embedder)
        self._known = Lazy(self._embedded)

    @property
    def labels(self) -> tuple[str, ...]:
        """The sources, and `none` where it has examples."""
        return (*self.sources, *((NONE,) if self.none_examples else ()))

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Compares; nothing is charged."""
        known = yield Compute(self._known)
        scores = yield Compute(self._cosines, question, known)
        by = type(self).__name__
        return choose(scores, threshold=self.threshold, margin=self.margin, costs=self._costs, by=by)

    def _cosines(self, question: str, known: dict[str, NDArray[np.float32]]) -> dict[str, float]:
        vector = self._embedder().embed_query(question)
        return {name: float((vectors @ vector).max()) for name, vectors in known.items()}

    def _embedded(self) -> dict[str, NDArray[np.float32]]:
        """Vectors by label: descriptions as documents, examples as the queries they are."""
        import numpy as np

        embedder = self._embedder()
        known = {}
        for name, source in self.sources.items():
            vectors = embedder.embed([source.description])
            known[name] = np.vstack([vectors, *map(embedder.embed_query, source.examples)])
        if self.none_examples:
            known[NONE] = query_vectors(embedder, self.none_examples)
        return known
