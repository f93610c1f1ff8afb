"""A router that `ragloom finetune router` trained, as a router of sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...errors import UsageError
from ...graphs.adaptive.routing import Routes
from ...graphs.common.effects import Compute, Doing
from ...graphs.common.lazy import Lazy
from ...graphs.common.purse import Purse
from ...models import load_router, open_artifact
from .route import SourceRoute, choose
from .router import BudgetedRouter

__all__ = ("TrainedRouter",)


class TrainedRouter(BudgetedRouter):
    """Chooses by the calibrated probabilities of an artifact; unknown where it abstains.

    Args:
        router: the spec of an artifact (`router:PATH`), loaded with the first question, or a loaded `Router`.
        labels: what its labels mean, where they are not the names of sources themselves: a source, `none` or
            `unknown`. Probabilities of labels that mean the same add up.
        margin: sources whose probability is within this of the best one's are chosen as well; 0 for one only.
        options: of `load_router`: `device`, `dtype`, `embedder`.

    Raises `UsageError` and `ArtifactError` where there is no such artifact, `UsageError` for a label that it does not
    have.

    Example:
        >>> router = TrainedRouter("router:out/router", labels={"people": "handbook"})  # doctest: +SKIP
    """

    def __init__(
        self,
        router: str | Routes,
        *,
        labels: Mapping[str, str] | None = None,
        margin: float = 0.0,
        **options: Any,
    ) -> None:
        if isinstance(router, str):
            # Reads the manifest alone: a wrong path or label is refused now, the weights wait for a question.
            own = tuple(open_artifact(router, "router").manifest.labels)
            self._router: Lazy[Routes] = Lazy(lambda: load_router(router, **options))
        else:
            own, self._router = tuple(router.labels), Lazy.of(router)
        meant = dict(labels or {})
        if wrong := sorted(set(meant) - set(own)):
            raise UsageError(f"the router has no label {wrong[0]!r}", hint=f"its labels are {', '.join(own)}")
        self._meaning = {label: meant.get(label, label) for label in own}
        self.margin = margin

    @property
    def labels(self) -> tuple[str, ...]:
        """What its labels mean."""
        return tuple(dict.fromkeys(self._meaning.values()))

    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """Classifies; nothing is charged."""
        router = yield Compute(self._router)
        route = (yield Compute(router.route, [question]))[0]
        scores = dict.fromkeys(self.labels, 0.0)
        for label, probability in route.probabilities.items():
            scores[self._meaning[label]] += float(probability)
        by = type(self).__name__
        if route.abstained:
            return SourceRoute((), scores, by, f"it abstains; {route.label} has {route.probabilities[route.label]:.2f}")
        return choose(scores, threshold=0.0, margin=self.margin, by=by)
