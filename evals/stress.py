"""What retrieval gives, damaged on purpose: how does a strategy cope?

Four kinds of damage, after the four abilities of the RGB benchmark (Chen et al. 2023, "Benchmarking Large Language
Models in Retrieval-Augmented Generation", arXiv 2309.01431):

- `drop_gold`: the passages that hold the answer are gone (negative rejection: does it abstain?)
- `irrelevant`: passages of other questions stand among them (noise robustness)
- `counterfactual`: they state a false answer (counterfactual robustness: is it repeated?)
- `shuffle`: they come in another order (no ability of RGB's; whether the first passage counts too much)

RGB's documents come from a search engine and its false answers from people; here both come from the answer set itself,
so any set can be used. Every choice is made by hash of the seed and the question's id: the same in every run, for every
strategy and in every thread, and the questions damaged at a share of 0.2 are among those damaged at 0.4.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import BaseNode, NodeWithScore, QueryBundle, TextNode

from ..errors import UsageError
from .answer_sets import AnswerSet, Question, share_of
from .counterfactual import FalseAnswers, plain_words, replace_answers

__all__ = ("Stress", "StressedRetriever", "asking")

_ASKED: ContextVar[Question | None] = ContextVar("ragloom_question_asked", default=None)


@dataclass(frozen=True, slots=True)
class Stress:
    """How much damage of each kind; none unless asked for. Shares lie between 0 and 1.

    Raises `UsageError` where a share does not.

        >>> Stress(drop_gold=0.3, seed=1).active, Stress().active
        (True, False)
    """

    drop_gold: float = 0.0
    """Share of the questions whose gold passages are taken away; the next best passages fill the places."""
    irrelevant: float = 0.0
    """Share of the places, for every question, that passages of other questions take; the best others stay."""
    shuffle: bool = False
    """The passages stand in an order that says nothing; their scores stay what they were."""
    counterfactual: float = 0.0
    """Share of the questions whose gold passages state a false answer, where there is one (see `stressed_answer`)."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("drop_gold", "irrelevant", "counterfactual"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name} must lie between 0 and 1, not {getattr(self, name)!r}", hint="it is a share")

    @property
    def active(self) -> bool:
        """Whether anything is damaged at all."""
        return bool(self.drop_gold or self.irrelevant or self.shuffle or self.counterfactual)

    def hits(self, kind: str, question: Question) -> bool:
        """Whether this question is among those that a kind (`drop_gold`, `counterfactual`) damages."""
        return share_of(question.id, seed=self.seed, salt=kind) < float(getattr(self, kind))


@contextmanager
def asking(question: Question) -> Iterator[None]:
    """Says which question is being asked, in this context and in the threads and tasks that start from it.

    >>> with asking(question):  # doctest: +SKIP
    ...     graph.invoke({"question": question.question})
    """
    token = _ASKED.set(question)
    try:
        yield
    finally:
        _ASKED.reset(token)


@runtime_checkable
class _Deep(Protocol):
    """A retriever that can be read deeper than it returns, as a knowledge base's can."""

    top_k: int

    def search(self, query: str, top_k: int) -> list[NodeWithScore]: ...


