"""Answer evaluation: what a run keeps, what it survives, what it costs to repeat."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from ragloom.errors import StoreError, UsageError
from ragloom.evals.answer_sets import AnswerSet, load_answer_set
from ragloom.evals.answers import Progress, evaluate_answers
from ragloom.evals.cached_model import CachedChatModel
from ragloom.evals.judges import Scores
from ragloom.evals.judging import judge_run
from ragloom.evals.model_calls import recorded_calls
from ragloom.evals.model_identity import model_identity
from ragloom.evals.output_cache import OutputCache
from ragloom.evals.records import METRICS
from ragloom.evals.run_folder import RunFolder, read_run
from ragloom.evals.stress import Stress, StressedRetriever
from ragloom.evals.systems import System
from ragloom.testing import FakeChatModel

Cli = Callable[..., Any]
RetrieverOf = Callable[[AnswerSet], Any]


def reply(messages: list[BaseMessage]) -> str:
    """Finds the number of the city that is asked for, where passages are shown; else it guesses."""
    text = "\n".join(str(message.text) for message in messages)
    city = re.search(r"mayor of (\w+) have", text)
    found = re.search(rf"mayor of {city[1]} has (\d+) bridges", text) if city else None
    return f"The mayor has {found[1]} bridges repaired each year." if found else "I don't know."


@pytest.fixture
def evaluate(tmp_path: Path, city_set: AnswerSet, retriever_of: RetrieverOf) -> Callable[..., Any]:
    """An evaluation of the tiny set with the fake model."""

    def run(*, llm: Any = None, folder: Path | None = None, **options: Any) -> Any:
        systems = options.pop("systems", [System("closed-book"), System("naive")])
        return evaluate_answers(
            options.pop("sets", [city_set]),
            systems,
            llm or FakeChatModel(replies=reply),
            retriever=retriever_of,
            folder=folder or tmp_path / "run",
            outputs=OutputCache(tmp_path / "outputs.sqlite"),
            **options,
        )

    return run


def test_summaries(evaluate: Callable[..., Any]) -> None:
    closed, naive = evaluate(llm_name="fake")
    assert (closed["strategy"], naive["strategy"], naive["llm"], naive["n"]) == ("closed-book", "naive", "fake", 12)
    assert naive["contains"] == naive["gold_retrieved"] == naive["citation_recall"] == 1.0
    assert naive["citation_precision"] == 1.0
    assert naive["abstain_accuracy"] == 1.0
    assert naive["abstained"] == pytest.approx(2 / 12)
    assert naive["answered_unanswerable"] == naive["abstained_answerable"] == 0.0
    assert 0 < naive["f1"] < 1  # a sentence around the number
    assert closed["contains"] == closed["f1"] == 0.0
    assert closed["abstained_answerable"] == 1.0
    assert closed["gold_retrieved"] is closed["citation_precision"] is None
    assert naive["counts"]["f1"] == 10
    assert naive["counts"]["abstain_accuracy"] == 12
    assert naive["calls"] == 1.0
    assert naive["tokens_in"] > closed["tokens_in"] > 0
    assert set(naive["ci95"]) >= {name for name in METRICS if naive[name] is not None}
    assert closed["versus_baseline"]["contains"] == {"mean": -1.0, "low": -1.0, "high": -1.0, "n": 10}
    assert naive["versus_baseline"] == {}


def test_records_tell_the_whole_story(evaluate: Callable[..., Any], tmp_path: Path, city_set: AnswerSet) -> None:
    evaluate(seed=3)
    settings, records, timings, summaries = read_run(tmp_path / "run")
    assert settings["seed"] == 3
    assert settings["sets"][0]["sha256"] == city_set.fingerprint()
    assert [record["strategy"] for record in records] == ["closed-book"] * 12 + ["naive"] * 12
    assert [record["id"] for record in records[:12]] == [question.id for question in city_set.questions]
    assert len(timings) == 24
    assert summaries[0]["n"] == 12
    naive = records[12]
    assert naive["citations"][0]["source"] == naive["gold"][0] == "p0"
    assert naive["documents"][0]["text"].endswith("bridges repaired each year.")
    assert [step["node"] for step in naive["steps"]] == ["retrieve", "read", "cite"]
    assert not any("ms" in step for step in naive["steps"])
    assert len(timings[12]["step_ms"]) == 3
    assert timings[12]["seconds"] >= timings[12]["first_token_s"] > 0


def test_a_failed_record_is_counted_and_stops_nothing(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    def sometimes(messages: list[BaseMessage]) -> Any:
        return ConnectionError("gone") if "Oslo" in str(messages[-1].text).splitlines()[-1] else reply(messages)

    (naive,) = evaluate(llm=FakeChatModel(replies=sometimes), systems=[System("naive")])
    assert naive["failed"] == 1
    assert naive["contains"] == pytest.approx(0.9)
    assert naive["counts"]["contains"] == 10
    bad = next(record for record in read_run(tmp_path / "run")[1] if record["failed"])
    assert "gone" in bad["failed"]
    assert "\n" not in bad["failed"]
    assert bad["metrics"]["f1"] == bad["metrics"]["abstain_accuracy"] == 0.0


def test_failed_records_can_be_asked_again(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    alive = {"now": False}

    def dies(messages: list[BaseMessage]) -> Any:
        return reply(messages) if alive["now"] else ConnectionError("the server died")

    llm = FakeChatModel(replies=dies)
    assert evaluate(llm=llm, systems=[System("naive")])[0]["failed"] == 12
    alive["now"] = True
    assert evaluate(llm=llm, systems=[System("naive")])[0]["failed"] == 12, "a run is not changed unasked"
    assert evaluate(llm=llm, systems=[System("naive")], retry_failed=True)[0]["failed"] == 0


def test_a_finished_run_asks_nothing(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    first, again = FakeChatModel(replies=reply), FakeChatModel(replies=reply)
    summaries = evaluate(llm=first)
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    assert evaluate(llm=again) == summaries
    assert again.calls == []
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before


def test_outputs_are_cached_by_model_prompt_and_settings(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    slow = FakeChatModel(replies=reply, mode="slow", delay=0.01)
    first = evaluate(llm=slow, systems=[System("naive")])
    again = FakeChatModel(replies=reply, mode="slow", delay=0.01)
    repeated = evaluate(llm=again, systems=[System("naive")], folder=tmp_path / "other")
    assert again.calls == []
    assert repeated[0]["p50_s"] == pytest.approx(first[0]["p50_s"], rel=0.5), "the times of the run that made them"
    assert all(timing["cached"] for timing in read_run(tmp_path / "other")[2])
    other_model = FakeChatModel(replies=reply, seed=1)
    evaluate(llm=other_model, systems=[System("naive")], folder=tmp_path / "third")
    assert len(other_model.calls) == 12
    other_prompt = FakeChatModel(replies=reply, mode="slow", delay=0)
    evaluate(llm=other_prompt, systems=[System("naive", {"prompt": "short"})], folder=tmp_path / "fourth")
    assert len(other_prompt.calls) == 12


class Steady(FakeChatModel):
    """Does not draw at random."""

    temperature: float = 0.0


async def test_the_cache_gives_the_same_message_in_every_way(tmp_path: Path) -> None:
    fake = Steady(replies=["One two three."])
    llm = CachedChatModel.around(fake, outputs=OutputCache(tmp_path / "o.sqlite"))
    fresh = list(llm.stream("hello"))
    first = "".join(str(chunk.text) for chunk in fresh)
    with recorded_calls() as calls:
        texts = [llm.invoke("hello").text, (await llm.ainvoke("hello")).text]
        texts += ["".join([str(chunk.text) async for chunk in llm.astream("hello")])]
        whole = [chunk async for chunk in llm.astream("hello")]
    assert texts == [first] * 3
    assert len(fake.calls) == 1
    assert [call.cached for call in calls] == [True] * 4

    def tokens(chunks: list[Any]) -> int:
        return sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks)

    assert tokens(whole) == tokens(fresh) > 0


def test_a_stream_that_is_broken_off_is_kept_whole(tmp_path: Path) -> None:
    llm = CachedChatModel.around(FakeChatModel(replies=["One two three."]), outputs=OutputCache(tmp_path / "o.sqlite"))
    stream = llm.stream("hello")
    next(stream)
    stream.close()
    assert llm.invoke("hello").text == "One two three."
    assert len(llm.bound.calls) == 1


def test_a_stream_that_breaks_after_its_reader_left_is_not_kept(tmp_path: Path) -> None:
    breaks = FakeChatModel(replies=["One two three."], mode="error")
    llm = CachedChatModel.around(breaks, outputs=OutputCache(tmp_path / "o.sqlite"))
    stream = llm.stream("hello")
    next(stream)
    stream.close()
    breaks.mode = "none"
    assert llm.invoke("hello").text == "One two three."
    assert len(breaks.calls) == 2


def test_an_error_is_not_kept(tmp_path: Path) -> None:
    llm = CachedChatModel.around(
        FakeChatModel(replies=[ConnectionError("gone"), "fine"]), outputs=OutputCache(tmp_path / "o.sqlite")
    )
    with pytest.raises(ConnectionError):
        llm.invoke("hello")
    assert llm.invoke("hello").text == "fine"


def test_a_damaged_cache_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "outputs.sqlite"
    path.write_bytes(b"this is no database" * 100)
    llm = CachedChatModel.around(FakeChatModel(replies=["fine"]), outputs=OutputCache(path))
    assert llm.invoke("hello").text == "fine"
    assert list(tmp_path.glob("*.damaged"))


def test_parallel_runs_keep_the_order(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    evaluate(folder=tmp_path / "one")
    evaluate(folder=tmp_path / "four", workers=4)
    one, four = ((tmp_path / name / "records.jsonl").read_bytes() for name in ("one", "four"))
    assert one == four


def test_progress(evaluate: Callable[..., Any]) -> None:
    told: list[Progress] = []
    evaluate(progress=told.append)
    assert [each.done for each in told] == list(range(1, 25))
    assert {each.total for each in told} == {24}


def test_another_run_in_the_folder_is_refused(evaluate: Callable[..., Any]) -> None:
    evaluate(seed=0)
    with pytest.raises(UsageError, match=r"seed was 0, now 1"):
        evaluate(seed=1)


def test_a_run_that_kept_nothing_yet_is_no_other_run(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").open({"seed": 0}):
        pass
    with RunFolder(tmp_path / "run").open({"seed": 1}):
        pass
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == {"seed": 1}


def test_two_runs_at_once_are_refused(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").open({}), pytest.raises(StoreError, match="another process"):
        evaluate()


PRELOADED = [
    *("pytest", "rouge_score.rouge_scorer", "sacrebleu", "ragloom.retrieval.documents", "ragloom.testing.chat"),
    *(
        "ragloom.evals.answers",
        "ragloom.graphs.closed",
        "ragloom.graphs.naive",
        "ragloom.retrieval.knowledge_base",
    ),
]


def run_in_child(root: Path, cities: Path) -> None:
    """An evaluation without a store, so that a forked process can do it."""
    evaluate_answers(
        [load_answer_set(cities)],
        [System("closed-book"), System("naive")],
        FakeChatModel(replies=reply, mode="slow", delay=0.002),
        retriever=WordRetriever,
        folder=root / "run",
        outputs=OutputCache(root / "outputs.sqlite"),
    )
    (root / "finished").touch()


class WordRetriever(BaseRetriever):
    """The three passages that share most words with the question."""

    def __init__(self, answer_set: AnswerSet) -> None:
        self.nodes = [
            TextNode(id_=key, text=text, metadata={"source": key, "page": 1, "score_kind": "words"})
            for key, (_, text) in answer_set.documents.items()
        ]
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        asked = set(query_bundle.query_str.split())
        found = [NodeWithScore(node=node, score=len(asked & set(node.text.split()))) for node in self.nodes]
        return sorted(found, key=lambda item: -(item.score or 0))[:3]


def test_killed_at_random_moments_it_ends_with_the_same_file(tmp_path: Path, cities: Path) -> None:
    # A server that has imported everything forks each run, so that a kill hits the run and not its imports.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)

    def start(root: Path) -> Any:
        root.mkdir(exist_ok=True)
        process = context.Process(target=run_in_child, args=(root, cities))
        process.start()
        return process

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    start(whole).join(120)
    assert (whole / "finished").exists()
    dice = random.Random(0)
    kills = 0
    while not (killed / "finished").exists():
        process = start(killed)
        seen = len(_partial(killed))
        deadline = time.monotonic() + 60
        while process.is_alive() and len(_partial(killed)) <= seen and time.monotonic() < deadline:
            time.sleep(0.001)  # until it has done at least one more
        time.sleep(dice.uniform(0.0, 0.05))
        kills += process.is_alive()
        process.kill()
        process.join()
    assert kills >= 3
    left, right = ((root / "run" / "records.jsonl").read_bytes() for root in (whole, killed))
    assert left == right
    summaries = [json.loads((root / "run" / "summary.json").read_text()) for root in (whole, killed)]
    timeless = [[{name: row[name] for name in row if not name.endswith("_s")} for row in rows] for rows in summaries]
    assert timeless[0] == timeless[1]


def _partial(root: Path) -> list[bytes]:
    try:
        return (root / "run" / "partial.jsonl").read_bytes().splitlines()
    except FileNotFoundError:  # not begun, or just ended: a run that ends removes it
        return []


def test_a_line_that_was_cut_is_run_again(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    evaluate(folder=tmp_path / "whole")
    evaluate(folder=tmp_path / "cut")
    records = (tmp_path / "cut" / "records.jsonl").read_text().splitlines()
    timings = (tmp_path / "cut" / "timings.jsonl").read_text().splitlines()
    lines = [f'{{"record": {record}, "timing": {timing}}}\n' for record, timing in zip(records, timings, strict=True)]
    (tmp_path / "cut" / "partial.jsonl").write_text("".join(lines[:5]) + lines[5][:40])
    (tmp_path / "cut" / "records.jsonl").unlink()
    evaluate(folder=tmp_path / "cut")
    left, right = ((tmp_path / name / "records.jsonl").read_bytes() for name in ("whole", "cut"))
    assert left == right


def test_a_python_factory(evaluate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("mine.py").write_text("def build(retriever, llm):\n    return lambda asked: '20 bridges'\n")
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (row,) = evaluate(systems=[System("mine:build")], baseline=None)
    assert row["strategy"] == "mine:build"
    assert row["em"] == pytest.approx(0.1)
    assert row["abstained"] == 0.0


@pytest.mark.parametrize(
    ("returned", "answer", "failed"),
    [
        ("None", "", None),
        ("{'answer': None}", "", None),
        ("{'answer': '20', 'citations': [{'id': 'p0'}]}", "20", None),
        ("{'answer': '20', 'documents': ['text']}", "", "AttributeError"),
        ("{'answer': '20', 'usage': {'tokens_in': None}}", "20", None),
        ("['20']", "", "a strategy returns a dictionary or a text, not list"),
        ("{'answer': '20', 'steps': [{'node': object()}]}", "", "TypeError"),
        ("waits()", "20", None),
    ],
)
def test_whatever_a_strategy_returns_the_run_goes_on(
    evaluate: Callable[..., Any], tmp_path: Path, returned: str, answer: str, failed: str | None
) -> None:
    async def waits() -> str:
        return "20"

    factory = lambda retriever, llm: lambda asked: eval(returned, {"waits": waits})  # noqa: E731
    (row,) = evaluate(systems=[System("mine", factory=factory)], baseline=None)
    record = read_run(tmp_path / "run")[1][0]
    assert record["answer"] == answer
    assert failed is None or failed in record["failed"]
    assert row["failed"] == (12 if failed else 0)


def test_what_no_question_can_be_asked_with_stops_the_run(evaluate: Callable[..., Any]) -> None:
    Path("mine.jinja").write_text("--- user\n{{ nothing }}")
    with pytest.raises(UsageError, match="'nothing' is undefined"):
        evaluate(systems=[System("naive", {"prompt": "mine.jinja"})])


def test_an_edited_prompt_is_another_run(evaluate: Callable[..., Any]) -> None:
    prompt = Path("mine.jinja")
    system = lambda: [System("naive", {"prompt": "mine.jinja"})]  # noqa: E731
    text = "--- user\n{% for p in passages %}{{ p.text }}{% endfor %}{{ question }}"
    prompt.write_text(text)
    evaluate(systems=system())
    prompt.write_text(text + "!")
    with pytest.raises(UsageError, match="holds another run"):
        evaluate(systems=system())
    assert evaluate(systems=system(), fresh=True)[0]["failed"] == 0


def test_two_of_one_name_are_refused(evaluate: Callable[..., Any], city_set: AnswerSet) -> None:
    with pytest.raises(UsageError, match="two strategies are called 'naive'"):
        evaluate(systems=[System("naive"), System("naive", {"prompt": "short"})])
    rows = evaluate(systems=[System("naive"), System("naive", {"prompt": "short"}, label="naive short")])
    assert [row["strategy"] for row in rows] == ["naive", "naive short"]
    with pytest.raises(UsageError, match="two sets are called 'cities'"):
        evaluate(sets=[city_set, city_set])


def test_a_replayed_answer_is_the_same_record(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    long = " ".join(f"Sentence number {n} says something else." for n in range(20))
    systems = [System("closed-book")]
    evaluate(llm=FakeChatModel(replies=[long]), systems=systems)
    evaluate(llm=FakeChatModel(replies=[long]), systems=systems, folder=tmp_path / "again")
    left, right = ((tmp_path / name / "records.jsonl").read_bytes() for name in ("run", "again"))
    assert left == right
    first, again = ((tmp_path / name / "timings.jsonl").read_text() for name in ("run", "again"))
    assert first.replace('"cached": false', '"cached": true') == again


def test_drafts_of_a_random_model_stay_several(tmp_path: Path) -> None:
    class Random(FakeChatModel):
        temperature: float = 1.0

    outputs = OutputCache(tmp_path / "o.sqlite")

    def drafts(seed: int) -> tuple[list[str], int]:
        fake = Random(replies=["one", "two", "three"])
        llm = CachedChatModel.around(fake, outputs=outputs, seed=seed)
        with recorded_calls():
            return [llm.invoke("draft").text for _ in range(3)], len(fake.calls)

    assert drafts(0) == (["one", "two", "three"], 3)
    assert drafts(0) == (["one", "two", "three"], 0)
    assert drafts(1)[1] == 3


def test_models_are_told_apart_without_their_secrets() -> None:
    from langchain_openai import ChatOpenAI

    def identity(**settings: Any) -> str:
        return model_identity(ChatOpenAI(**{"model": "default", "api_key": "sk-secret", **settings}))

    assert identity(base_url="http://a/v1") != identity(base_url="http://b/v1")
    assert identity(temperature=0) != identity(temperature=1)
    assert identity(api_key="sk-other") == identity()
    assert "sk-" not in identity(extra_body={"api_key": "sk-deep"})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:build", "cannot import 'nowhere'"),
        ("json:nothing", "has no 'nothing'"),
        ("json:__doc__", "is no function"),
        ("a b:c", "names no function"),
        ("niave", "did you mean 'naive'"),
    ],
)
def test_an_unknown_strategy_is_named(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        System(name)


def test_counterfactual_passages_and_who_repeats_them(tmp_path: Path, city_set: AnswerSet) -> None:
    def stressed(answer_set: AnswerSet) -> Any:
        return StressedRetriever(WordRetriever(answer_set), Stress(counterfactual=1.0), answer_set)

    (naive,) = evaluate_answers(
        [city_set],
        [System("naive")],
        FakeChatModel(replies=reply),
        retriever=stressed,
        folder=tmp_path / "run",
        outputs=OutputCache(tmp_path / "outputs.sqlite"),
    )
    assert naive["repeated_false"] == 1.0, "the fake model believes what it reads"
    assert naive["contains"] == 0.0
    record = read_run(tmp_path / "run")[1][0]
    assert record["false_answer"] in record["answer"]


class EveryOther:
    """A judge that scores every other record, and counts how often it was asked."""

    names = ("odd:even",)

    def __init__(self) -> None:
        self.asked = 0

    def judge(self, record: Any) -> Scores:
        self.asked += 1
        if self.asked % 2:
            return Scores({"odd:even": 1.0}, {})
        return Scores({"odd:even": None}, {"odd:even": "it babbled"})


def test_a_judge_over_a_finished_run(evaluate: Callable[..., Any], tmp_path: Path) -> None:
    evaluate(systems=[System("naive")])
    before = (tmp_path / "run" / "records.jsonl").read_bytes()
    judge = EveryOther()
    (row,) = judge_run(tmp_path / "run", [judge])
    assert (row["metric"], row["mean"], row["n"], row["without"]) == ("odd:even", 1.0, 6, 6)
    path = tmp_path / "run" / "judged.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    assert json.loads(lines[1])["reasons"] == {"odd:even": "it babbled"}
    path.write_text("".join(lines[:4]) + lines[4][:20] + "\n")
    assert judge_run(tmp_path / "run", [judge])[0]["n"] == 6
    assert judge.asked == 12 + 8, "only what was not judged yet"
    assert (tmp_path / "run" / "records.jsonl").read_bytes() == before


def test_an_unknown_judge_is_named_before_anything_runs(cli: Cli, cities: Path) -> None:
    result = cli("eval", "answers", cities, "--judge", "ragas:truth", "--out", "run")
    assert result.code == 2
    assert "unknown metric 'truth' of ragas" in result.err
    assert not Path("run").exists()


FACTORY = """
def build(retriever, llm):
    def ask(asked):
        found = retriever.retrieve(asked["question"])
        return {"answer": " ".join(item.node.get_content() for item in found), "documents": []}
    return ask
