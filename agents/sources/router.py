"""What a router is, and how ours are run: alone, or within the budget of a graph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from ...errors import ArtifactError, UsageError, WeightsError
from ...graphs.common.effects import Doing, node
from ...graphs.common.purse import Purse
from ...types import Budget, Step
from .route import SourceRoute, valid_route

__all__ = ("TO_MEND", "BudgetedRouter", "SourceRouter", "routed")

TO_MEND = (ArtifactError, UsageError, WeightsError)
"""A part that cannot be loaded is the user's to mend: it is raised, and is no question's fate."""


@runtime_checkable
class SourceRouter(Protocol):
    """Chooses the sources of a question. Any object with these three is one."""

    @property
    def labels(self) -> Collection[str]:
        """The closed set: the names that `route` may give. `none` and `unknown` belong to every set."""

    def route(self, question: str) -> SourceRoute:
        """The sources of the question. What it raises counts as unknown."""

    async def aroute(self, question: str) -> SourceRoute:
        """The same, without blocking the event loop."""


class BudgetedRouter(ABC):
    """A router whose decision is one body for both worlds, and that spends no more than it is given."""

    @property
    @abstractmethod
    def labels(self) -> tuple[str, ...]:
        """The names that it may give."""

    @abstractmethod
    def routing(self, question: str, purse: Purse) -> Doing[SourceRoute]:
        """The decision: `route = yield from router.routing(...)`. What a model takes is charged to the purse."""

    def route(self, question: str) -> SourceRoute:
        """The sources of the question."""
        route: SourceRoute = self._alone().invoke(question)["route"]
        return route

    async def aroute(self, question: str) -> SourceRoute:
        """The sources of the question, awaited."""
        route: SourceRoute = (await self._alone().ainvoke(question))["route"]
        return route

    def _alone(self) -> Any:
        def body(question: str, step: Step) -> Doing[dict[str, Any]]:
            route = yield from self.routing(question, Purse(Budget(), {}))
            return {"route": valid_route(route, self.labels)}

        return node(type(self).__name__, body)


@dataclass(frozen=True, slots=True)
class _Route:
    """The effect of a router of the user's own."""

    router: SourceRouter
    question: str

    def run(self) -> Any:
        return self.router.route(self.question)

    async def arun(self) -> Any:
        return await self.router.aroute(self.question)


def routed(router: SourceRouter | BudgetedRouter, question: str, purse: Purse) -> Doing[SourceRoute]:
    """The router's decision, valid by its own closed set. A router that fails knows nothing.

    Raises what is in `TO_MEND`.
    """
    try:
        if isinstance(router, BudgetedRouter):
            given: Any = yield from router.routing(question, purse)
        else:
            given = yield _Route(router, question)
        return valid_route(given, router.labels)
    except TO_MEND:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        return SourceRoute((), by=type(router).__name__, failed=f"the router failed: {type(error).__name__}: {said}")
