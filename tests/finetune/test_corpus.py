"""A corpus alone as data: titles for the embedder, questions that a chat model makes for the others."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_bert import make_tiny_bert

from ragloom.finetune.data.corpus import corpus_of, make_question_sets
from ragloom.finetune.data.parts import part_of
from ragloom.testing import FakeChatModel, HashEmbedding

Cli = Callable[..., Any]
TOWNS = [
    f"{first}{last}" for first in ("Am", "Bor", "Cal", "Dor", "Elt", "Ful") for last in ("sel", "kum", "den", "ver")
]
FAST = (
    "--max-steps",
    2,
    "--max-tokens",
    64,
    "--batch-size",
    4,
    "--evaluations",
    1,
    "--device",
    "cpu",
    "--precision",
    "float32",
)


@pytest.fixture(autouse=True)
def own_cache(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLOOM_CACHE", str(own_folder / "cache"))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"st:{make_tiny_bert(tmp_path_factory.mktemp('base') / 'tiny')}"


def year(town: str) -> str:
    return str(1200 + 7 * TOWNS.index(town))


def text_of(town: str) -> str:
    return (
        f"The town of {town} was founded in the year {year(town)} by fishermen who came up the river. Later {town} "
        f"grew, and its market drew people from all villages around it."
    )


def write_corpus(folder: Path, name: str = "passages") -> Path:
    folder.mkdir()
    rows = [{"id": f"p{n}", "title": f"History of {town}", "text": text_of(town)} for n, town in enumerate(TOWNS)]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "README.md").write_text("**Licence:** CC BY 4.0\n")
    return folder


def reply(messages: list[Any]) -> str:
    """As a good model asks."""
    text = str(messages[-1].text)
    town = next(town for town in TOWNS if town in text)
    return f"Question: In which year was the town of {town} founded?\nAnswer: {year(town)}"


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def all_rows(out: Path) -> list[dict[str, Any]]:
    return [row for part in ("train", "dev", "test") for row in rows_of(out / "rows" / f"{part}.jsonl")]


def test_questions_are_made_once_edited_and_trained_on(cli: Cli, base: str) -> None:
    write_corpus(Path("towns"))
    cli.llm = FakeChatModel(replies=reply)  # type: ignore[attr-defined]
    command = (
        "finetune",
        "evaluator",
        "--data",
        "towns",
        "--make-questions",
        20,
        "--base",
        base,
        "--out",
        "out",
        *FAST,
    )
    done = cli(*command, "--json")
    assert done.code == 0, done.err
    assert "20 answerable and 0 unanswerable questions made" in done.err
    made = Path("out/questions/towns")
    questions = rows_of(made / "questions.jsonl")
    assert len(questions) == 20
    (told,) = done.json["data"]
    assert (told["name"], told["licence"]) == ("towns", "CC BY 4.0")
    assert {row["question"] for row in all_rows(Path("out")) if row["made"] == "gold"} <= {
        row["question"] for row in questions
    }
    asked = len(cli.llm.calls)  # type: ignore[attr-defined]

    again = cli(*command)
    assert again.code == 0 and "nothing to do" in again.err

    gone, kept = questions[:4], questions[4:]
    (made / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept))
    refused = cli(*command)
    assert refused.code == 2 and "changed towns" in refused.err and "--fresh" in refused.err
    assert cli(*command, "--fresh").code == 0
    assert rows_of(made / "questions.jsonl") == kept, "a person's edits must stay"
    assert not {row["question"] for row in gone} & {row["question"] for row in all_rows(Path("out"))}
    assert len(cli.llm.calls) == asked, "the model was asked again"  # type: ignore[attr-defined]


def test_a_knowledge_base_is_split_by_its_documents(cli: Cli, base: str) -> None:
    Path("docs").mkdir()
    for town in TOWNS:
        bridge = f"The bridge of {town} was opened by the mayor in the month of May {year(town)}9, and it still stands."
        Path(f"docs/{town}.md").write_text(f"# Chronicle\n\n## Founding\n\n{text_of(town)}\n\n## Bridge\n\n{bridge}\n")
    assert cli("ingest", "docs", "--chunk-size", 48).code == 0

    def ask(messages: list[Any]) -> str:
        found = re.search(r"The bridge of (\w+) was opened", str(messages[-1].text))
        if not found:
            return reply(messages)
        return f"Question: When was the bridge of {found[1]} opened?\nAnswer: May {year(found[1])}9"

    cli.llm = FakeChatModel(replies=ask)  # type: ignore[attr-defined]
    command = (
        "finetune",
        "reranker",
        "--data",
        ".ragloom",
        "--make-questions",
        40,
        "--base",
        base,
        "--out",
        "out",
        *FAST,
    )
    done = cli(*command)
    assert done.code == 0, done.err
    passages = rows_of(Path("out/questions/ragloom/passages.jsonl"))
    sources = {row["text"]: row["source"] for row in passages}
    assert len(passages) > len(set(sources.values())), "a document must have several passages"
    checked = 0
    for part in ("train", "dev", "test"):
        for row in rows_of(Path(f"out/rows/{part}.jsonl")):
            if row.get("distractor"):  # to measure with, of another document
                continue
            if row["made"] == "sentence" and row["label"]:  # the passage stands without the sentence that is asked
                assert part == "train"
                continue
            said = " ".join(row["passage"].split())
            (source,) = {source for text, source in sources.items() if said in " ".join(text.split())}
            assert part_of(f"ragloom:{source}") == part, row
            checked += 1
    assert checked > 40


@pytest.mark.parametrize("kind", ["folder", "file", "knowledge base"])
def test_an_embedder_learns_from_titles_without_any_model(cli: Cli, base: str, kind: str) -> None:
    data = Path("towns/corpus.jsonl")
    write_corpus(Path("towns"), "corpus")
    if kind == "knowledge base":
        Path("docs").mkdir()
        for town in TOWNS:
            Path(f"docs/{town}.md").write_text(f"# History of {town}\n\n{text_of(town)}\n")
        assert cli("ingest", "docs").code == 0
        data = Path(".ragloom")
    elif kind == "folder":
        data = Path("towns")
    command = ("finetune", "embedder", "--data", data, "--base", base, "--out", "out", *FAST)
    done = cli(*command)
    assert done.code == 0, done.err
    assert {row["query"] for row in all_rows(Path("out"))} == {f"History of {town}" for town in TOWNS}
    assert cli.llm.calls == []  # type: ignore[attr-defined]
    assert "nothing to do" in cli(*command).err, "opening a knowledge base is no change of the data"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("evaluator", "--data", "towns"), "--make-questions N, or make a set with 'ragloom eval make-questions'"),
        (("drafter", "--data", "towns/passages.jsonl"), "learns from questions"),
        (("router", "--data", "towns"), "teaches a router nothing"),
        (("embedder", "--data", "towns", "--llm", "bundled:smollm2"), "add --make-questions N"),
        (("reranker", "--data", "rows.jsonl", "--make-questions", 5), "nothing to make questions of"),
        (("reranker", "--data", "towns", "--make-questions", 5), "made no question"),
        (("reranker", "--data", "towns", "--make-questions", 5, "--set", "depth=3"), "unknown training option 'depth'"),
        (("reranker", "--data", "gone.jsonl", "--make-questions", 5), "there is no 'gone.jsonl'"),
        (("embedder", "--data", "untitled"), "--make-questions N"),
    ],
)
def test_what_cannot_be_is_said(cli: Cli, base: str, arguments: tuple[Any, ...], said: str) -> None:
    write_corpus(Path("towns"))
    Path("rows.jsonl").write_text(json.dumps({"question": "Who?", "passage": "I.", "label": 1}) + "\n")
    Path("untitled").mkdir()
    lines = [{"id": str(n), "text": text_of(town)} for n, town in enumerate(TOWNS)]
    Path("untitled/passages.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = cli("finetune", *arguments, "--out", "out", *(("--base", base) if arguments[0] != "drafter" else ()))
    assert found.code == 2
    assert said in found.err, found.err
    assert "Traceback" not in found.err


def test_an_interrupted_making_goes_on(own_folder: Path) -> None:
    data = write_corpus(own_folder / "towns")

    def break_off(text: str, done: int, total: int | None) -> None:
        if text == "questions" and done == 3:
            raise KeyboardInterrupt

    given: dict[str, Any] = {"embedder": HashEmbedding(size=64), "role": "drafter"}
    with pytest.raises(KeyboardInterrupt):
        make_question_sets([data], Path("out"), 10, llm=lambda: FakeChatModel(replies=reply), tell=break_off, **given)
    assert len(rows_of(Path("out/questions/towns/questions.jsonl"))) == 3
    second = FakeChatModel(replies=reply)
    (folder,), (made,) = make_question_sets([data], Path("out"), 10, llm=lambda: second, **given)
    assert (made.answerable, made.unanswerable) == (8, 2)
    assert len(second.calls) < 10, "what was made before the interrupt was made again"

    def refuse() -> Any:
        raise AssertionError("the model must not be loaded")

    assert make_question_sets([data], Path("out"), 10, llm=refuse, **given) == ([folder], [])
    documents = {row["document"] for row in rows_of(folder / "passages.jsonl")}
    assert documents == {f"title:history of {town.lower()}" for town in TOWNS}


def test_what_has_questions_is_no_corpus(own_folder: Path) -> None:
    folder = write_corpus(own_folder / "towns")
    assert corpus_of(folder) == folder / "passages.jsonl"
    (folder / "questions.jsonl").write_text("{}\n")
    assert corpus_of(folder) is None
    (own_folder / "texts.jsonl").write_text(json.dumps({"id": 1, "text": "a", "label": "b"}) + "\n")
    assert corpus_of(own_folder / "texts.jsonl") is None


def test_settings_of_one_role_are_listed_and_checked(cli: Cli, base: str) -> None:
    listed = cli("finetune", "list", "--json")
    assert listed.code == 0, listed.err
    settings = {row["role"]: row["settings"] for row in listed.lines}
    assert settings["embedder"].keys() == {"negatives", "matryoshka", "replay", "replay_data", "strengths"}
    assert settings["drafter"].keys() == {
        *("prompt_tokens", "unanswerable", "counterfactual", "answer_tokens", "measured"),
    }
    assert settings["evaluator"] == {"start": None, "made": 0.0}
    assert settings["router"] == {}
    write_corpus(Path("towns"))
    for given, said in (
        ("negatives=many", "use a whole number"),
        ('strengths=["a"]', "wrong kind"),
        ("matryoshka=64", "vectors have 32"),
        ("replay_data=nowhere", "'nowhere' has no corpus.jsonl"),
        ("depth=3", "unknown training option 'depth'"),
    ):
        found = cli(
            "finetune", "embedder", "--data", "towns", "--base", base, "--out", "out", "--set", given, "--fresh"
        )
        assert found.code == 2 and said in found.err, found.err
    assert re.search(r"list\s+--json", cli("finetune", "embedder", "--help").out)