"""


def test_command(cli: Cli, cities: Path) -> None:
    Path("ours.py").write_text(FACTORY)
    with (cities / "questions.jsonl").open("a") as stream:
        stream.write('{"id": "q1", "question": "twice"}\n{"id": "x", "question": "?", "answers": []}\nno json\n')
    given = ("eval", "answers", str(cities), "--strategy", "ours:build", "--no-baselines", "--out", "run")
    given = (*given, "--top-k", "10")
    result = cli(*given, "--limit", "6", "--json")
    assert result.code == 0, result.err
    row = json.loads(result.out)
    design = "set strategy llm n em f1 contains citation_precision citation_recall abstained abstain_accuracy calls"
    assert {*design.split(), "tokens_in", "tokens_out", "p50_s", "p95_s", "failed", "ci95"} <= row.keys()
    assert (row["set"], row["strategy"], row["llm"], row["n"]) == ("cities", "ours:build", "bundled:smollm2", 6)
    assert row["contains"] == 1.0
    for line, reason in ((13, "duplicate id 'q1'"), (14, "answerable, but no answers"), (15, "not JSON")):
        assert f"questions.jsonl:{line}: {reason}" in result.err
    assert "cities: n = 6 is under 200" in result.err
    again = cli(*given, "--limit", "6")
    assert again.code == 0
    assert "ours:build" in again.out
    refused = cli(*given, "--limit", "5")
    assert refused.code == 2
    assert "--fresh" in refused.err
    assert cli(*given, "--limit", "5", "--fresh").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "there is no folder 'nowhere'"),
        (("{cities}", "--strategy", "niave"), "did you mean 'naive'"),
        (("{cities}", "--part", "half"), "use dev or test"),
        (("{cities}", "--support-by", "judge"), "use overlap, embedding, support:bundled or support:PATH"),
        (("{cities}", "--critic", "judge"), "use overlap, support:bundled or support:PATH"),
        (("{cities}", "--critic", "embedding"), "use --support-by embedding"),
        (("{cities}", "{cities}"), "two sets are called 'cities'"),
        (("{cities}", "--llm", "gtp:x"), "gtp"),
        (("{cities}", "--drop-gold", "2"), "less than or equal to 1"),
        (("{cities}/questions.jsonl", "--strategy", "naive"), "has no passages"),
    ],
)
def test_misuse(cli: Cli, cities: Path, arguments: tuple[str, ...], message: str) -> None:
    given = [argument.format(cities=cities) for argument in arguments]
    result = cli("eval", "answers", *given, "--out", "run", "--no-baselines")
    assert result.code == 2
    assert message in " ".join(result.err.split())
    assert "Traceback" not in result.err


def test_an_answer_set_names_what_it_leaves_out(cities: Path) -> None:
    with (cities / "passages.jsonl").open("a") as stream:
        stream.write('{"id": "p1", "text": "twice"}\n[1]\n{"text": "no id"}\n')
    with (cities / "questions.jsonl").open("a") as stream:
        stream.write('{"id": "z", "question": "Where?", "answers": "here", "passage_ids": ["nowhere", "p1"]}\n')
    found = load_answer_set(cities)
    reasons = {(Path(each.file).name, each.line): each.reason for each in found.problems}
    assert reasons["passages.jsonl", 11].startswith("duplicate id 'p1'")
    assert reasons["passages.jsonl", 12] == "not a JSON object"
    assert reasons["passages.jsonl", 13] == "no 'id'"
    assert "'nowhere' is not in the corpus" in reasons["questions.jsonl", 13]
    last = found.questions[-1]
    assert (last.answers, last.gold) == (("here",), ("p1",))


def test_parts_are_fixed_by_hash(city_set: AnswerSet) -> None:
    dev, test = city_set.part("dev"), city_set.part("test")
    assert {q.id for q in dev.questions} | {q.id for q in test.questions} == {q.id for q in city_set.questions}
    assert not {q.id for q in dev.questions} & {q.id for q in test.questions}
    assert city_set.limited(5, seed=1).questions != city_set.limited(5, seed=2).questions
    assert city_set.limited(5).questions == city_set.limited(5).questions


def test_interrupted_runs_are_told_from_other_processes(tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").open({"a": 1}):
        pass
    assert os.path.exists(tmp_path / "run" / "partial.jsonl")
    with pytest.raises(UsageError, match="is it the folder of a finished run"):
        read_run(tmp_path / "run")
