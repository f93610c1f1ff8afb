"""A tiny answer set, and a corpus that needs no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragloom.evals.answer_sets import AnswerSet, load_answer_set
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import HashEmbedding

CITIES = ["Vienna", "Lisbon", "Oslo", "Madrid", "Rome", "Paris", "Berlin", "Athens", "Dublin", "Prague"]


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    """One object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def cities(tmp_path: Path) -> Path:
    """Ten passages, ten questions with an answer, two without."""
    folder = tmp_path / "cities"
    rows = [
        {"id": f"p{n}", "title": city, "text": f"The mayor of {city} has {n + 20} bridges repaired each year."}
        for n, city in enumerate(CITIES)
    ]
    write_jsonl(folder / "passages.jsonl", rows)
    asked = [
        {
            "id": f"q{n}",
            "question": f"How many bridges does the mayor of {city} have repaired each year?",
            "answers": [f"{n + 20}", f"{n + 20} bridges"],
            "passage_ids": [f"p{n}"],
            "answerable": True,
        }
        for n, city in enumerate(CITIES)
    ]
    asked += [
        {"id": f"u{n}", "question": f"Who painted {city}?", "answers": [], "passage_ids": [], "answerable": False}
        for n, city in enumerate(CITIES[:2])
    ]
    write_jsonl(folder / "questions.jsonl", asked)
    return folder


@pytest.fixture
def retriever_of(tmp_path: Path) -> Callable[[AnswerSet], Any]:
    """A retriever over a set's passages, by the hash embedder."""
    from ragloom.evals.indexing import index_set

    def make(answer_set: AnswerSet) -> Any:
        kb = KnowledgeBase(tmp_path / f"kb-{answer_set.name}", embedder=HashEmbedding())
        return index_set(answer_set.retrieval_set(), kb=kb)[0].retriever(top_k=3)

    return make


@pytest.fixture
def city_set(cities: Path) -> AnswerSet:
    """The set, read."""
    return load_answer_set(cities)
