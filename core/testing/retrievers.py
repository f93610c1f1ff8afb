"""What every LlamaIndex retriever of ours must do, as a class of tests to be inherited from.

>>> class TestMyRetriever(RetrieverSuite):  # doctest: +SKIP
...     @pytest.fixture
...     def make_retriever(self): return lambda top_k: MyRetriever(FIVE_TEXTS, top_k=top_k)
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.base.base_retriever import BaseRetriever

__all__ = ("FIVE_TEXTS", "RetrieverSuite")

FIVE_TEXTS = {
    "leave.md": "Full-time employees get 25 days of annual leave.",
    "travel.md": "Hotels in Vienna are paid up to 165 euros a night.",
    "garden.md": "The roses in the garden are watered at dawn.",
    "kitchen.md": "The canteen serves soup, and on Fridays pancakes.",
    "security.md": "Passwords have at least fourteen characters.",
}
"""What the retriever is to search: `source` in the metadata, and text; one passage each."""


class RetrieverSuite(ABC):
    """Inherit, give the fixture `make_retriever`, and pytest runs all of this on your retriever."""

    @pytest.fixture
    @abstractmethod
    def make_retriever(self) -> Callable[[int], BaseRetriever]:
        """Makes a retriever over `FIVE_TEXTS` that returns so many passages."""

    @pytest.mark.parametrize(
        ("query", "source"),
        [
            ("days of annual leave", "leave.md"),
            ("hotels in Vienna", "travel.md"),
            ("roses in the garden", "garden.md"),
            ("characters of passwords", "security.md"),
        ],
    )
    def test_the_best_passage_comes_first(
        self, make_retriever: Callable[[int], BaseRetriever], query: str, source: str
    ) -> None:
        """With its text and where it is from."""
        best = make_retriever(3).retrieve(query)[0]
        assert best.node.metadata["source"] == source
        assert best.node.get_content() == FIVE_TEXTS[source]

    def test_scores_fall_and_name_their_kind(self, make_retriever: Callable[[int], BaseRetriever]) -> None:
        """All of one kind: scores of different kinds must not be compared."""
        found = make_retriever(5).retrieve("the garden of the canteen")
        scores = [item.score for item in found]
        assert None not in scores
        assert scores == sorted(scores, reverse=True, key=float)  # type: ignore[arg-type]
        assert len({item.node.metadata["score_kind"] for item in found}) == 1

    @pytest.mark.parametrize("top_k", [1, 2, 4])
    def test_never_more_than_top_k_and_none_twice(
        self, make_retriever: Callable[[int], BaseRetriever], top_k: int
    ) -> None:
        """And the shorter list is the beginning of the longer one."""
        ids = [item.node.node_id for item in make_retriever(top_k).retrieve("the roses in the garden")]
        assert len(ids) == len(set(ids)) <= top_k
        longer = [item.node.node_id for item in make_retriever(top_k + 1).retrieve("the roses in the garden")]
        assert longer[: len(ids)] == ids

    @pytest.mark.parametrize("query", ["", "   ", "\n", "?!", "xyzzy", "🦊", "' OR 1=1 --", "word " * 2000])
    def test_any_query_gives_a_list(self, make_retriever: Callable[[int], BaseRetriever], query: str) -> None:
        """Empty where nothing matches, never an error."""
        assert isinstance(make_retriever(3).retrieve(query), list)

    def test_same_query_same_answer(self, make_retriever: Callable[[int], BaseRetriever]) -> None:
        """Again, from several threads, and asynchronously."""
        retriever = make_retriever(4)

        def ask(query: str = "hotels and pancakes") -> list[tuple[str, float | None]]:
            return [(item.node.node_id, item.score) for item in retriever.retrieve(query)]

        first = ask()
        assert ask() == first
        with ThreadPoolExecutor(4) as pool:
            assert all(found == first for found in pool.map(ask, ["hotels and pancakes"] * 12))

        async def ask_async() -> list[tuple[str, float | None]]:
            return [(item.node.node_id, item.score) for item in await retriever.aretrieve("hotels and pancakes")]

        assert asyncio.run(ask_async()) == first

    def test_nobody_changes_what_is_stored(self, make_retriever: Callable[[int], BaseRetriever]) -> None:
        """A caller may write into what it was given; the next one gets it clean."""
        retriever = make_retriever(2)
        for item in retriever.retrieve("annual leave"):
            item.node.metadata["source"] = "spoiled"
            item.node.set_content("spoiled")
        assert retriever.retrieve("annual leave")[0].node.get_content() == FIVE_TEXTS["leave.md"]
