"""The command line: what every command prints, as text and as JSON, and where its defaults come from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragloom.testing import FakeChatModel

Cli = Callable[..., Any]
GOOD = "Employees get 25 days of annual leave."


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """The command line in a folder with two ingested documents."""
    Path("docs").mkdir()
    Path("docs/leave.md").write_text("# Leave\n\nFull-time employees get 25 days of annual leave.\n")
    Path("docs/travel.txt").write_text("Hotels in Vienna are paid up to 165 euros a night.")
    assert cli("ingest", "docs").code == 0
    return cli


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own, with the real models."""
    command = [sys.executable, "-m", "ragloom.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=200)


def test_ingest(cli: Cli) -> None:
    Path("a.txt").write_text("Roses are watered at dawn.")
    Path("b.txt").write_text("")
    result = cli("ingest", "a.txt", "b.txt", "--json")
    assert result.code == 0
    report = result.json
    assert {key: report[key] for key in ("added", "updated", "unchanged", "deleted", "chunks")} == {
        "added": 1,
        "updated": 0,
        "unchanged": 0,
        "deleted": 0,
        "chunks": 1,
    }
    assert [failure.keys() for failure in report["failed"]] == [{"path", "reason"}]
    assert report["seconds"] > 0
    Path("a.txt").unlink()
    assert cli("ingest", ".", "--prune", "--json").json["deleted"] == 1


def test_ingest_for_people(cli: Cli) -> None:
    Path("a.txt").write_text("Roses.")
    result = cli("ingest", "a.txt", "--kb", "kb")
    assert result.out.startswith("1 added, 0 updated, 0 unchanged; 1 chunks in ")
    assert result.out.endswith("-> kb\n")


def test_docs(filled: Cli) -> None:
    rows = filled("docs", "list", "--json").lines
    assert [(row["source"], row["format"], row["chunks"]) for row in rows] == [
        ("docs/leave.md", "markdown", 1),
        ("docs/travel.txt", "text", 1),
    ]
    assert "docs/leave.md" in filled("docs", "list").out
    assert filled("docs", "list", "--tenant", "other", "--json").lines == []
    assert filled("docs", "delete", "docs/leave.md", "--json").json == {"deleted": 1}
    assert filled("docs", "delete", "docs/travel.txt").out == "1 documents deleted\n"
    assert filled("docs", "list", "--json").out == ""


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("bm25", "bm25"), ("dense", "cosine"), ("hybrid", "reciprocal_rank"), ("default", "relative_score")],
)
def test_retrieve(filled: Cli, mode: str, kind: str) -> None:
    found = filled("retrieve", "annual leave", "--mode", mode, "--top-k", 1, "--json").json
    assert found["query"] == "annual leave"
    (result,) = found["results"]
    assert (result["source"], result["page"], result["score_kind"]) == ("docs/leave.md", 1, kind)
    assert "25 days" in result["text"]
    assert result["id"] and isinstance(result["score"], float)
    assert Path("docs/leave.md").read_text()[result["start"] : result["end"]] == result["text"]
    shown = filled("retrieve", "annual leave", "--mode", mode).out
    assert shown.startswith("1. docs/leave.md p. 1")


def test_filters(filled: Cli) -> None:
    def sources(*filters: str) -> list[str]:
        given = [part for text in filters for part in ("--filter", text)]
        results = filled("retrieve", "leave hotels", *given, "--json").json["results"]
        return sorted(result["source"] for result in results)

    assert sources("format=text") == ["docs/travel.txt"]
    assert sources("format!=text") == ["docs/leave.md"]
    assert sources("page>=1", "source=docs/leave.md") == ["docs/leave.md"]
    assert sources("page>1") == []


