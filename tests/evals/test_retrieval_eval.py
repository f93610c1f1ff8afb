"""`ragloom eval retrieval` and `compare`: right figures, kept per-query results, what bad input does."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.evals.retrieval import METRICS, score_runs
from ragloom.evals.retrieval_runs import RunFile, compare_runs, read_queries

Cli = Callable[..., Any]
WORDS = ("leave", "hotel", "rose", "canteen", "password", "train", "visa", "badge")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes of the sets here are nobody else's."""
    monkeypatch.setenv("RAGLOOM_CACHE", str(tmp_path / "cache"))


def make_set(name: str = "words", *, queries: int = 6) -> Path:
    """Documents about a word each, and queries with one or two of the words."""
    folder = Path(name)
    folder.mkdir()
    corpus = [
        {"id": f"d{n}", "title": "", "text": f"All about the {word}, number {n}."} for n, word in enumerate(WORDS)
    ]
    asked = [{"id": f"q{n}", "text": f"the {WORDS[n % 8]} or {WORDS[(n + 3) % 8]}"} for n in range(queries)]
    judged = [{"query_id": f"q{n}", "doc_id": f"d{n % 8}", "relevance": 1 + n % 2} for n in range(queries)]
    for stem, rows in (("corpus", corpus), ("queries", asked), ("qrels", judged)):
        (folder / f"{stem}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def lines(path: str | Path) -> list[Any]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


# -- figures ----------------------------------------------------------------------------------------------------------

DOCUMENTS = [f"d{n}" for n in range(150)]
RUN = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 60).map(lambda n: n / 8), max_size=120)
JUDGED = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(1, 3), min_size=1, max_size=40)


@given(st.lists(st.tuples(RUN, JUDGED), min_size=1, max_size=4))
def test_figures_are_trec_evals(drawn: list[tuple[dict[str, float], dict[str, int]]]) -> None:
    """To the fourth decimal, ties and queries that found nothing included."""
    runs = {f"q{n}": run for n, (run, _) in enumerate(drawn)}
    qrels = {f"q{n}": judged for n, (_, judged) in enumerate(drawn)}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100", "recip_rank"})
    theirs = evaluator.evaluate({key: run for key, run in runs.items() if run})
    ours = score_runs(runs, qrels)
    assert ours.keys() == runs.keys()
    for key, values in ours.items():
        expected = theirs.get(key, {"ndcg_cut_10": 0.0, "recall_100": 0.0, "recip_rank": 0.0})
        assert values["ndcg@10"] == pytest.approx(expected["ndcg_cut_10"], abs=5e-5)
        assert values["recall@100"] == pytest.approx(expected["recall_100"], abs=5e-5)
        reciprocal = expected["recip_rank"]
        assert values["rr@10"] == pytest.approx(reciprocal if reciprocal >= 1 / 10 - 1e-9 else 0.0, abs=5e-5)


@pytest.mark.parametrize(("rank", "value"), [(1, 1.0), (2, 0.5), (10, 0.1), (11, 0.0), (100, 0.0)])
def test_reciprocal_rank_ends_at_ten(rank: int, value: float) -> None:
    run = {f"x{n:03}": 1.0 - n / 1000 for n in range(1, 101) if n != rank} | {"gold": 1.0 - rank / 1000}
    assert score_runs({"q": run}, {"q": {"gold": 1}})["q"]["rr@10"] == pytest.approx(value)


# -- eval retrieval ---------------------------------------------------------------------------------------------------


def test_rows_have_what_a_reader_needs(cli: Cli) -> None:
    rows = cli("eval", "retrieval", make_set(), "--mode", "dense", "--mode", "bm25", "--seed", 3, "--json").lines
    assert [(row["set"], row["mode"], row["n"], row["seed"]) for row in rows] == [
        ("words", "dense", 6, 3),
        ("words", "bm25", 6, 3),
    ]
    for row in rows:
        assert {"ndcg@10", "recall@100", "rr@10", "ms_per_query", "index_seconds"} <= row.keys()
        assert all(low <= row[name] <= high for name, (low, high) in row["ci95"].items())
    first, second = rows
    assert (first["baseline"], first["versus_baseline"]) == (None, {})
    assert second["baseline"] == "dense"
    for name in METRICS:
        versus = second["versus_baseline"][name]
        assert versus["mean"] == pytest.approx(second[name] - first[name], abs=2e-4)
        assert versus["low"] <= versus["mean"] <= versus["high"]
        assert versus["n"] == 6


