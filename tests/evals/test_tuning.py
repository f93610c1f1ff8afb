"""Tuning: what is chosen, what is kept, what an interruption leaves, and what is written where."""

from __future__ import annotations

import json
import random
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ragloom.errors import UsageError
from ragloom.evals.indexing import set_base
from ragloom.evals.retrieval import evaluate_retrieval
from ragloom.evals.tuning import load_tuning_sets, render_report, tune
from ragloom.evals.tuning.answer_stage import DRAFT, PROMPTS, Reader, right
from ragloom.evals.tuning.choose import choose
from ragloom.evals.tuning.rankings import QueryVectors, Rankings
from ragloom.evals.tuning.settings_file import TUNED, write_settings
from ragloom.evals.tuning.space import DEFAULT, Candidate, candidate_of
from ragloom.retrieval.chunkers import ChunkSettings
from ragloom.testing import FakeChatModel, HashEmbedding

Cli = Callable[..., Any]
COMMON = "garden flower water soil plant seed"


@pytest.fixture(autouse=True)
def cache(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own."""
    monkeypatch.setenv("RAGLOOM_CACHE", str(own_folder / "cache"))
    return own_folder / "cache"


@pytest.fixture
def embedder() -> HashEmbedding:
    return HashEmbedding(size=64)


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def words_set(folder: Path, queries: int = 60) -> Path:
    """Only the rare word of a query tells: BM25 finds it, vectors are led astray by the words that most texts share."""
    dice = random.Random(0)
    corpus = [
        {"id": f"t{n}", "title": "", "text": f"rare{n} " + " ".join(f"w{dice.randrange(400)}" for _ in range(9))}
        for n in range(queries)
    ]
    corpus += [{"id": f"d{n}", "title": "", "text": f"{COMMON} w{n}"} for n in range(3 * queries)]
    write_jsonl(folder / "corpus.jsonl", corpus)
    write_jsonl(folder / "queries.jsonl", [{"id": f"q{n}", "text": f"{COMMON} rare{n}"} for n in range(queries)])
    write_jsonl(
        folder / "qrels.jsonl", [{"query_id": f"q{n}", "doc_id": f"t{n}", "relevance": 1} for n in range(queries)]
    )
    return folder


def noise_set(folder: Path, queries: int = 60) -> Path:
    """What is relevant has nothing to do with words."""
    dice = random.Random(1)
    text = lambda: " ".join(f"w{dice.randrange(60)}" for _ in range(12))  # noqa: E731
    write_jsonl(folder / "corpus.jsonl", [{"id": f"d{n}", "title": "", "text": text()} for n in range(80)])
    write_jsonl(folder / "queries.jsonl", [{"id": f"q{n}", "text": text()} for n in range(queries)])
    rows = [
        {"query_id": f"q{n}", "doc_id": f"d{dice.randrange(80)}", "relevance": 1}
        for n in range(queries)
        for _ in range(4)
    ]
    write_jsonl(folder / "qrels.jsonl", rows)
    return folder


def answer_folder(folder: Path, count: int = 40) -> Path:
    """One passage for each question."""
    passages = [{"id": f"p{n}", "title": "", "text": f"The code of room{n} is {1000 + n}."} for n in range(count)]
    questions = [
        {
            "id": f"q{n}",
            "question": f"What is the code of room{n}?",
            "answers": [str(1000 + n)],
            "passage_ids": [f"p{n}"],
            "answerable": True,
        }
        for n in range(count)
    ]
    write_jsonl(folder / "passages.jsonl", passages)
    write_jsonl(folder / "questions.jsonl", questions)
    return folder


# -- what is measured --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"mode": "default"},
        {"mode": "bm25"},
        {"mode": "dense"},
        {"mode": "hybrid"},
        {"mode": "hybrid", "alpha": 0.3, "fusion": "relative"},
        {"mode": "hybrid", "alpha": 0.8, "fusion": "rank"},
    ],
)
def test_scores_are_those_of_the_real_retriever(
    own_folder: Path, embedder: HashEmbedding, options: dict[str, Any]
) -> None:
    found = load_tuning_sets([words_set(own_folder / "words", 20)])[0].retrieval
    kb = set_base(found, chunking=ChunkSettings(), embedder=embedder)
    scores = Rankings(found, kb, QueryVectors()).scores(candidate_of(options))
    fixed = dict(options)
    made = kb.retriever

    def retriever(**given: Any) -> Any:
        return made(**{**given, **fixed})

    kb.retriever = retriever  # type: ignore[method-assign]
    assert scores == evaluate_retrieval(kb, found, options["mode"]).per_query


def test_a_planted_better_configuration_is_found(own_folder: Path, embedder: HashEmbedding) -> None:
    tuned = tune(load_tuning_sets([words_set(own_folder / "words")]), minutes=5, embedder=embedder, trials=15)
    outcome = tuned.retrieval
    assert outcome is not None and outcome.test is not None
    assert outcome.chosen != DEFAULT and outcome.chosen.alpha < 0.5
    assert outcome.test.difference["low"] > 0.1
    assert outcome.baseline == DEFAULT
    assert "better too" in outcome.verdict()
    assert tuned.settings() == outcome.chosen.settings()
    # Short texts are cut alike whatever the size: no index is built twice for nothing.
    assert any("cuts these documents like" in reason for reason in outcome.skipped.values())
    assert len({each.chunking for each in outcome.dev}) == 1
    text = render_report(tuned)
    for part in ("# Tuning", "On unseen questions", "told apart from 0", "baseline", "Not tried", "95 % interval"):
        assert part in text


def test_noise_changes_nothing(own_folder: Path, embedder: HashEmbedding) -> None:
    tuned = tune(load_tuning_sets([noise_set(own_folder / "noise")]), minutes=5, embedder=embedder, trials=30)
    outcome = tuned.retrieval
    assert outcome is not None and outcome.test is not None
    assert outcome.chosen == DEFAULT
    assert not tuned.changed and tuned.settings() == {}
    assert "is kept" in outcome.verdict()
    assert outcome.test.difference["mean"] == 0


def test_luck_alone_seldom_passes() -> None:
    """200 times 30 candidates that are as good as the baseline: about a tenth may pass, by the rule's own level."""
    dice = random.Random(5)
    passed = 0
    for seed in range(200):
        scores = {c: {f"q{q}": dice.random() for q in range(25)} for c in range(30)}
        found = choose(0, scores, distance=lambda left, right: abs(left - right), seed=seed)
        passed += found.changed
    assert passed / 200 < 0.17


def test_the_nearest_of_those_as_good_is_taken() -> None:
    dice = random.Random(2)
    base = {f"q{n}": dice.random() / 2 for n in range(60)}
    near = {key: value + 0.3 + dice.random() / 10 for key, value in base.items()}
    far = {key: value + 0.002 + (dice.random() - 0.5) / 10 for key, value in near.items()}
    assert sum(far.values()) != sum(near.values())
    found = choose(0, {0: base, 1: near, 2: far}, distance=lambda left, right: abs(left - right))
    assert (found.chosen, found.passed) == (1, 2)


def test_few_questions_choose_nothing() -> None:
    found = choose(0, {0: {"a": 0.0}, 1: {"a": 1.0}}, distance=lambda left, right: abs(left - right))
    assert (found.chosen, found.best, found.changed) == (0, 1, False)


# -- time ------------------------------------------------------------------------------------------------------------


class Ticks:
    """A clock that goes on by `step` seconds whenever it is read."""

    def __init__(self, step: float) -> None:
        self.time, self.step = 0.0, step

    def __call__(self) -> float:
        self.time += self.step
        return self.time


def long_set(folder: Path) -> Path:
    """Texts that every chunking cuts another way."""
    words_set(folder, 24)
    rows = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    for row in rows:
        row["text"] += "\n\n" + "\n\n".join(f"Sentence {n} stands here alone. Another one, {n}." for n in range(40))
    write_jsonl(folder / "corpus.jsonl", rows)
    return folder


def test_the_budget_is_kept(own_folder: Path, embedder: HashEmbedding) -> None:
    clock = Ticks(0.05)
    tuned = tune(load_tuning_sets([long_set(own_folder / "long")]), minutes=0.1, embedder=embedder, trials=3, now=clock)
    assert tuned.retrieval is not None
    assert clock.time < 1.1 * 0.1 * 60
    assert any("minutes" in reason or "time was over" in reason for reason in tuned.retrieval.skipped.values())
    assert "Not tried" in render_report(tuned)


def test_too_little_time_says_so_and_keeps_what_was_indexed(
    own_folder: Path, embedder: HashEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ragloom.evals.indexing.WINDOW_CHUNKS", 50)
    sets = load_tuning_sets([long_set(own_folder / "long")])
    with pytest.raises(UsageError, match=r"before the first configuration was measured .*--minutes"):
        tune(sets, minutes=0.02, embedder=embedder, trials=3, now=Ticks(0.3))
    before = embedder.embedded
    assert before > 0
    tune(sets, minutes=9, embedder=embedder, trials=1)
    assert embedder.embedded > before


def test_a_second_run_goes_on_where_the_first_was(own_folder: Path, embedder: HashEmbedding) -> None:
    sets = load_tuning_sets([words_set(own_folder / "words")])
    first = tune(sets, minutes=5, embedder=embedder, trials=8)
    embedded = embedder.embedded
    again = tune(sets, minutes=5, embedder=embedder, trials=8)
    assert embedder.embedded == embedded
    assert first.retrieval is not None and again.retrieval is not None
    strip = lambda told: {name: value for name, value in told.items() if name != "seconds"}  # noqa: E731
    assert strip(first.to_dict()) == strip(again.to_dict())


def test_another_baseline_on_the_same_study(own_folder: Path, embedder: HashEmbedding) -> None:
    sets = load_tuning_sets([words_set(own_folder / "words")])
    tune(sets, minutes=5, embedder=embedder, trials=6)
    odd = Candidate(kind="relative", alpha=0.93)
    outcome = tune(sets, minutes=5, embedder=embedder, trials=6, baseline=odd).retrieval
    assert outcome is not None and outcome.baseline == odd and outcome.chosen != odd
    cut = Candidate(ChunkSettings("tokens", 77), "rank", 0.4)
    outcome = tune(sets, minutes=5, embedder=embedder, trials=6, baseline=cut).retrieval
    assert outcome is not None and outcome.baseline == cut


def test_an_interrupt_gives_the_best_so_far(own_folder: Path, embedder: HashEmbedding) -> None:
    sets = load_tuning_sets([words_set(own_folder / "words")])

    def tell(text: str, done: int, total: int | None) -> None:
        if text.startswith("trying") and done == 6:
            raise KeyboardInterrupt

    tuned = tune(sets, minutes=5, embedder=embedder, trials=20, tell=tell)
    assert tuned.interrupted and tuned.retrieval is not None
    assert len(tuned.retrieval.dev) == 6
    assert tuned.retrieval.test is not None
    assert "best so far" in render_report(tuned)
    assert len(tune(sets, minutes=5, embedder=embedder, trials=20).retrieval.dev) > 5  # type: ignore[union-attr]


def test_a_damaged_study_begins_anew(own_folder: Path, embedder: HashEmbedding, cache: Path) -> None:
    sets = load_tuning_sets([words_set(own_folder / "words", 30)])
    tune(sets, minutes=5, embedder=embedder, trials=3)
    (journal,) = (cache / "tuning").glob("*.journal")
    journal.write_text("nonsense\n" * 5)
    assert tune(sets, minutes=5, embedder=embedder, trials=3).retrieval is not None
    assert journal.with_suffix(".damaged").exists()


# -- answers -----------------------------------------------------------------------------------------------------------


def reply(messages: list[Any]) -> str:
    """Right with the prompt `short` only."""
    text = str(messages[-1].text)
    if "fewest words" not in str(messages[0].text):
        return "I don't know."
    room = text.rsplit("room", 1)[1].rstrip("?")
    return f"The code of room{room} is {1000 + int(room)}."


def test_answers_are_tuned(own_folder: Path, embedder: HashEmbedding) -> None:
    tuned = tune(
        load_tuning_sets([answer_folder(own_folder / "rooms")]),
        minutes=5,
        embedder=embedder,
        trials=3,
        llm=lambda: FakeChatModel(replies=reply),
        llm_name="fake",
    )
    outcome = tuned.answers
    assert outcome is not None and outcome.test is not None
    assert outcome.chosen.prompt == "short"
    assert outcome.chosen.top_k == Reader().top_k  # as good as the others, and no change
    assert outcome.test.difference["low"] > 0.5
    assert tuned.settings() == {"prompt": "short"}
    assert "## Answers" in render_report(tuned)


@pytest.mark.parametrize("best", ["draft", "read", "short"])
def test_what_reads_in_the_models_place_is_tried_beside_it(
    own_folder: Path, embedder: HashEmbedding, best: str
) -> None:
    """Where no prompt is set, a reader reads: a prompt of the chat model's own is then written even if it is `read`."""

    def room(messages: list[Any], prompt: str) -> str:
        number = str(messages[-1].text).rsplit("room", 1)[1].rstrip("?")
        return f"The code of room{number} is {1000 + int(number)}." if prompt == best else "I don't know."

    def model(messages: list[Any]) -> str:
        return room(messages, "short" if "fewest words" in str(messages[0].text) else "read")

    tuned = tune(
        load_tuning_sets([answer_folder(own_folder / "rooms")]),
        minutes=5,
        embedder=embedder,
        trials=3,
        reader=Reader(unset="draft"),
        prompts=(*PROMPTS, DRAFT),
        llm=lambda: FakeChatModel(replies=model),
        reading=lambda: FakeChatModel(replies=lambda messages: f"Answer: {room(messages, 'draft')}"),
    )
    assert tuned.answers is not None
    assert tuned.answers.chosen.asks_by == best
    assert tuned.settings() == ({} if best == "draft" else {"prompt": best})


def test_a_slow_model_is_asked_about_less(own_folder: Path, embedder: HashEmbedding) -> None:
    clock = Ticks(0.0)
    asked: list[int] = []

    def slow(messages: list[Any]) -> str:
        clock.time += 10
        asked.append(1)
        return reply(messages)

    tuned = tune(
        load_tuning_sets([answer_folder(own_folder / "rooms", 60)]),
        minutes=20,
        embedder=embedder,
        trials=1,
        llm=lambda: FakeChatModel(replies=slow),
        now=clock,
    )
    assert tuned.answers is not None
    assert clock.time <= 1.05 * 20 * 60
    assert len(tuned.answers.dev) < 8 and tuned.answers.chosen.prompt == "short"
    assert len(asked) > 60


def test_too_few_answers_choose_nothing(own_folder: Path, embedder: HashEmbedding) -> None:
    tuned = tune(
        load_tuning_sets([answer_folder(own_folder / "rooms", 8)]),
        minutes=5,
        embedder=embedder,
        trials=1,
        llm=lambda: FakeChatModel(replies=reply),
    )
    assert tuned.answers is not None and not tuned.answers.chosen.settings()
    assert "too few to choose by" in tuned.answers.verdict()


def test_a_model_that_fails_is_told(own_folder: Path, embedder: HashEmbedding) -> None:
    tuned = tune(
        load_tuning_sets([answer_folder(own_folder / "rooms")]),
        minutes=5,
        embedder=embedder,
        trials=1,
        llm=lambda: FakeChatModel(mode="error"),
    )
    assert tuned.answers is None and tuned.retrieval is not None
    assert any("the model failed" in each for each in tuned.notes)


def test_right() -> None:
    record: Any = {"failed": None, "answerable": True, "answers": ["nine"], "abstained": False, "answer": "It is nine."}
    assert right(record) == 1.0
    assert right({**record, "answers": ["ten"]}) == 0.0
    assert right({**record, "abstained": True}) == 0.0
    assert right({**record, "answerable": False}) == 0.0
    assert right({**record, "answerable": False, "abstained": True}) == 1.0
    assert right({**record, "failed": "gone"}) == 0.0
    long = "one two three four five six seven eight nine ten eleven"
    assert 0 < right({**record, "answers": [long], "answer": "one two three"}) < 1


# -- settings ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "candidate",
    [
        DEFAULT,
        Candidate(ChunkSettings("sentence", 128, 32), "rank", 0.35),
        Candidate(kind="relative", alpha=0.0),
        Candidate(kind="rank", alpha=1.0),
    ],
)
def test_settings_say_what_the_candidate_is(candidate: Candidate) -> None:
    assert candidate_of(candidate.settings()) == candidate


@pytest.mark.parametrize(
    "settings",
    [{"mode": "best"}, {"mode": "hybrid", "fusion": "sum"}, {"mode": "hybrid", "alpha": 2}, {"chunk_size": 3}],
)
def test_bad_settings_in_use(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        candidate_of(settings)


def test_a_settings_file_keeps_all_else(own_folder: Path) -> None:
    path = own_folder / "ragloom.toml"
    text = '# ours\nkb = "x"  # the handbook\nmode = "bm25"\nalpha = 0.2\n\n# the model\nllm = "bundled:smollm2"\n'
    path.write_text(text)
    chosen = {"chunk_size": 128, "mode": "hybrid", "alpha": 0.4, "fusion": "relative"}
    assert write_settings(path, chosen, scope=TUNED[:6], comment="ndcg@10 +0.1")
    assert tomllib.loads(path.read_text()) == {"kb": "x", "llm": "bundled:smollm2", **chosen}
    for kept in ("# ours", "# the handbook", "# the model", "# tuned: ndcg@10 +0.1"):
        assert kept in path.read_text()
    assert path.with_name("ragloom.toml.bak").read_text() == text
    assert not write_settings(path, chosen, scope=TUNED[:6], comment="again")
    assert write_settings(path, {}, scope=TUNED[:6], comment="")
    assert tomllib.loads(path.read_text()) == {"kb": "x", "llm": "bundled:smollm2"}


# -- the command -------------------------------------------------------------------------------------------------------


def test_command(cli: Cli, own_folder: Path) -> None:
    folder = words_set(own_folder / "words")
    Path("ragloom.toml").write_text("top_k = 7  # ours\n")
    result = cli("tune", folder, "--minutes", 5, "--trials", 12, "--report", "tuning.md", "--json")
    assert result.code == 0, result.err
    told = result.json
    assert told.keys() >= {"sets", "minutes", "seconds", "seed", "changed", "settings", "retrieval", "answers"}
    assert told["retrieval"]["test"]["difference"].keys() == {"mean", "low", "high", "n"}
    assert told["changed"]
    written = tomllib.loads(Path("ragloom.toml").read_text())
    assert written == {"top_k": 7, **told["settings"]}
    assert "unseen questions" in Path("ragloom.toml").read_text()
    assert "# Tuning" in Path("tuning.md").read_text()
    # What was written is now what is in use: there is nothing more to change.
    again = cli("tune", folder, "--minutes", 5, "--trials", 12)
    assert again.code == 0 and "nothing to change" in again.err
    assert "in use" in again.out and "is kept" in again.out
    assert tomllib.loads(Path("ragloom.toml").read_text()) == written


def test_command_on_answers(cli: Cli, own_folder: Path) -> None:
    cli.llm = FakeChatModel(replies=reply)  # type: ignore[attr-defined]
    folder = answer_folder(own_folder / "rooms")
    assert cli("tune", folder, "--no-answers", "--trials", 2, "--json").json["answers"] is None
    told = cli("tune", folder, "--trials", 2, "--json", "--out", "other.toml").json
    assert told["answers"]["changed"] and told["llm"] == "bundled:smollm2"
    assert tomllib.loads(Path("other.toml").read_text())["prompt"] == "short"


def bad_sets(folder: Path) -> Iterator[tuple[list[Path], str]]:
    (folder / "empty").mkdir()
    yield [folder / "nowhere"], "there is no folder"
    yield [folder / "empty"], "neither queries.jsonl nor questions.jsonl"
    write_jsonl(folder / "bare" / "questions.jsonl", [{"id": "1", "question": "Why?", "answers": ["so"]}])
    yield [folder / "bare"], "no passages to search"
    write_jsonl(folder / "loose" / "questions.jsonl", [{"id": "1", "question": "Why?", "answers": ["so"]}])
    write_jsonl(folder / "loose" / "passages.jsonl", [{"id": "p", "text": "So."}])
    yield [folder / "loose"], "no question names its passage"
    (folder / "a").mkdir()
    yield [words_set(folder / "x"), words_set(folder / "a" / "x")], "two sets are called 'x'"
    words_set(folder / "broken")
    (folder / "broken" / "qrels.jsonl").write_text("nonsense\n")
    yield [folder / "broken"], "no judged queries"


def test_bad_sets(cli: Cli, own_folder: Path) -> None:
    for folders, message in bad_sets(own_folder):
        result = cli("tune", *folders)
        assert (result.code, message in result.err, "Traceback" in result.err) == (2, True, False), result.err
    folder = words_set(own_folder / "words")
    assert "unknown metric" in cli("tune", folder, "--metric", "map").err
    Path("ragloom.toml").write_text("mode = [")
    assert "not valid TOML" in cli("tune", folder).err
