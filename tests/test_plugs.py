"""Trained artifacts through the command line: by name wherever a critic, reranker, embedder or chat model is taken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from artifact_kit import make_artifact, make_base, make_span_artifact, with_manifest

import ragloom.models
from ragloom import settings as settings_module
from ragloom.errors import StoreError
from ragloom.retrieval import KnowledgeBase
from ragloom.settings import load_settings
from ragloom.testing import FakeChatModel

Cli = Callable[..., Any]
GOOD = "Employees get 25 days of annual leave."
QUESTION = "How many days of annual leave do employees get?"
CITIES = ["Vienna", "Lisbon", "Oslo", "Madrid", "Rome", "Paris"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A base, and an artifact for each role; a critic that lets everything pass, and one that lets nothing."""
    folder = tmp_path_factory.mktemp("made")
    base = make_base(folder / "bert", words=f"{QUESTION[:-1]} {GOOD[:-1]} hotels in vienna are paid")
    critic = make_artifact(folder / "yes", base, "support", thresholds={"fully": 0.0})
    return {
        "base": base,
        "yes": critic,
        "no": with_manifest(folder / "no", critic, thresholds={"fully": 1.1}),
        "reranker": make_artifact(folder / "reranker", base, "reranker", name="mine"),
        "embedder": make_artifact(folder / "embedder", base, "embedder"),
    }


@pytest.fixture
def filled(cli: Cli) -> Cli:
    """The command line in a folder with three ingested documents."""
    Path("docs").mkdir()
    Path("docs/leave.md").write_text("# Leave\n\nFull-time employees get 25 days of annual leave.\n")
    Path("docs/travel.txt").write_text("Hotels in Vienna are paid up to 165 euros a night.")
    Path("docs/days.txt").write_text("Office days of employees are Monday to Thursday.")
    assert cli("ingest", "docs").code == 0
    cli.llm = FakeChatModel(replies=[GOOD])  # type: ignore[attr-defined]
    return cli


# -- ask and chat ------------------------------------------------------------------------------------------------------


def test_ask_with_a_trained_critic(filled: Cli, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    answered = filled("ask", QUESTION, "--critic", f"support:{made['yes']}", "--json").json
    assert (answered["answer"], answered["abstained"]) == (GOOD, False)
    assert answered["citations"][0]["source"] == "docs/leave.md"
    assert filled("ask", QUESTION, "--critic", f"support:{made['no']}", "--json").json["abstained"]
    monkeypatch.setenv("RAGLOOM_CRITIC", f"support:{made['no']}")
    assert filled("ask", QUESTION, "--json").json["abstained"]
    assert not filled("ask", QUESTION, "--critic", "overlap", "--json").json["abstained"]


def test_ask_with_a_reranker(filled: Cli, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAGLOOM_RERANKER", f"reranker:{made['reranker']}")
    answer = filled("ask", QUESTION, "--top-k", 2, "--json").json
    assert [step["node"] for step in answer["steps"]] == ["retrieve", "rerank", "read", "cite"]
    assert answer["steps"][0]["decision"] == "3 passages"
    assert [document["score_kind"] for document in answer["documents"]] == ["reranker", "reranker"]
    assert {document["first_score_kind"] for document in answer["documents"]} == {"relative_score"}
    narrow = filled("ask", QUESTION, "--top-k", 1, "--rerank-from", 2, "--json").json
    assert narrow["steps"][0]["decision"] == "2 passages"
    assert len(narrow["documents"]) == 1
    off = filled("ask", QUESTION, "--reranker", "none", "--json").json
    assert [step["node"] for step in off["steps"]] == ["retrieve", "read", "cite"]


def test_chat_with_both(filled: Cli, made: dict[str, Path]) -> None:
    given = ("--critic", f"support:{made['yes']}", "--reranker", f"reranker:{made['reranker']}")
    [answer] = filled("chat", "--json", *given, stdin=f"{QUESTION}\n").lines
    assert [step["node"] for step in answer["steps"]] == ["retrieve", "rerank", "read", "cite"]


def test_retrieve_with_a_reranker(filled: Cli, made: dict[str, Path]) -> None:
    given = ("retrieve", QUESTION, "--reranker", f"reranker:{made['reranker']}")
    results = filled(*given, "--json").json["results"]
    assert [item["score_kind"] for item in results] == ["reranker"] * 3
    assert [item["score"] for item in results] == sorted((item["score"] for item in results), reverse=True)
    first = filled(*given, "--rerank-from", 1, "--json").json["results"]
    assert [item["score_kind"] for item in first] == ["reranker", "relative_score", "relative_score"]
    assert "(reranker " in filled(*given).out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--llm", "reflective:bundled"), 2, "ragloom ships no reflective"),
        (("--embedder", "embedder:bundled"), 2, "ragloom ships no embedder"),
        (("--critic", "suport:x"), 2, "did you mean 'support'"),
        (("--reranker", "cohere:x"), 2, "unknown reranker model provider 'cohere'"),
        (("--reranker", "mine"), 2, "for example reranker:bundled"),
        (("--critic", "support:nowhere"), 1, "there is no folder 'nowhere'"),
        (("--critic", "support:{reranker}"), 1, "was trained as reranker, not as support"),
        (("--reranker", "reranker:{damaged}"), 1, "is damaged"),
        (("--rerank-from", "0"), 2, "--rerank-from"),
    ],
)
def test_wrong_names(
    filled: Cli, made: dict[str, Path], own_folder: Path, arguments: tuple[str, str], code: int, message: str
) -> None:
    damaged = shutil.copytree(made["reranker"], own_folder / "damaged")
    weights = damaged / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    given = [argument.format(reranker=made["reranker"], damaged=damaged) for argument in arguments]
    result = filled("ask", QUESTION, *given)
    assert result.code == code
    assert message in " ".join(result.err.replace("│", " ").split())
    assert "Traceback" not in result.err