def test_the_baseline_can_be_chosen(cli: Cli) -> None:
    rows = cli("eval", "retrieval", make_set(), "--mode", "bm25,dense", "--compare", "hybrid", "--json").lines
    assert [(row["mode"], row["baseline"]) for row in rows] == [
        ("hybrid", None),
        ("bm25", "hybrid"),
        ("dense", "hybrid"),
    ]


def test_for_people(cli: Cli) -> None:
    result = cli("eval", "retrieval", make_set(), "--mode", "bm25,dense")
    assert result.code == 0
    assert "dense - bm25" in result.out
    assert "words: n = 6 is under 200" in result.err
    assert result.out.splitlines()[0].split() == ["set", "mode", "n", "seed", "nDCG@10", "R@100", "RR@10", "ms/query"]


@pytest.mark.parametrize("option", [("--mode", "bm52"), ("--compare", "bm52")])
def test_an_unknown_mode(cli: Cli, option: tuple[str, str]) -> None:
    result = cli("eval", "retrieval", make_set(), *option)
    assert result.code == 2
    assert "unknown retrieval mode 'bm52' (use bm25, dense, hybrid, default)" in result.err


def test_per_query_results(cli: Cli) -> None:
    folder = make_set()
    (row,) = cli("eval", "retrieval", folder, "--mode", "bm25", "--out", "runs.jsonl", "--json").lines
    kept = lines("runs.jsonl")
    assert [line["query_id"] for line in kept] == [f"q{n}" for n in range(6)]
    for name in METRICS:
        assert row[name] == pytest.approx(sum(line[name] for line in kept) / 6, abs=1e-4)
    line = kept[1]
    assert (line["set"], line["mode"], line["query"]) == ("words", "bm25", "the hotel or password")
    assert line["gold"] == {"d1": 2}
    assert {document for document, _ in line["ranking"]} == {"d1", "d4"}
    assert [score for _, score in line["ranking"]] == sorted((s for _, s in line["ranking"]), reverse=True)
    assert line["ms"] > 0
    assert not Path("runs.jsonl.part").exists()


