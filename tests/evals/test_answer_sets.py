"""Answer sets that people wrote: the forms that answers come in; what a system is known by; indexing odd documents."""

from __future__ import annotations

import functools
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ragloom.errors import UsageError
from ragloom.evals.answer_sets import load_answer_set
from ragloom.evals.datasets import RetrievalSet
from ragloom.evals.indexing import index_set
from ragloom.evals.systems import System, load_factory
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import HashEmbedding
from ragloom.types import Budget


def read(folder: Path, **fields: Any) -> Any:
    """The set of one question with these fields, after one that is fine."""
    questions = [{"id": "fine", "question": "?", "answers": ["x"]}, {"id": "q", "question": "How many?", **fields}]
    (folder / "questions.jsonl").write_text("".join(json.dumps(each) + "\n" for each in questions))
    (folder / "passages.jsonl").write_text('{"id": "d", "text": "25 days."}\n{"id": "7", "text": "Soup."}\n')
    return load_answer_set(folder)


@pytest.mark.parametrize(
    ("fields", "answers", "gold"),
    [
        ({"answers": {"text": ["25", "25 days"], "answer_start": [0, 0]}}, ("25", "25 days"), ()),
        ({"answers": [None, "25", None]}, ("25",), ()),
        ({"answers": 25}, ("25",), ()),
        ({"answer": "25"}, ("25",), ()),
        ({"answers": [], "answer": "25"}, ("25",), ()),
        ({"answers": ["25"], "answerable": None}, ("25",), ()),
        ({"answers": ["25"], "passage_ids": [], "doc_ids": ["d"]}, ("25",), ("d",)),
        ({"answers": ["25"], "passage_ids": [None], "doc_ids": ["d"]}, ("25",), ("d",)),
        ({"answers": ["25"], "passage_ids": [7, "d"]}, ("25",), ("7", "d")),
        ({"answers": {"text": [], "answer_start": []}, "answerable": False}, (), ()),
    ],
)
def test_forms(tmp_path: Path, fields: dict[str, Any], answers: tuple[str, ...], gold: tuple[str, ...]) -> None:
    found = read(tmp_path, **fields)
    assert found.problems == ()
    assert (found.questions[1].answers, found.questions[1].gold) == (answers, gold)
    assert found.questions[1].answerable is bool(answers)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"answers": {"value": "25"}}, "'answers' is no list of texts: left out"),
        ({"answers": True}, "'answers' is no list of texts: left out"),
        ({"answers": ["25", {"text": "25"}]}, "'answers' is no list of texts: left out"),
        ({"answers": ["25"], "passage_ids": {"d": 1}}, "'passage_ids' is no list of texts: left out"),
        ({"answers": ["25"], "answerable": "false"}, "'answerable' is 'false', neither true nor false: left out"),
        ({"answers": ["25"], "answerable": 0}, "'answerable' is 0, neither true nor false: left out"),
        ({"answers": [None]}, "answerable, but no answers: left out"),
    ],
)
def test_what_is_no_answer_is_named(tmp_path: Path, fields: dict[str, Any], reason: str) -> None:
    found = read(tmp_path, **fields)
    assert [each.id for each in found.questions] == ["fine"]
    assert [(each.line, each.reason) for each in found.problems] == [(2, reason)]


# -- indexing ----------------------------------------------------------------------------------------------------------


def test_documents_without_a_word_are_not_indexed_again_and_again(tmp_path: Path) -> None:
    documents = {"d1": ("Leave", "25 days."), "empty": ("", " \n"), "title": ("Hotels", "")}
    found = RetrievalSet("s", documents, {"q": "leave"}, {"q": {"d1": 1}})
    kb = KnowledgeBase(tmp_path / "kb", embedder=HashEmbedding())
    told: list[tuple[int, int]] = []
    index_set(found, kb=kb, progress=lambda done, total: told.append((done, total)))
    assert told == [(3, 3)]
    before = (tmp_path / "kb" / "seconds.json").read_bytes()
    _, seconds = index_set(found, kb=kb, progress=lambda done, total: told.append((done, total)))
    assert len(told) == 1
    assert seconds == json.loads(before) > 0
    for damaged in ("", "{", "null", "[1]", "NaN"):
        (tmp_path / "kb" / "seconds.json").write_text(damaged)
        assert index_set(found, kb=kb)[1] == 0.0