# -- drafters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drafting(monkeypatch: pytest.MonkeyPatch) -> FakeChatModel:
    """What `drafter:mine` loads."""
    llm = FakeChatModel(replies=["Rationale: Full-time employees get 25 days of annual leave.\nAnswer: 25 days"])
    real = ragloom.models.load_chat_model

    def load(spec: str, **options: Any) -> Any:
        return llm if spec == "drafter:mine" else real(spec, **options)

    monkeypatch.setattr(ragloom.models, "load_chat_model", load, raising=False)
    return llm


def test_a_drafter_is_asked_as_it_was_trained(filled: Cli, drafting: FakeChatModel) -> None:
    answer = filled("ask", QUESTION, "--llm", "drafter:mine", "--json").json
    assert (answer["answer"], answer["abstained"]) == ("25 days", False)
    assert answer["citations"][0]["quote"] == "Full-time employees get 25 days of annual leave."
    assert "Cannot answer from these passages" in drafting.prompts()[0]
    assert "25 days [1]" in filled("ask", QUESTION, "--llm", "drafter:mine").out


def test_a_drafter_that_ships_reads_for_its_base(
    filled: Cli, drafting: FakeChatModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert filled("ask", QUESTION, "--json").json["answer"] == GOOD
    monkeypatch.setitem(settings_module.READERS, "bundled:smollm2", "drafter:mine")
    assert filled("ask", QUESTION, "--json").json["answer"] == "25 days"
    filled("ask", QUESTION, "--strategy", "closed-book", "--json")  # there is nothing to read: the base answers
    monkeypatch.setenv("RAGLOOM_PROMPT", "read")
    assert filled("ask", QUESTION, "--json").json["answer"] == GOOD
    assert len(drafting.calls) == 1


def test_prompts_of_drafters() -> None:
    drafter = load_settings(llm="drafter:x")
    assert drafter.strategy_options("naive") == {"prompt": "draft"}
    assert drafter.strategy_options("closed-book") == {}
    assert load_settings(llm="drafter:x", prompt="short").strategy_options("naive") == {"prompt": "short"}
    assert load_settings().strategy_options("naive") == {}


@pytest.mark.parametrize(
    ("settings", "model"),
    [
        ({}, "reader:bundled"),
        ({"strategy": "multi-hop"}, "reader:bundled"),
        ({"strategy": "vote"}, "bundled:smollm2"),  # of drafts that differ
        ({"strategy": "speculative"}, "bundled:smollm2"),
        ({"strategy": "closed-book"}, "bundled:smollm2"),
        ({"prompt": "draft"}, "reader:bundled"),
        ({"prompt": "short"}, "bundled:smollm2"),
        ({"reader": "none"}, "bundled:smollm2"),
        ({"llm": "openai:x"}, "openai:x"),
        ({"llm": "openai:x", "reader": "reader:bundled"}, "reader:bundled"),
        ({"reader": "drafter:x", "strategy": "vote"}, "drafter:x"),
        ({"reader": "drafter:x", "strategy": "self-rag"}, "bundled:smollm2"),
    ],
)
def test_what_reads(settings: dict[str, str], model: str) -> None:
    assert load_settings(**settings).reads_with == model


# -- models ------------------------------------------------------------------------------------------------------------


def test_models_show_a_manifest(cli: Cli, made: dict[str, Path], tmp_path: Path) -> None:
    folder = with_manifest(
        tmp_path / "e",
        made["reranker"],
        role="evaluator",
        metrics={"test": {"squad": {"auroc": 0.5}, "auroc": 0.91234}, "n": 12},
        thresholds={"upper": 0.7, "lower": 0.1},
        licence="MIT",
        command="ragloom finetune evaluator",
    )
    shown = cli("models", "show", f"evaluator:{folder}", "--json").json
    assert (shown["role"], shown["licence"], shown["cached"]) == ("evaluator", "MIT", True)
    assert shown["summary"] == f"lora on st:{made['base']}, auroc 0.912"
    assert shown["size"] == sum((folder / name).stat().st_size for name in shown["details"]["files"])
    assert shown["details"]["thresholds"] == {"upper": 0.7, "lower": 0.1}
    assert shown["details"]["fingerprint"].startswith("evaluator:e@")
    assert "  command: ragloom finetune evaluator" in cli("models", "show", f"evaluator:{folder}").out
    wrong = cli("models", "show", f"support:{folder}")
    assert (wrong.code, "was trained as evaluator, not as support" in wrong.err) == (1, True)


def test_models_list_what_ships(cli: Cli, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    specs = [row["spec"] for row in cli("models", "list", "--json").lines]
    assert specs[:2] == ["bundled:smollm2", "bundled:minilm"]
    for module in ("artifacts", "catalogue"):
        monkeypatch.setattr(f"ragloom.models.{module}.bundled_artifacts", lambda: {"reranker": made["reranker"]})
    row = cli("models", "list", "--json").lines[-1]
    assert (row["spec"], row["role"], row["name"]) == ("reranker:bundled", "reranker", "mine")
    assert "reranker:bundled" in cli("models", "list").out
    assert cli("models", "show", "reranker:bundled", "--json").json["spec"] == "reranker:bundled"


# -- a knowledge base remembers its embedder ---------------------------------------------------------------------------


def test_a_knowledge_base_finds_its_embedder_from_anywhere(
    cli: Cli, made: dict[str, Path], own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made["embedder"], "trained")
    Path("a.txt").write_text("Hotels in Vienna are paid.")
    assert cli("ingest", "a.txt", "--embedder", "embedder:trained").code == 0
    assert json.loads(Path(".ragloom/kb.json").read_text())["embedder"] == f"embedder:{own_folder / 'trained'}"
    elsewhere = own_folder / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    found = cli("retrieve", "hotels", "--kb", own_folder / ".ragloom", "--mode", "dense", "--json")
    assert [item["source"] for item in found.json["results"]] == ["a.txt"]


def test_an_embedder_that_was_moved_or_trained_anew(cli: Cli, made: dict[str, Path], own_folder: Path) -> None:
    shutil.copytree(made["embedder"], "trained")
    Path("a.txt").write_text("Hotels in Vienna are paid.")
    assert cli("ingest", "a.txt", "--embedder", "embedder:trained").code == 0
    asked = ("retrieve", "hotels", "--mode", "dense", "--json")

    Path("trained").rename("moved")
    gone = cli(*asked)
    assert gone.code == 1
    assert "was embedded with" in gone.err and "name where it is now" in gone.err
    named = cli("ask", "hotels", "--mode", "dense", "--embedder", "embedder:moved", "--json")
    assert len(named.json["documents"]) == 1
    again = cli("ingest", "a.txt", "--embedder", "embedder:moved", "--json").json
    assert (again["unchanged"], again["updated"]) == (1, 0)
    assert len(cli(*asked).json["results"]) == 1

    shutil.rmtree("moved")
    make_artifact(own_folder / "moved", made["base"], "embedder", seed=1)
    stale = cli(*asked)
    assert stale.code == 1
    assert "run ragloom ingest with this embedder" in stale.err
    assert cli("ingest", "a.txt").code == 0
    assert len(cli(*asked).json["results"]) == 1


def test_vectors_of_another_embedder_are_never_compared(filled: Cli, made: dict[str, Path]) -> None:
    kb = KnowledgeBase.open(".ragloom", embedder=f"embedder:{made['embedder']}")
    with pytest.raises(StoreError, match="was embedded with 'bundled:minilm'"):
        kb.retriever(mode="dense").retrieve("hotels")
    assert kb.retriever(mode="bm25").retrieve("hotels")


# -- evals -------------------------------------------------------------------------------------------------------------


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


@pytest.fixture
def cities(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An answer set of six questions; everything is cached in the test's folder."""
    monkeypatch.setenv("RAGLOOM_CACHE", str(own_folder / "cache"))
    folder = own_folder / "cities"
    text = "The mayor of {} has {} bridges repaired."
    write(
        folder / "passages.jsonl",
        [{"id": f"p{n}", "title": c, "text": text.format(c, n + 20)} for n, c in enumerate(CITIES)],
    )
    asked = "How many bridges does the mayor of {} have repaired?"
    write(
        folder / "questions.jsonl",
        [
            {"id": f"q{n}", "question": asked.format(c), "answers": [f"{n + 20}"], "passage_ids": [f"p{n}"]}
            for n, c in enumerate(CITIES)
        ],
    )
    return folder


def test_answers_with_trained_parts(cli: Cli, made: dict[str, Path], cities: Path, own_folder: Path) -> None:
    shutil.copytree(made["reranker"], "ranker")
    cli.llm = FakeChatModel(replies=["The mayor has 21 bridges repaired."])  # type: ignore[attr-defined]
    given = ("eval", "answers", cities, "--reranker", "reranker:ranker", "--top-k", 2, "--json", "--out", "run")
    result = cli(*given, "--critic", f"support:{made['yes']}", "--support-by", f"support:{made['no']}")
    assert result.code == 0
    rows = {row["strategy"]: row for row in result.lines}
    assert rows.keys() == {"closed-book", "naive"}
    assert rows["naive"]["support"] == 0.0  # by the judge that supports nothing
    run = json.loads(Path("run/run.json").read_text())
    closed, naive = run["strategies"]
    assert closed["options"] == {}
    assert naive["options"]["reranker"]["fingerprint"].startswith("reranker:mine@")
    assert naive["options"]["critic"]["fingerprint"].startswith("support:yes@")
    assert run["support"].startswith("support:no@")
    records = [json.loads(line) for line in Path("run/records.jsonl").read_text().splitlines()]
    read = [record for record in records if record["strategy"] == "naive"]
    assert all([step["node"] for step in record["steps"]][:2] == ["retrieve", "rerank"] for record in read)
    assert all(len(record["documents"]) == 2 for record in read)

    shutil.rmtree("ranker")
    make_artifact(own_folder / "ranker", made["base"], "reranker", seed=1, name="mine")
    mixed = cli(*given, "--critic", f"support:{made['yes']}", "--support-by", f"support:{made['no']}")
    assert mixed.code == 2
    assert "holds another run (strategies)" in mixed.err


def test_answers_by_a_reader(cli: Cli, made: dict[str, Path], cities: Path, own_folder: Path) -> None:
    make_span_artifact(own_folder / "finder", made["base"])
    for _ in ("asked", "kept"):
        result = cli("eval", "answers", cities, "--reader", "reader:finder", "--no-baselines", "--json")
        assert result.code == 0, result.err
        (naive,) = result.lines
        assert (naive["n"], naive["failed"]) == (len(CITIES), 0)
        assert naive["calls"] == 1
    assert cli.llm.calls == []  # type: ignore[attr-defined]


def test_a_function_of_the_users_own_is_given_reranked_passages(
    cli: Cli, made: dict[str, Path], cities: Path, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_folder / "mine_plugs.py").write_text(
        "def build(retriever, llm):\n"
        "    return lambda asked: {'answer': ' '.join(\n"
        "        item.node.metadata['score_kind'] for item in retriever.retrieve(asked['question']))}\n"
    )
    monkeypatch.syspath_prepend(str(own_folder))
    given = ("eval", "answers", cities, "--strategy", "mine_plugs:build", "--no-baselines", "--limit", 1)
    assert cli(*given, "--reranker", f"reranker:{made['reranker']}", "--top-k", 2, "--out", "run").code == 0
    [record] = [json.loads(line) for line in Path("run/records.jsonl").read_text().splitlines()]
    assert record["answer"] == "reranker reranker"


def test_retrieval_with_a_reranker(cli: Cli, made: dict[str, Path], cities: Path, own_folder: Path) -> None:
    folder = own_folder / "set"
    texts = [f"w{n} w{n + 7} w{3 * n}" for n in range(20)]
    write(folder / "corpus.jsonl", [{"id": f"d{n}", "title": "", "text": t} for n, t in enumerate(texts)])
    write(folder / "queries.jsonl", [{"id": f"q{n}", "text": f"w{n}"} for n in range(4)])
    write(folder / "qrels.jsonl", [{"query_id": f"q{n}", "doc_id": f"d{n}", "relevance": 1} for n in range(4)])
    shutil.copytree(made["reranker"], "ranker")
    given = (
        "eval",
        "retrieval",
        folder,
        "--mode",
        "dense",
        "--reranker",
        "reranker:ranker",
        "--json",
        "--out",
        "x.jsonl",
    )
    plain, reranked = cli(*given).lines
    assert (plain["mode"], reranked["mode"], reranked["baseline"]) == ("dense", "dense + reranker:mine", "dense")
    assert plain["recall@100"] == reranked["recall@100"] == 1.0
    assert "taken from x.jsonl: dense, dense + reranker:mine" in cli(*given).err
    shutil.rmtree("ranker")
    make_artifact(own_folder / "ranker", made["base"], "reranker", seed=1, name="mine")
    anew = cli(*given)
    assert "taken from x.jsonl: dense\n" in anew.err
    assert anew.lines[1]["ndcg@10"] != reranked["ndcg@10"]
    assert "taken from x.jsonl: dense\n" in cli(*given, "--rerank-from", 5).err