class Counting:
    """Counts evaluations, and stops where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from ragloom.evals import retrieval

        self.ran: list[str] = []
        self.stop_at = ""
        real = retrieval.evaluate_retrieval

        def counted(kb: Any, retrieval_set: Any, mode: Any, **options: Any) -> Any:
            if mode == self.stop_at:
                raise KeyboardInterrupt
            self.ran.append(f"{retrieval_set.name} {mode}")
            return real(kb, retrieval_set, mode, **options)

        monkeypatch.setattr(retrieval, "evaluate_retrieval", counted)


def test_what_the_file_holds_is_not_run_again(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, counting = make_set(), Counting(monkeypatch)
    command = ("eval", "retrieval", folder, "--out", "runs.jsonl", "--json", "--mode")
    first = cli(*command, "bm25").lines
    before = Path("runs.jsonl").read_bytes()
    again = cli(*command, "bm25")
    assert again.lines == first
    assert "words: taken from runs.jsonl: bm25" in again.err
    assert Path("runs.jsonl").read_bytes() == before
    cli(*command, "dense")
    assert counting.ran == ["words bm25", "words dense"]
    both = cli(*command, "bm25,dense")
    assert [row["mode"] for row in both.lines] == ["bm25", "dense"]
    assert Path("runs.jsonl").read_bytes().startswith(before)
    assert len(counting.ran) == 2


def test_other_settings_are_run_anew(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, counting = make_set(), Counting(monkeypatch)
    command = ("eval", "retrieval", folder, "--mode", "bm25", "--out", "runs.jsonl")
    cli(*command)
    cli(*command, "--limit", 3)
    assert len(lines("runs.jsonl")) == 3
    with (folder / "qrels.jsonl").open("a") as stream:
        stream.write('{"query_id": "q1", "doc_id": "d4", "relevance": 1}\n')
    cli(*command)
    assert len(counting.ran) == 3
    assert lines("runs.jsonl")[1]["gold"] == {"d1": 2, "d4": 1}


def test_an_interrupted_run_goes_on(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, counting = make_set(), Counting(monkeypatch)
    command = ("eval", "retrieval", folder, "--mode", "bm25,dense,hybrid", "--out", "runs.jsonl")
    counting.stop_at = "hybrid"
    assert cli(*command).code == 130
    assert not Path("runs.jsonl").exists()
    assert [line["mode"] for line in lines("runs.jsonl.part")] == ["bm25"] * 6 + ["dense"] * 6
    # As if killed while writing: half a line at the end, and dense not complete.
    part = Path("runs.jsonl.part").read_text()
    Path("runs.jsonl.part").write_text(part[:-40])
    counting.stop_at = ""
    counting.ran.clear()
    assert cli(*command).code == 0
    assert counting.ran == ["words dense", "words hybrid"]
    kept = lines("runs.jsonl")
    assert [line["mode"] for line in kept] == ["bm25"] * 6 + ["dense"] * 6 + ["hybrid"] * 6
    assert len({(line["mode"], line["query_id"]) for line in kept}) == 18
    assert not Path("runs.jsonl.part").exists()


def test_a_file_of_something_else_is_never_overwritten(cli: Cli) -> None:
    Path("notes.jsonl").write_text('{"id": 1}\n')
    for command in (("retrieval", make_set(), "--out", "notes.jsonl"), ("compare", "notes.jsonl", "notes.jsonl")):
        result = cli("eval", *command)
        assert result.code == 2
        assert "no per-query results: notes.jsonl:1: no 'gold'" in result.err
    assert Path("notes.jsonl").read_text() == '{"id": 1}\n'
    result = cli("eval", "retrieval", "words", "--out", "nowhere/runs.jsonl")
    assert (result.code, "cannot write" in result.err) == (2, True)


def test_two_sets_of_one_name_cannot_share_a_file(cli: Cli) -> None:
    Path("other").mkdir()
    result = cli("eval", "retrieval", make_set(), make_set("other/words"), "--out", "runs.jsonl")
    assert result.code == 2
    assert "two sets are called 'words'" in result.err


# -- answer sets ------------------------------------------------------------------------------------------------------


def test_an_answer_set_is_a_retrieval_set_too(cli: Cli) -> None:
    folder = make_answers()
    row = cli("eval", "retrieval", folder, "--mode", "bm25", "--json").json
    assert (row["set"], row["n"], row["recall@100"]) == ("answers", 2, 1.0)


def make_answers(**fields: Any) -> Path:
    """Two questions that can be answered and one that cannot, over passages about a word each."""
    folder = Path("answers")
    folder.mkdir()
    passages = [{"id": word, "title": "", "text": f"All about the {word}."} for word in WORDS]
    asked: list[dict[str, Any]] = [
        {"id": word, "question": f"What about the {word}?", "answers": ["all"], "passage_ids": [word], **fields}
        for word in WORDS[:2]
    ]
    asked.append({"id": "no", "question": "Who?", "answers": [], "answerable": False, "passage_ids": ["rose"]})
    for stem, rows in (("passages", passages), ("questions", asked)):
        (folder / f"{stem}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def test_an_answer_set_that_has_nothing_to_judge_by(cli: Cli) -> None:
    folder = make_answers(passage_ids=[])
    asked = cli("eval", "retrieval", folder, "--json")
    assert "no question of 'answers' names its passage" in asked.json["error"]["message"]
    split = cli("eval", "retrieval", folder, "--split", "test", "--json")
    assert "'answers' is an answer set, without split 'test'" in split.json["error"]["message"]
    (folder / "passages.jsonl").unlink()
    bare = cli("eval", "retrieval", folder, "--json")
    assert (asked.code, split.code, bare.code) == (2, 2, 2)
    assert "no passages to search" in bare.json["error"]["message"]


# -- bad input --------------------------------------------------------------------------------------------------------


def test_problems_are_told_and_the_run_goes_on(cli: Cli) -> None:
    folder = make_set()
    with (folder / "queries.jsonl").open("a") as stream:
        stream.write('{"id": "q0", "text": "again"}\n{"id": \n')
    result = cli("eval", "retrieval", folder, "--mode", "bm25", "--json")
    assert result.code == 0
    assert result.json["n"] == 6
    assert "words/queries.jsonl:7: duplicate id 'q0': the first one counts\n" in result.err
    assert "words/queries.jsonl:8: not JSON" in result.err


def test_many_problems_are_counted(cli: Cli) -> None:
    folder = make_set()
    with (folder / "queries.jsonl").open("a") as stream:
        stream.write("nonsense\n" * 50)
    told = cli("eval", "retrieval", folder, "--mode", "bm25").err.splitlines()
    assert len([line for line in told if "queries.jsonl:" in line]) == 10
    assert "words: 40 more problems" in told


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def without_qrels(folder: Path) -> None:
    (folder / "qrels.jsonl").unlink()


def cut_gzip(folder: Path) -> None:
    whole = gzip.compress((folder / "corpus.jsonl").read_bytes())
    (folder / "corpus.jsonl.gz").write_bytes(whole[:-20])
    (folder / "corpus.jsonl").unlink()


def of_others(folder: Path) -> None:
    (folder / "qrels.jsonl").write_text('{"query_id": "q99", "doc_id": "d1", "relevance": 1}\n')


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (empty, "'bad' has no corpus.jsonl"),
        (without_qrels, "'bad' has no qrels.jsonl"),
        (cut_gzip, "'bad/corpus.jsonl.gz' is damaged"),
        (of_others, "'bad' has no judged queries"),
    ],
)
def test_a_set_that_cannot_be_read(cli: Cli, damage: Callable[[Path], None], reason: str) -> None:
    """Alone it is an error; beside others it is left out, and named before and after."""
    damage(make_set("bad"))
    alone = cli("eval", "retrieval", "bad", "--json")
    assert alone.code == 2
    assert reason in alone.json["error"]["message"]
    beside = cli("eval", "retrieval", "bad", make_set(), "--mode", "bm25", "--json")
    assert beside.code == 2
    row, error = beside.lines
    assert (row["set"], row["n"]) == ("words", 6)
    assert "1 of 2 sets could not be read" in error["error"]["message"]
    assert beside.err.startswith("left out: ")
    assert reason in beside.err
    assert cli("eval", "retrieval", "bad", "nowhere", "--out", "runs.jsonl").code == 2
    assert not Path("runs.jsonl").exists()


def test_judgements_of_unknown_documents_stay_misses(cli: Cli) -> None:
    folder = make_set(queries=1)
    with (folder / "qrels.jsonl").open("a") as stream:
        stream.write('{"query_id": "q0", "doc_id": "nowhere", "relevance": 1}\n')
    row = cli("eval", "retrieval", folder, "--mode", "bm25", "--json").json
    assert row["recall@100"] == 0.5


# -- eval compare -----------------------------------------------------------------------------------------------------


def run_line(query: str, value: float, ranking: list[str], mode: str = "bm25", **changed: Any) -> str:
    line = {"set": "words", "mode": mode, "query_id": query, "query": f"text of {query}"}
    line |= {**dict.fromkeys(METRICS, value), "ms": 1.0, "gold": {"g1": 1, "g2": 2}}
    line |= {"ranking": [[name, 1.0 / rank] for rank, name in enumerate(ranking, start=1)], "settings": "s"}
    return json.dumps({**line, **changed}) + "\n"


@pytest.fixture
def two_runs() -> tuple[str, str]:
    """Of four common queries one wins, one loses, two are tied; each run has one of its own."""
    a = [("q1", 0.5), ("q2", 1.0), ("q3", 0.2), ("q4", 0.0), ("only-a", 0.0)]
    b = [("q1", 1.0), ("q2", 0.0), ("q3", 0.2), ("q4", 0.0), ("only-b", 0.0)]
    Path("a.jsonl").write_text("".join(run_line(query, value, ["x", "g2"]) for query, value in a))
    Path("b.jsonl").write_text("".join(run_line(query, value, ["g2", "y", "g1"], "dense") for query, value in b))
    return "a.jsonl", "b.jsonl"


def test_compare(cli: Cli, two_runs: tuple[str, str]) -> None:
    result = cli("eval", "compare", *two_runs, "--seed", 5, "--json")
    assert result.code == 0
    found = result.json
    assert (found["set"], found["mode_a"], found["mode_b"], found["metric"]) == ("words", "bm25", "dense", "ndcg@10")
    assert (found["n"], found["seed"], found["wins"], found["losses"], found["ties"]) == (4, 5, 1, 1, 2)
    assert found["mean"] == pytest.approx(-0.125)
    assert (found["mean_a"], found["mean_b"]) == (0.425, 0.3)
    assert found["low"] < found["mean"] < found["high"]
    (won,), (lost,) = found["won"], found["lost"]
    assert (won["query_id"], won["query"], won["a"], won["b"], won["difference"]) == ("q1", "text of q1", 0.5, 1.0, 0.5)
    assert won["gold"] == [
        {"id": "g2", "relevance": 2, "rank_a": 2, "rank_b": 1},
        {"id": "g1", "relevance": 1, "rank_a": None, "rank_b": 3},
    ]
    assert (lost["query_id"], lost["difference"]) == ("q2", -1.0)
    assert "left out, in one run only: 1 queries of A, 1 of B" in result.err
    assert "words: n = 4 is under 200" in result.err


def test_compare_for_people(cli: Cli, two_runs: tuple[str, str]) -> None:
    out = cli("eval", "compare", *two_runs, "--metric", "rr@10").out
    assert "words: dense (b.jsonl) minus bm25 (a.jsonl)" in out
    assert "rr@10 0.425 -> 0.300: -0.125 [" in out
    assert "1 won, 1 lost, 2 tied" in out
    assert "+0.500  q1  text of q1\n          gold ranks: g2 2 -> 1; g1 - -> 3\n" in out
    assert "-1.000  q2  text of q2" in out
    assert "q1" not in cli("eval", "compare", *two_runs, "--top", 0).out


def test_compare_two_modes_of_one_file(cli: Cli) -> None:
    cli("eval", "retrieval", make_set(), "--mode", "bm25,dense", "--out", "runs.jsonl")
    unsaid = cli("eval", "compare", "runs.jsonl", "runs.jsonl")
    assert unsaid.code == 2
    assert "'runs.jsonl' holds several modes: bm25, dense (choose with --mode-a)" in unsaid.err
    found = cli("eval", "compare", "runs.jsonl", "runs.jsonl", "--mode-a", "bm25", "--mode-b", "dense", "--json").json
    rows = cli("eval", "retrieval", "words", "--mode", "bm25,dense", "--out", "runs.jsonl", "--json").lines
    versus = rows[1]["versus_baseline"]["ndcg@10"]
    assert {key: found[key] for key in ("mean", "low", "high", "n")} == versus


def test_compare_tells_of_other_judgements(cli: Cli, two_runs: tuple[str, str]) -> None:
    Path("b.jsonl").write_text(run_line("q1", 1.0, ["g2"], gold={"g2": 1}))
    result = cli("eval", "compare", *two_runs, "--json")
    assert result.json["judged_differently"] == 1
    assert "1 queries have other gold documents in B than in A" in result.err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("a.jsonl", "nowhere.jsonl"), "there is no file 'nowhere.jsonl'"),
        (("a.jsonl", "empty.jsonl"), "'empty.jsonl' is empty"),
        (("a.jsonl", "torn.jsonl"), "torn.jsonl:2: not JSON"),
        (("a.jsonl", "kinds.jsonl"), "kinds.jsonl:1: a field is of another kind"),
        (("a.jsonl", "other.jsonl"), "the two runs have no set in common"),
        (("a.jsonl", "strangers.jsonl"), "the two runs have no query in common"),
        (("a.jsonl", "b.jsonl", "--metric", "map"), "unknown metric 'map' (use one of ndcg@10, recall@100, rr@10)"),
        (("a.jsonl", "b.jsonl", "--mode-b", "bm25"), "'b.jsonl' holds no mode 'bm25' (it holds dense)"),
    ],
)
def test_compare_bad_input(cli: Cli, two_runs: tuple[str, str], arguments: tuple[str, ...], reason: str) -> None:
    Path("empty.jsonl").touch()
    Path("torn.jsonl").write_text(run_line("q1", 1.0, []) + '{"set": ')
    Path("kinds.jsonl").write_text(run_line("q1", 1.0, [], gold={"g1": "much"}))
    Path("other.jsonl").write_text(run_line("q1", 1.0, [], set="other"))
    Path("strangers.jsonl").write_text(run_line("q9", 1.0, []))
    result = cli("eval", "compare", *arguments)
    assert result.code == 2
    assert reason in result.err
    assert "Traceback" not in result.err


def test_in_python(two_runs: tuple[str, str]) -> None:
    a, b = (read_queries(Path(name)) for name in two_runs)
    found = compare_runs(a["words", "bm25"], b["words", "dense"], metric="recall@100")
    assert [change.query_id for change in found.wins + found.losses] == ["q1", "q2"]
    back = compare_runs(b["words", "dense"], a["words", "bm25"], metric="recall@100")
    assert back.mean == -found.mean
    with pytest.raises(UsageError, match="--out is a file in a folder that exists"), RunFile.writing(Path()):
        raise AssertionError
