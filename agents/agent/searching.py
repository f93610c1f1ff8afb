"""One search: a source is asked, and whatever goes wrong is told to the model in a sentence of ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.documents import Document

from ...graphs.common.effects import Doing, Search
from ...graphs.common.metering import no_usage
from ...graphs.common.purse import READING_SHARE, Purse
from ...types import Budget, Step, Usage
from ..sources import Source
from ..sources.answer import SOURCE_NAME, SourceAnswer, answer_of, answer_of_strategy, failure, with_provenance
from ..sources.asking import AskGraph, AskTool, GraphReply
from .access import AccessScope, AnySource, allowed_passages, opened, visible
from .found import Searched, same_search

__all__ = ("Looked", "cheapest", "look_up", "share")

MOST_QUERY = 1000
"""Characters of a query: what is longer is no query."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a search came to, with its cost and the steps of a source that is a strategy."""

    searched: Searched
    usage: Usage = field(default_factory=no_usage)
    steps: Sequence[Step] = ()


def look_up(
    sources: Mapping[str, AnySource],
    scope: AccessScope | None,
    name: Any,
    query: Any,
    so_far: Sequence[Searched],
    left: Budget,
    step: Step,
) -> Doing[Looked]:
    """Asks the source `name` for `query`, both as a model wrote them: `looked = yield from look_up(...)`.

    A source that does not exist for who asks, a query that is none, a search that was made before, a source that fails
    and one that finds nothing are notes for the model, never errors. What a failing source said goes to the step alone:
    it may be anybody's text. `left` is what a source that asks a model itself may take.
    """
    offered = visible(sources, scope)
    wrong = _refusal(offered, name, query, so_far)
    if wrong:
        step["decision"], step["reason"] = "not asked", wrong
        return Looked(_noted(str(name)[:64], str(query)[:MOST_QUERY], wrong))
    query = query.strip()
    step["details"] = {"source": name, "query": query}
    try:
        answer = yield from _asked(opened(offered[name], scope), query, left)
    except Exception as error:
        answer = failure([name], f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")
    if answer["failed"]:
        step["decision"], step["reason"] = f"{name} failed", answer["failed"]
        note = f"{name} could not be searched. Search elsewhere, or answer from what was found."
        return Looked(_noted(name, query, note), answer["usage"], answer["steps"])
    return Looked(_told(answer, name, query, so_far, scope, step), answer["usage"], answer["steps"])


def share(purse: Purse, place: int = 0, among: int = 1) -> Budget:
    """What a source that asks a model itself may take: all that the reading does not need.

    Of `among` sources that are asked at once, the one at `place` has its part. Where there are fewer calls than sources
    the first ones have one each, and the others none.

    >>> [share(Purse(Budget(llm_calls=4), {}), place, 5).llm_calls for place in range(5)]
    [1, 1, 1, 0, 0]
    """
    calls = purse.calls - 1  # the reading's
    takers = max(1, min(among, calls))
    return Budget(
        llm_calls=calls // takers if place < takers else 0,
        tokens=(purse.tokens - int(purse.budget.tokens * READING_SHARE)) // takers,
        seconds=purse.seconds,
        hops=purse.hops,
    )


def cheapest(sources: Mapping[str, AnySource]) -> str:
    """The source that is asked where nothing else is known."""
    return min(sources, key=lambda name: sources[name].cost, default="")


def _refusal(offered: Mapping[str, AnySource], name: Any, query: Any, so_far: Sequence[Searched]) -> str:
    if not isinstance(name, str) or name not in offered:
        return f"There is no such source. Sources are: {', '.join(offered) or 'none'}."
    if not isinstance(query, str) or not query.strip() or len(query) > MOST_QUERY:
        return "A search needs a query: one short question or a few words."
    if same_search(so_far, name, query):
        return "This was searched before, and what was found stands above. Search for something else, or answer."
    return ""


def _asked(source: Source, query: str, left: Budget) -> Doing[SourceAnswer]:
    answers: Any = source.answers
    names = [source.name]
    if source.kind == "retriever":
        found = yield Search(answers, query)
        return {**failure(names, ""), "documents": with_provenance(found, source.name)}
    if source.kind == "tool":
        return answer_of((yield AskTool(answers, query)), names)
    if left.llm_calls < 1 or left.tokens < 1 or left.seconds <= 0:
        return failure(names, "the budget has nothing left for a source that asks a model itself")
    reply: GraphReply = yield AskGraph(lambda: source.graph(left), query, None)
    return answer_of_strategy(reply.result, names, owner=source.name)


def _told(
    answer: SourceAnswer, name: str, query: str, so_far: Sequence[Searched], scope: AccessScope | None, step: Step
) -> Searched:
    known = {str(document.id): document for each in so_far for document in each["documents"]}
    allowed = [_told_apart(document, known, name) for document in allowed_passages(answer["documents"], scope)]
    new = [document for document in allowed if document.id not in known]
    step["decision"] = f"{name}: {len(new)} passages"
    step["reason"] = f"new among {len(allowed)} found for {query[:80]!r}"
    if foreign := len(answer["documents"]) - len(allowed):
        step["reason"] += f"; {foreign} not for who asks were dropped"
    if new:
        step["scores"] = {str(each.id): round(float(each.metadata["score"] or 0.0), 4) for each in new}
        return Searched(source=name, query=query, documents=new, note="")
    nothing = "Nothing new was found: what this finds stands above already." if allowed else "Nothing was found."
    return _noted(name, query, f"{nothing} Search for something else or elsewhere, or answer.")


def _told_apart(document: Document, known: Mapping[str, Document], name: str) -> Document:
    """The passage by an id of its own, where another source has another text under the same one."""
    other = known.get(str(document.id))
    if other is None or other.metadata.get(SOURCE_NAME) == name or other.page_content == document.page_content:
        return document
    return Document(document.page_content, id=f"{name}:{document.id}", metadata=document.metadata)


def _noted(name: str, query: str, note: str) -> Searched:
    return Searched(source=name, query=query, documents=[], note=note)