class StressedRetriever(BaseRetriever):
    """Any retriever, with its results damaged as `stress` says, for the question that `asking` names.

    Strategies change the query's words, so the question is told apart by its id, never by the text. A passage counts as
    gold if its id, its source or its document's id is among the question's `gold`. A passage that was changed or put in
    says so in its metadata (`stress`: `counterfactual` or `irrelevant`), which no prompt shows.

    Places of dropped gold passages are filled from deeper in the ranking if the retriever has `top_k` and
    `search(query, top_k)`, as ours have; any other gives so many passages fewer.

    Args:
        retriever: what is damaged.
        stress: how.
        corpus: the answer set the questions are from: passages and answers of its other questions do the damage.

    Raises:
        UsageError: at retrieval, if `stress` is active and no question is being asked.

    Example:
        >>> retriever = StressedRetriever(kb.retriever(), Stress(drop_gold=1.0), found)  # doctest: +SKIP
        >>> with asking(found.questions[0]):  # doctest: +SKIP
        ...     naive_rag(retriever, llm).invoke({"question": found.questions[0].question})["abstained"]
        True
    """

    def __init__(self, retriever: BaseRetriever, stress: Stress, corpus: AnswerSet) -> None:
        self.retriever, self.stress, self.corpus = retriever, stress, corpus
        gold = dict.fromkeys(key for item in corpus.questions for key in item.gold if key in corpus.documents)
        self._pool = list(gold) or list(corpus.documents)
        self._false = FalseAnswers(corpus, seed=stress.seed) if stress.counterfactual else None
        super().__init__()

    def stressed_answer(self, question: Question) -> str | None:
        """The false answer that this question's gold passages state; None where they are left as they are.

        That is: the share does not hit the question, its gold passages are dropped, or no other question has an answer
        of the kind (year, date, number, name) that could stand in for its own. Whether a strategy read the false answer
        shows in the texts of the passages that it cites or read.
        """
        if self._false is None or not self.stress.hits("counterfactual", question):
            return None
        return None if self.stress.hits("drop_gold", question) else self._false.of(question)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        question, query = self._question(), query_bundle.query_str
        found = self.retriever.retrieve(query_bundle)
        if question is None:
            return found
        if self._drops(question) and isinstance(self.retriever, _Deep) and any(_is_gold(i, question) for i in found):
            found = self._refilled(self.retriever, query, question)
        return self._damaged(found, question, query)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        question, query = self._question(), query_bundle.query_str
        found = await self.retriever.aretrieve(query_bundle)
        if question is None:
            return found
        if self._drops(question) and isinstance(self.retriever, _Deep) and any(_is_gold(i, question) for i in found):
            found = await asyncio.to_thread(self._refilled, self.retriever, query, question)
        return self._damaged(found, question, query)

    def _question(self) -> Question | None:
        if not self.stress.active:
            return None
        question = _ASKED.get()
        if question is None:
            raise UsageError("a stressed retriever must know the question", hint="call it inside `with asking(...)`")
        return question

    def _drops(self, question: Question) -> bool:
        return bool(question.gold) and self.stress.hits("drop_gold", question)

    @staticmethod
    def _refilled(retriever: _Deep, query: str, question: Question) -> list[NodeWithScore]:
        """As many passages that are not gold as the retriever returns, however many gold ones stand before them."""
        depth = retriever.top_k
        while True:
            depth *= 4
            found = retriever.search(query, depth)
            others = [item for item in found if not _is_gold(item, question)]
            if len(others) >= retriever.top_k or len(found) < depth:
                return others[: retriever.top_k]

    def _damaged(self, found: Sequence[NodeWithScore], question: Question, query: str) -> list[NodeWithScore]:
        # Copies: what is changed here may be shared with the retriever, or with its cache.
        kept = [NodeWithScore(node=item.node.model_copy(deep=True), score=item.score) for item in found]
        if self._drops(question):
            kept = [item for item in kept if not _is_gold(item, question)]
        false = self.stressed_answer(question)
        if false is not None:
            for item in kept:
                if _is_gold(item, question):
                    _falsify(item, question, false)

        def share(*parts: object) -> float:  # the query too: a strategy that asks again gets other noise, as in life
            return share_of("\0".join(map(str, (question.id, query, *parts))), seed=self.stress.seed, salt="stress")

        kept = self._with_noise(kept, question, share)
        if self.stress.shuffle:
            kept.sort(key=lambda item: share("order", item.node.node_id))
        return kept

    def _with_noise(
        self, kept: list[NodeWithScore], question: Question, share: Callable[..., float]
    ) -> list[NodeWithScore]:
        wanted = int(self.stress.irrelevant * len(kept) + 0.5)
        noise = self._drawn(wanted, kept, question, share)
        if not noise:
            return kept
        places = set(sorted(range(len(kept)), key=lambda place: share("place", place))[: len(noise)])
        real, drawn = iter(kept[: len(kept) - len(noise)]), iter(noise)
        mixed = [next(drawn) if place in places else next(real) for place in range(len(kept))]
        score = kept[len(kept) - len(noise) - 1].score if len(noise) < len(kept) else kept[-1].score
        for place in reversed(range(len(mixed))):  # noise scores as the passage after it, so that scores still fall
            if place in places:
                mixed[place].score = score
            score = mixed[place].score
        return mixed

    def _drawn(
        self, wanted: int, kept: Sequence[NodeWithScore], question: Question, share: Callable[..., float]
    ) -> list[NodeWithScore]:
        """Passages of other questions, without this one's answer, no longer than the longest that was retrieved."""
        taken = {name for item in kept for name in _names(item)} | set(question.gold)
        room = max((len(item.node.get_content()) for item in kept), default=0)
        drawn: list[NodeWithScore] = []
        for attempt in range(20 * wanted):  # a small set may not have as many; then there is less noise
            key = self._pool[int(share("draw", attempt) * len(self._pool))] if self._pool else ""
            if len(drawn) == wanted or not key:
                break
            title, text = self.corpus.documents[key]
            body = text if len(text) <= room else text[:room].rsplit(maxsplit=1)[0]
            if key in taken or not body or any(plain_words(answer) in plain_words(body) for answer in question.answers):
                continue
            taken.add(key)
            kind = kept[0].node.metadata.get("score_kind", "unknown")
            node = TextNode(id_=key, text=body, metadata={"source": key, "title": title, "score_kind": kind})
            _mark(node, "irrelevant")
            drawn.append(NodeWithScore(node=node))
        return drawn


def _names(item: NodeWithScore) -> set[str]:
    return {item.node.node_id, str(item.node.metadata.get("source", "")), item.node.ref_doc_id or ""}


def _is_gold(item: NodeWithScore, question: Question) -> bool:
    return not _names(item).isdisjoint(question.gold)


def _falsify(item: NodeWithScore, question: Question, false: str) -> None:
    node = item.node
    text = replace_answers(node.get_content(), question, false)
    if text == node.get_content():
        return
    node.set_content(text)
    for name in ("title", "headings"):  # shown above the passage, and a critic reads them
        if name in node.metadata:
            node.metadata[name] = replace_answers(str(node.metadata[name]), question, false)
    _mark(node, "counterfactual")


def _mark(node: BaseNode, kind: str) -> None:
    node.metadata["stress"] = kind
    node.excluded_embed_metadata_keys = node.excluded_llm_metadata_keys = list(node.metadata)
