"""Rows made of what our own graphs did."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ragloom.finetune.data.rows import validate
from ragloom.finetune.data.sources import load_sources
from ragloom.finetune.data.traces import trace_rows


def write_lines(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def trace(number: int, **more: Any) -> dict[str, Any]:
    documents = [
        {"id": "a", "text": f"The hall {number} was opened in 1894.", "title": "Hall", "source": f"hall{number}.md"},
        {"id": "b", "text": "Cats sleep for most of the day.", "title": "Cats", "source": "cats.md"},
    ]
    sentence = f"Hall {number} was opened in 1894."
    cited = [{"sentence": sentence, "id": "a", "quote": documents[0]["text"], "source": "", "page": 1, "score": 1.0}]
    asked = {"question": f"When was hall {number} opened?", "answer": sentence, "abstained": False}
    return {**asked, "citations": cited, "documents": documents, "steps": [], "usage": {}, **more}


def test_traces_teach_what_is_known_of_them(own_folder: Path) -> None:
    lines = [
        trace(1, thumbs="up"),
        trace(2, thumbs="down"),
        trace(3),
        trace(4, set="s", strategy="naive", id="x", metrics={"contains": 1.0}, failed=None),
        trace(5, thumbs="up", abstained=True, citations=[]),
        trace(6, failed="the model timed out"),
        trace(7, thumbs="meh"),
    ]
    sources = load_sources([write_lines(own_folder / "asked.jsonl", lines)])
    assert ["asked.jsonl:7" in str(problem) for problem in sources.problems] == [True]
    roles = ("reranker", "support", "embedder", "drafter", "utility", "router")
    made = {role: list(trace_rows(role, sources)) for role in roles}
    for role, rows in made.items():
        assert not [validate(role, row) for row in rows if validate(role, row)]
    relevance = [(row["question"], row["passage"][:4], row["label"]) for row in made["reranker"]]
    asked = [f"When was hall {n} opened?" for n in (1, 4)]
    assert relevance == [(question, *pair) for question in asked for pair in (("The ", 1.0), ("Cats", 0.0))]
    # A cited sentence was let through by a critic: it counts unless a user said that the answer is bad.
    assert Counter(row["label"] for row in made["support"]) == {"fully": 3, "none": 3}
    assert not [row for row in made["support"] if "hall 2" in row["question"]]
    assert [row["negatives"] for row in made["embedder"]] == [["Cats sleep for most of the day."]] * 2
    drafts = {row["question"]: row for row in made["drafter"]}
    assert drafts[asked[0]]["rationale"] == "The hall 1 was opened in 1894." and drafts[asked[0]]["answerable"]
    assert drafts["When was hall 5 opened?"]["answerable"] is False
    ratings = {row["question"]: row["label"] for row in made["utility"]}
    assert ratings == {"When was hall 1 opened?": 5, "When was hall 2 opened?": 2, "When was hall 4 opened?": 5}
    assert made["router"] == []
    assert {row["origin"]["document"] for row in made["embedder"]} == {"asked:hall1.md", "asked:hall4.md"}


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("In 1894 the hall 9 was opened by the mayor.", {}),
        ("Cats came in 1894.", {"answers": ["1894"]}),
        ("Cats sleep.", {"gold": ["c"]}),
    ],
)
def test_what_may_be_right_too_is_no_negative(own_folder: Path, text: str, record: dict[str, Any]) -> None:
    line = trace(9, thumbs="up", **record)
    line["documents"] += [{"id": "c", "text": text, "title": "", "source": "c.md"}]
    sources = load_sources([write_lines(own_folder / "asked.jsonl", [line])])
    wrong = [row["passage"] for row in trace_rows("reranker", sources) if not row["label"]]
    assert wrong == ["Cats sleep for most of the day."]
    assert [row["negatives"] for row in trace_rows("embedder", sources)] == [wrong]
