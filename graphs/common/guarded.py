"""A node's body under a guard: what it searches for is screened, and what its models write streams nowhere unseen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.documents import Document

from ...guarding import Guard
from ...types import Step
from .effects import Body, Doing, Effect, Search, Together
from .screening import Quarantined, check_context, screened, tell_blocked

__all__ = ("guarded", "quieted")

WEB_RANK = "web_rank"
"""Kind of the scores of web searches: their passages say themselves where they are from."""


def guarded(body: Body, guard: Guard) -> Body:
    """The same body, where every passage that a search finds passes the stage `retrieval` before the body sees it.

    What is blocked is as if it had not been found; the step tells its id, the rail and the reason. The context of a
    check says whose the passages are: `trust` is `own` or `web`.
    """

    def run(state: Any, step: Step) -> Doing[dict[str, Any]]:
        sieve = _Sieve(guard, state["asked"])
        update = yield from _driven(body(state, step), sieve.sifted)
        sieve.tell(step)
        return update

    return run


def quieted(body: Body) -> Body:
    """The same body, whose models' tokens are shown by no stream: for nodes that screen what they find themselves."""

    def run(state: Any, step: Step) -> Doing[dict[str, Any]]:
        return (yield from _driven(body(state, step), _as_given))

    return run


def _driven(doing: Doing[dict[str, Any]], sift: Callable[[Effect, Any], Doing[Any]]) -> Doing[dict[str, Any]]:
    """Passes the effects of a body on, and back what they give, sifted."""
    try:
        effect = next(doing)
        while True:
            try:
                given = yield _quiet(effect)
            except Exception as error:
                effect = doing.throw(error)
            else:
                effect = doing.send((yield from sift(effect, given)))
    except StopIteration as end:
        update: dict[str, Any] = end.value
        return update


def _as_given(effect: Effect, given: Any) -> Doing[Any]:
    yield from ()
    return given


class _Sieve:
    """Screens what the searches of one node find."""

    def __init__(self, guard: Guard, question: str) -> None:
        self.guard, self.question = guard, question
        self.blocked: dict[str, Quarantined] = {}
        self.changed: set[str] = set()

    def sifted(self, effect: Effect, given: Any) -> Doing[Any]:
        """What the effect gave, of searches only what may be used."""
        if isinstance(effect, Search):
            return (yield from self._screened([(effect, given)]))[0]
        if not isinstance(effect, Together):
            return given
        pairs = zip(effect.effects, given, strict=True)
        searches = {
            at: (each, found)
            for at, (each, found) in enumerate(pairs)
            if isinstance(each, Search) and not isinstance(found, Exception)
        }
        kept = dict(zip(searches, (yield from self._screened(list(searches.values()))), strict=True))
        return [kept.get(at, each) for at, each in enumerate(given)]

    def tell(self, step: Step) -> None:
        """Which passages are in quarantine."""
        tell_blocked(step, list(self.blocked.values()), "passages", len(self.changed))

    def _screened(self, searches: Sequence[tuple[Search, list[Document]]]) -> Doing[list[list[Document]]]:
        """Of every search its passages; one that several have found is checked once, as the least trusted."""
        distinct: dict[tuple[Any, ...], Document] = {}
        webs: set[tuple[Any, ...]] = set()
        for search, documents in searches:
            for document in documents:
                distinct.setdefault(_key(document), document)
                if search.trust == "web" or document.metadata.get("score_kind") == WEB_RANK:
                    webs.add(_key(document))
        passed: dict[tuple[Any, ...], Document | None] = {}
        for trust in ("own", "web"):
            keys = [key for key in distinct if (key in webs) == (trust == "web")]
            context = check_context(self.question, trust=trust)
            after, blocked = yield from screened(self.guard, "retrieval", [distinct[key] for key in keys], context)
            self.blocked |= {identity: (identity, finding) for identity, finding in blocked}
            passed |= dict(zip(keys, after, strict=True))
        self.changed |= {
            str(document.id) for key, document in passed.items() if document and document is not distinct[key]
        }
        return [
            [_as_passed(document, kept) for document in documents if (kept := passed[_key(document)])]
            for _, documents in searches
        ]


def _key(document: Document) -> tuple[Any, ...]:
    """What a guard looks at."""
    return document.id, document.page_content, *(str(document.metadata.get(key)) for key in ("headings", "title"))


def _as_passed(document: Document, passed: Document) -> Document:
    """The passage with what may be used of it, and the score that its own search gave it."""
    metadata = {key: value for key, value in document.metadata.items() if key in passed.metadata}
    metadata |= {key: passed.metadata[key] for key in ("headings", "title") if key in passed.metadata}
    return Document(passed.page_content, id=document.id, metadata=metadata)


def _quiet(effect: Any) -> Effect:
    """The same effect, whose field `quiet` is set where it has one."""
    if isinstance(effect, Together):
        return Together([_quiet(each) for each in effect.effects])
    quiet: Effect = replace(effect, quiet=True) if hasattr(effect, "quiet") else effect
    return quiet