def test_ask(filled: Cli) -> None:
    filled.llm = FakeChatModel(replies=[GOOD])  # type: ignore[attr-defined]
    result = filled("ask", "How many days of annual leave do employees get?", "--json")
    assert result.code == 0
    answer = result.json
    assert answer["question"] == "How many days of annual leave do employees get?"
    assert (answer["answer"], answer["abstained"], answer["strategy"]) == (GOOD, False, "naive")
    assert answer["citations"][0].keys() >= {"sentence", "id", "source", "page", "quote"}
    assert answer["citations"][0]["source"] == "docs/leave.md"
    assert {document["id"] for document in answer["documents"]} >= {c["id"] for c in answer["citations"]}
    assert all(step.keys() >= {"node", "decision", "reason", "ms"} for step in answer["steps"])
    assert answer["usage"].keys() == {"calls", "tokens_in", "tokens_out", "seconds"}


def test_ask_for_people(filled: Cli) -> None:
    filled.llm = FakeChatModel(replies=[GOOD, "I don't know."])  # type: ignore[attr-defined]
    result = filled("ask", "How many days of annual leave do employees get?", "--steps")
    assert f"{GOOD} [1]" in result.out
    assert "[1] docs/leave.md p. 1: " in result.out
    assert "retrieve: 2 passages" in result.err
    abstained = filled("ask", "How many days of annual leave do employees get?")
    assert abstained.code == 0
    assert "I found nothing in the documents" in abstained.out
    assert "docs/leave.md p. 1" in abstained.out


def test_ask_docs_keeps_a_knowledge_base_of_its_own(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, own_folder: Path
) -> None:
    monkeypatch.setenv("RAGLOOM_CACHE", str(own_folder / "cache"))
    Path("a.txt").write_text(GOOD)
    cli.llm = FakeChatModel(replies=[GOOD])  # type: ignore[attr-defined]
    for _ in range(2):
        assert cli("ask", "How many days of annual leave?", "--docs", "a.txt", "--json").json["answer"] == GOOD
    assert not Path(".ragloom").exists()
    assert len(list((own_folder / "cache").rglob("kb.json"))) == 1


def test_chat(filled: Cli) -> None:
    filled.llm = FakeChatModel(replies=[GOOD, "I don't know."])  # type: ignore[attr-defined]
    talk = "How many days of annual leave do employees get?\n\n/sources\n/why\n/history\n/new\n/nonsense\nAnd?\n/quit\n"
    result = filled("chat", "--db", "chats.sqlite", stdin=talk)
    assert result.code == 0
    assert f"{GOOD} [1]" in result.out
    assert "retrieve: 2 passages" in result.out
    assert "you: How many days" in result.out
    assert "I found nothing in the documents" in result.out
    assert "/sources" in result.out  # an unknown command shows the list


def test_chat_json(filled: Cli) -> None:
    filled.llm = FakeChatModel(replies=[GOOD, ConnectionError("gone"), GOOD])  # type: ignore[attr-defined]
    question = "How many days of annual leave do employees get?"
    result = filled("chat", "--json", stdin=f"{question}\n{question}\n{question}\n")
    assert result.code == 0
    first, second, third = result.lines
    assert first["answer"] == third["answer"] == GOOD
    assert second["error"]["code"] == "model"


def test_graph(cli: Cli) -> None:
    assert "retrieve --> read" in cli("graph", "naive").out
    assert cli("graph", "naive", "--json").json.keys() == {"strategy", "mermaid"}
    pytest.importorskip("matplotlib")
    assert cli("graph", "naive", "--format", "png", "--out", "x.png", "--json").json["file"] == "x.png"
    assert Path("x.png").read_bytes().startswith(b"\x89PNG")


def test_models(cli: Cli) -> None:
    assert {row["spec"] for row in cli("models", "list", "--json").lines} >= {"bundled:smollm2", "bundled:minilm"}
    assert cli("models", "show", "bundled:minilm", "--json").json["licence"] == "Apache-2.0"
    assert "bundled:smollm2" in cli("models", "list").out


