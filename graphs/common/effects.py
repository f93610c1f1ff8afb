"""One body for two worlds: a node is a generator that yields what takes time, and is run sync or async.

A body calls no model and no retriever itself. It yields an effect and gets back what that gives; the effect's error is
raised where it was yielded:

    def body(state, step):
        found = yield Search(retriever, state["asked"])
        step["decision"] = f"{len(found)} passages"
        return {"documents": found}

So what a strategy decides stands once, `invoke` blocks and `ainvoke` never does.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from langchain_core.documents import Document
from langchain_core.runnables import Runnable, RunnableLambda
from langgraph.errors import GraphBubbleUp
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import QueryBundle

from ...retrieval.documents import to_document, to_node
from ...types import Step
from .state import timed_step

__all__ = ("Body", "Compute", "Doing", "Effect", "Rerank", "Search", "Together", "adrive", "drive", "node")

T = TypeVar("T")
MOST_THREADS = 16


class Effect(Protocol):
    """Something that takes time, done while the caller waits, or awaited."""

    def run(self) -> Any:
        """Do it here."""

    async def arun(self) -> Any:
        """Do it without blocking the event loop."""


Doing = Generator[Effect, Any, T]
"""A part of a body that yields effects and returns a `T`: `value = yield from part(...)`."""
Body = Callable[[Any, Step], Doing[dict[str, Any]]]
"""Of (state, step): fills the step, returns the update of the state."""


def _finished(function: Callable[..., T], *args: Any) -> T:
    """What the function gives. A future cannot carry a `StopIteration`: the task that awaits it would hang."""
    try:
        return function(*args)
    except StopIteration as error:
        raise RuntimeError("a part raised StopIteration") from error


@dataclass(frozen=True, slots=True)
class Search:
    """Passages for a query, best first, each once. `embedding` stands for the query's own vector where the retriever
    takes one.
    """

    retriever: BaseRetriever
    query: str
    embedding: list[float] | None = None
    trust: Literal["own", "web"] = "own"
    """Whose texts these are, for a guard: what anybody may have written is trusted least."""

    def _bundle(self) -> QueryBundle:
        return QueryBundle(self.query, embedding=self.embedding)

    def run(self) -> list[Document]:
        """Blocking."""
        return _once([to_document(item) for item in _finished(self.retriever.retrieve, self._bundle())])

    async def arun(self) -> list[Document]:
        """Awaited. LlamaIndex's own `_aretrieve` would call `_retrieve` on the event loop."""
        if type(self.retriever)._aretrieve is BaseRetriever._aretrieve:
            return await asyncio.to_thread(self.run)
        return _once([to_document(item) for item in await self.retriever.aretrieve(self._bundle())])


@dataclass(frozen=True, slots=True)
class Rerank:
    """The same passages, or fewer, in the reranker's order."""

    reranker: BaseNodePostprocessor
    documents: Sequence[Document]
    query: str

    def run(self) -> list[Document]:
        """Blocking."""
        nodes = [to_node(document) for document in self.documents]
        kept = _finished(self.reranker.postprocess_nodes, nodes, QueryBundle(self.query))
        return [to_document(item) for item in kept]

    async def arun(self) -> list[Document]:
        """Awaited. LlamaIndex's own `_apostprocess_nodes` would hang on a `StopIteration` in its thread."""
        if type(self.reranker)._apostprocess_nodes is BaseNodePostprocessor._apostprocess_nodes:
            return await asyncio.to_thread(self.run)
        nodes = [to_node(document) for document in self.documents]
        return [to_document(item) for item in await self.reranker.apostprocess_nodes(nodes, QueryBundle(self.query))]


class Compute:
    """A Python function that works long: a critic, an embedder, a scorer."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.function, self.args = function, args

    def run(self) -> Any:
        """Blocking."""
        return _finished(self.function, *self.args)

    async def arun(self) -> Any:
        """Awaited."""
        return await asyncio.to_thread(self.run)


class Together:
    """Several effects at once: what each gave, in their order; an error stands in the place of what it prevented."""

    def __init__(self, effects: Sequence[Effect]) -> None:
        self.effects = list(effects)

    def run(self) -> list[Any]:
        """Blocking."""
        if len(self.effects) < 2:
            return [_caught(effect) for effect in self.effects]
        contexts = [contextvars.copy_context() for _ in self.effects]  # callbacks and the stream go along
        with ThreadPoolExecutor(min(MOST_THREADS, len(self.effects))) as pool:
            doing = [
                pool.submit(context.run, _caught, effect)
                for context, effect in zip(contexts, self.effects, strict=True)
            ]
            return [each.result() for each in doing]

    async def arun(self) -> list[Any]:
        """Awaited."""
        found = await asyncio.gather(*(effect.arun() for effect in self.effects), return_exceptions=True)
        for each in found:
            if isinstance(each, GraphBubbleUp) or (isinstance(each, BaseException) and not isinstance(each, Exception)):
                raise each
        return list(found)


def _once(documents: list[Document]) -> list[Document]:
    first: dict[str | None, Document] = {}
    for document in documents:
        first.setdefault(document.id, document)
    return list(first.values())


def _caught(effect: Effect) -> Any:
    try:
        return effect.run()
    except GraphBubbleUp:  # an interrupt is no failure
        raise
    except Exception as error:
        return error


def node(name: str, body: Body, *, clocked: bool = True) -> Runnable[Any, Any]:
    """The body as a node of a graph: timed, with its step in `steps`, sync and async.

    `clocked` is false for nodes that run beside each other: what they take is counted once, by the node that joins
    them.
    """

    def update_of(step: Step, update: dict[str, Any]) -> dict[str, Any]:
        return {**update, "steps": [step], **({"elapsed": step["ms"] / 1000} if clocked else {})}

    def run(state: Any) -> dict[str, Any]:
        with timed_step(name) as step:
            update = drive(body(state, step))
        return update_of(step, update)

    async def arun(state: Any) -> dict[str, Any]:
        with timed_step(name) as step:
            update = await adrive(body(state, step))
        return update_of(step, update)

    return RunnableLambda(run, afunc=arun, name=name)


def drive(body: Doing[T]) -> T:
    """Runs a body to its end, blocking."""
    try:
        effect = next(body)
        while True:
            try:
                given = effect.run()
            except GraphBubbleUp:  # an interrupt is no failure: no body may catch it
                body.close()
                raise
            except Exception as error:
                effect = body.throw(error)
            else:
                effect = body.send(given)
    except StopIteration as end:
        value: T = end.value
        return value


async def adrive(body: Doing[T]) -> T:
    """As `drive`, awaited. What a body does between two effects (counting tokens asks a local server) is kept off the
    loop.
    """
    effect, value = await asyncio.to_thread(_step, body.send, None)
    while effect is not None:
        try:
            given = await effect.arun()
        except GraphBubbleUp:
            body.close()
            raise
        except Exception as error:
            effect, value = await asyncio.to_thread(_step, body.throw, error)
        else:
            effect, value = await asyncio.to_thread(_step, body.send, given)
    return value


def _step(move: Callable[[Any], Effect], given: Any) -> tuple[Effect | None, Any]:
    """The next effect, or None and what the body returned: a StopIteration cannot cross threads."""
    try:
        return move(given), None
    except StopIteration as end:
        return None, end.value
