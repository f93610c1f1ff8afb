"""Several retrievers, one ranking."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.documents import Document
from pydantic import Field

from ...errors import UsageError
from ...graphs.common.effects import Doing, Together
from ...types import Step
from .composing import Composition, fuse, search, told
from .llama_index import RetrieverLike

__all__ = ("EnsembleRetriever",)

_logger = logging.getLogger(__name__)


class EnsembleRetriever(Composition):
    """Asks several retrievers at once and fuses their rankings by weighted reciprocal rank.

    Documents are the same where their ids are, whatever their text: ids have to be unique over all members. Each member
    is read as deep as its own `k` goes. Scores are of the kind `reciprocal_rank`.

        >>> ensemble = EnsembleRetriever(retrievers=[kb.retriever(), web], weights=[1, 0.5], k=5)  # doctest: +SKIP
    """

    retrievers: Sequence[RetrieverLike] = Field(min_length=1)
    """LangChain retrievers, LlamaIndex retrievers, or Runnables from a query to documents."""
    weights: Sequence[float] | None = None
    """How much each one counts; None: all the same. One of 0 is not asked."""
    on_failure: Literal["skip", "raise"] = "skip"
    """`skip`: a member that fails is left out, with a warning in the log; the search fails where all do. `raise`: it
    fails where one does. A `UsageError` is always raised: it is the caller's to mend.
    """

    def model_post_init(self, context: Any) -> None:
        """Refuses weights that are none."""
        weights = self._weights()
        if len(weights) != len(self.retrievers):
            raise UsageError(f"{len(weights)} weights for {len(self.retrievers)} retrievers", hint="give one for each")
        if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
            raise UsageError(f"the weights are {list(weights)}", hint="use numbers of 0 or more, not all of them 0")

    def compose(self, query: str, step: Step) -> Doing[list[Document]]:
        """All members at once, then the fusion."""
        asked = [pair for pair in zip(self.retrievers, self._weights(), strict=True) if pair[1] > 0]
        found = yield Together([search(retriever, query) for retriever, _ in asked])
        failures = [each for each in found if isinstance(each, Exception)]
        for failure in failures:
            if self.on_failure == "raise" or isinstance(failure, UsageError) or len(failures) == len(asked):
                raise failure
            _logger.warning("a retriever of an ensemble failed and is left out: %s", told(failure))
        rankings = [
            (documents, weight)
            for documents, (_, weight) in zip(found, asked, strict=True)
            if not isinstance(documents, Exception)
        ]
        fused = fuse([documents for documents, _ in rankings], [weight for _, weight in rankings])
        step["decision"] = f"{len(fused)} documents"
        step["reason"] = f"by reciprocal rank in {len(rankings)} rankings"
        if failures:
            step["reason"] += f"; {len(failures)} of {len(asked)} retrievers failed: {told(failures[0])}"
        return fused

    def _weights(self) -> Sequence[float]:
        return [1.0] * len(self.retrievers) if self.weights is None else self.weights
