"""A cheap router first, a dear one only where the cheap one is not sure, a fixed source last."""

from __future__ import annotations

from dataclasses import replace

from ...errors import UsageError
from ...graphs.common.effects import Doing
from ...graphs.common.purse import Purse
from .route import NONE, UNKNOWN, SourceRoute
from .router import BudgetedRouter, SourceRouter, routed

__all__ = ("CascadeRouter",)


class CascadeRouter(BudgetedRouter):
    """Asks `first`; where it knows nothing, or is less sure than `sure_above`, asks `then`; at the end `fallback`.

    What `then` decides stands, also where it decides for unknown. Where it fails (a model that is gone, a reply that
    is none), the choice that `first` was not sure of stands.

    Args:
        first: costs nothing or little: `EmbeddingRouter`, `LinearRouter`, `TrainedRouter`.
        then: usually an `LLMRouter`.
        sure_above: a choice of `first` whose score is below this is asked about again; None: no choice is, only what
            it does not know. The scale is that of `first`: cosines, or probabilities.
        fallback: the source that is chosen where nobody knows one; None: unknown.

    Raises `UsageError` where the fallback is no source of either router.

    Example:
        >>> router = CascadeRouter(EmbeddingRouter(sources), LLMRouter(sources, llm))  # doctest: +SKIP
    """

    def __init__(
        self,
        first: SourceRouter | BudgetedRouter,
        then: SourceRouter | BudgetedRouter,
        *,
        sure_above: float | None = None,
        fallback: str | None = None,
    ) -> None:
        self.first, self.then = first, then
        self.sure_above, self.fallback = sure_above, fallback
        known = [label for label in self.labels if label not in (NONE, UNKNOWN)]
        if fallback is not None and fallback not in known:
            raise UsageError(f"the fallback {fallback!r} is no source", hint=f"sources are {', '.join(known)}")

    @property
    def labels(self) -> tuple[str, ...]:
        """What either router may give."""
        return tuple(dict.fromkeys([*self.first.labels, *self.then.labels]))

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Asks one after the other, until one is sure."""
        cheap = yield from routed(self.first, question, purse)
        if (doubt := self._doubt(cheap)) is None:
            return cheap
        dear = yield from routed(self.then, question, purse)
        if dear.failed and not cheap.unknown:
            return replace(cheap, reason=f"{cheap.reason}; {doubt}, and {dear.by}: {dear.failed}")
        why = f"{cheap.by}: {cheap.failed or cheap.reason}; {dear.by}: {dear.failed or dear.reason}"
        if dear.unknown and self.fallback is not None:
            return SourceRoute((self.fallback,), cheap.scores, "fallback", why)
        return replace(dear, reason=why)

    def _doubt(self, route: SourceRoute) -> str | None:
        """Why a route is asked about again; None where it is not."""
        if route.unknown:
            return "it is unknown"
        if self.sure_above is not None and (route.confidence is None or route.confidence < self.sure_above):
            return f"sure from {self.sure_above:.2f} on"
        return None