def test_eval_retrieval(cli: Cli, monkeypatch: pytest.MonkeyPatch, own_folder: Path) -> None:
    monkeypatch.setenv("RAGLOOM_CACHE", str(own_folder / "cache"))
    folder = own_folder / "tiny"
    folder.mkdir()
    rows = {
        "corpus": [{"id": f"d{n}", "title": "", "text": f"{word} in the garden"} for n, word in enumerate("abcdef")],
        "queries": [{"id": f"q{n}", "text": f"{word} garden"} for n, word in enumerate("bcd", 1)],
        "qrels": [{"query_id": f"q{n}", "doc_id": f"d{n}", "relevance": 1} for n in (1, 2, 3)],
    }
    for name, items in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    lines = cli("eval", "retrieval", folder, "--json").lines
    assert [line["mode"] for line in lines] == ["bm25", "dense", "hybrid", "default"]
    for line in lines:
        keys = {"set", "mode", "n", "ndcg@10", "recall@100", "rr@10", "ms_per_query", "index_seconds", "ci95"}
        assert line.keys() >= keys
        assert (line["set"], line["n"], line["recall@100"]) == ("tiny", 3, 1.0)
        assert line["ci95"].keys() == {"ndcg@10", "recall@100", "rr@10"}
    limited = cli("eval", "retrieval", folder, "--mode", "bm25", "--limit", 2, "--json").json
    assert limited["n"] == 2
    assert "tiny" in cli("eval", "retrieval", folder, "--mode", "bm25").out


def test_tenants(cli: Cli) -> None:
    Path("a.txt").write_text("Roses of the first.")
    cli("ingest", "a.txt", "--tenant", "one")
    assert cli("retrieve", "roses", "--json").json["results"] == []
    assert cli("retrieve", "roses", "--tenant", "two", "--filter", "tenant=one", "--json").json["results"] == []
    assert len(cli("retrieve", "roses", "--tenant", "one", "--json").json["results"]) == 1


# -- settings ----------------------------------------------------------------------------------------------------------


def test_option_beats_variable_beats_file(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(*options: object) -> int:
        return len(filled("retrieve", "annual leave hotels vienna", *options, "--json").json["results"])

    assert count() == 2
    Path("ragloom.toml").write_text('top_k = 1\nmode = "dense"\n')
    assert count() == 1
    monkeypatch.setenv("RAGLOOM_TOP_K", "2")
    assert count() == 2
    assert count("--top-k", 1) == 1
    kind = filled("retrieve", "leave", "--json").json["results"][0]["score_kind"]
    assert kind == "cosine"


def test_another_settings_file(filled: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.toml").write_text('kb = "elsewhere"\n')
    monkeypatch.setenv("RAGLOOM_CONFIG", "other.toml")
    assert "there is no knowledge base at 'elsewhere'" in filled("retrieve", "x").err


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").out.startswith("ragloom 0.")
    for command in ("ingest", "docs", "retrieve", "ask", "chat", "graph", "models", "eval"):
        assert command in cli("--help").out
        assert cli(command, "--help").code == 0


# -- for real ----------------------------------------------------------------------------------------------------------


def test_the_whole_way_with_the_bundled_models(own_folder: Path, handbook: Path) -> None:
    """A process of its own, real embedder, real language model; nothing but JSON on stdout."""
    kb = str(own_folder / "kb")
    ingested = run("ingest", str(handbook), "--kb", kb, "--json")
    assert ingested.returncode == 0, ingested.stderr
    assert json.loads(ingested.stdout)["added"] == 14
    found = run("retrieve", "hotel limit per night in Vienna", "--kb", kb, "--json")
    assert any("EUR 165" in result["text"] for result in json.loads(found.stdout)["results"])
    asked = run("ask", "Who is the ombudsperson?", "--kb", kb, "--json")
    assert asked.returncode == 0, asked.stderr
    answer = json.loads(asked.stdout)
    texts = {document["id"]: document["text"] for document in answer["documents"]}
    assert any("Leonor Pinto" in text for text in texts.values())
    assert all(citation["quote"] in texts[citation["id"]] for citation in answer["citations"])
    assert answer["usage"]["calls"] == 1
    assert "Traceback" not in asked.stderr


def test_a_reader_that_goes_away(own_folder: Path) -> None:
    command = f"{sys.executable} -m ragloom.cli models list --json | head -c 5"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert (len(done.stdout), done.stderr) == (5, "")