# -- systems -----------------------------------------------------------------------------------------------------------


def test_a_module_of_the_working_folder_shadows_no_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    Path("colorsys.py").write_text("build = print\n")
    Path("own_factory.py").write_text("def build(retriever, llm):\n    return str\n")
    for name in ("colorsys", "own_factory"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    assert load_factory("own_factory:build")
    assert sys.path[-1] == str(Path.cwd())
    with pytest.raises(UsageError, match="has no 'build'"):
        load_factory("colorsys:build")


def test_a_label_is_a_name_only() -> None:
    system = System("naive", {"prompt": "short"}, label="naive short")
    assert (system.name, system.kind, system.options) == ("naive short", "naive", {"prompt": "short"})
    assert system.identity() == System("naive", {"prompt": "short"}).identity()
    assert callable(system.build(None, None))  # type: ignore[arg-type]


class Options(BaseModel):
    size: int
    api_key: str = "sk-3"


class Printed:
    """With a fingerprint; its repr holds an address."""

    fingerprint = "abc"


@dataclass
class Slow:
    seconds: float
    password: str = "sk-4"


def test_what_decides_the_answers() -> None:
    options = {
        "openai_api_key": "sk-1",
        "headers": {"Authorization-Token": "sk-2"},
        "max_tokens": 100,
        "url": "http://user:sk-5@host/v1",
        "model": Options(size=3),
        "critic": Printed(),
        "slow": Slow(2.0),
        "budget": Budget(tokens=500),
        "other": object(),
        "kinds": {"b", "a"},
    }
    told = System("naive", options).identity()
    text = json.dumps(told)
    assert "sk-" not in text and "0x" not in text
    assert json.dumps(System("naive", dict(reversed(options.items()))).identity()) == text
    assert told["strategy"] == "naive"
    assert told["options"]["openai_api_key"] == told["options"]["headers"]["Authorization-Token"] == "***"
    assert told["options"]["max_tokens"] == 100
    assert told["options"]["model"]["fields"] == {"size": 3, "api_key": "***"}
    assert told["options"]["critic"]["fingerprint"] == "abc"
    assert told["options"]["slow"]["fields"] == {"seconds": 2.0, "password": "***"}
    assert told["options"]["budget"]["fields"]["tokens"] == 500
    assert told["options"]["other"] == {"type": "builtins.object"}
    assert told["options"]["kinds"] == ["a", "b"]


def test_an_edited_prompt_or_factory_is_another_system(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = Path("mine.jinja")
    prompt.write_text("--- user\n{{ question }}\n")
    first = System("naive", {"prompt": "mine.jinja"}).identity()
    assert first["options"]["prompt"]["sha256"] == hashlib.sha256(prompt.read_bytes()).hexdigest()
    prompt.write_text("--- user\n{{ question }}!\n")
    assert System("naive", {"prompt": "mine.jinja"}).identity() != first
    assert System("naive", {"prompt": prompt}).identity() != first

    def build(retriever: Any, llm: Any, depth: int = 1) -> Any:
        return str

    digest = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert System("mine", factory=build).identity()["factory"]["sha256"] == digest
    one, two = (System("mine", factory=functools.partial(build, depth=depth)).identity() for depth in (1, 2))
    assert one != two
    assert json.dumps(System("mine", factory=print).identity())


def test_a_set_with_brackets_in_its_name_is_shown() -> None:
    from ragloom.cli.eval_output import progress_bar

    with progress_bar() as bar:
        bar.show("[/x] naive", 1, 2)
        assert list(bar.bar.get_renderables())
