"""Tasks by the likeness of a question to examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...graphs.common.effects import Compute, Doing
from ...graphs.common.lazy import Lazy
from ...graphs.common.purse import Purse
from ...models import Embedder
from ...models.router import query_vectors
from ..sources.embedding_router import DEFAULT_EMBEDDER, lazy_embedder
from ..sources.route import SourceRoute, choose
from ..sources.router import BudgetedRouter
from .task import EXAMPLES, TASKS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("ExampleRouter",)


class ExampleRouter(BudgetedRouter):
    """Chooses the task whose nearest example has the greatest cosine to the question.

    An embedder sees first what a question is about, and only then what it wants: put `TaskRules` before it, and give
    examples of your own. Where you have some dozens a task, `LinearRouter.fit` learns a threshold from them.

    Args:
        examples: questions of each task; not every task needs some.
        embedder: an `Embedder` (that of the knowledge base, so that a question is embedded once) or the spec of one,
            loaded with the first question.
        threshold: below this cosine the task is unknown. The default was not fitted to any data: look at `confusion`.

    Raises `UsageError` for a task that there is not, or one without examples.

    Example:
        >>> classifier = CascadeRouter(TaskRules(), ExampleRouter(embedder=kb.embedder))  # doctest: +SKIP
        >>> classifier.route("Can you boil the contract down for me?").label  # doctest: +SKIP
        'summary'
    """

    def __init__(
        self,
        examples: Mapping[str, Sequence[str]] | None = None,
        *,
        embedder: Embedder | str = DEFAULT_EMBEDDER,
        threshold: float = 0.5,
    ) -> None:
        self.examples: dict[str, Sequence[str]] = dict(EXAMPLES if examples is None else examples)
        for task, own in self.examples.items():
            if task not in TASKS:
                raise UsageError(f"there is no task {task!r}", hint=f"tasks are {', '.join(TASKS)}")
            if isinstance(own, str) or not own:
                raise UsageError(f"the task {task!r} has no examples", hint="give a list of questions, or leave it out")
        self.threshold = threshold
        self._embedder = lazy_embedder(embedder)
        self._known = Lazy(self._embedded)

    @property
    def labels(self) -> tuple[str, ...]:
        """The tasks that have examples."""
        return tuple(self.examples)

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Compares; nothing is charged."""
        known = yield Compute(self._known)
        scores = yield Compute(self._cosines, question, known)
        return choose(scores, threshold=self.threshold, margin=0.0, by=type(self).__name__)

    def _cosines(self, question: str, known: Mapping[str, NDArray[np.float32]]) -> dict[str, float]:
        vector = self._embedder().embed_query(question)
        return {task: float((vectors @ vector).max()) for task, vectors in known.items()}

    def _embedded(self) -> dict[str, NDArray[np.float32]]:
        embedder = self._embedder()
        return {task: query_vectors(embedder, own) for task, own in self.examples.items()}
