"""Judges: real metrics of ragas and DeepEval where they are installed, and what holds without them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from ragloom.errors import MissingExtraError, ModelError, UsageError
from ragloom.evals.judges import Judge, known_metrics, load_judge
from ragloom.evals.judges.library_judge import Case, LibraryJudge
from ragloom.evals.judges.replies import Ask, read_reply
from ragloom.testing import FakeChatModel, HashEmbedding

needs_ragas = pytest.mark.skipif(not importlib.util.find_spec("ragas"), reason="the extra 'ragas' is not installed")
needs_deepeval = pytest.mark.skipif(
    not importlib.util.find_spec("deepeval"), reason="the extra 'deepeval' is not installed"
)
each_library = pytest.mark.parametrize(
    "library", [pytest.param("ragas", marks=needs_ragas), pytest.param("deepeval", marks=needs_deepeval)]
)


def record(**changed: Any) -> Any:
    texts = ["Staff get 25 days of leave.", "The canteen opens at noon."]
    return {
        "set": "s",
        "strategy": "naive",
        "id": "q1",
        "question": "How many days of leave do staff get?",
        "answers": ["Staff get 25 days of leave.", "25"],
        "gold": ["c0"],
        "answerable": True,
        "answer": "Staff get 25 days. They are paid.",
        "abstained": False,
        "citations": [],
        "documents": [
            {"id": f"c{n}", "source": "h.md", "page": 1, "title": "Handbook", "score": 1.0, "text": text}
            for n, text in enumerate(texts)
        ],
        "steps": [],
        "calls": 1,
        "tokens_in": 1,
        "tokens_out": 1,
        "metrics": {},
        "failed": None,
        **changed,
    }


def says(*replies: Any) -> FakeChatModel:
    return FakeChatModel(replies=[r if isinstance(r, str | Exception) else json.dumps(r) for r in replies])


# -- without any library -----------------------------------------------------------------------------------------------


class Fixed(LibraryJudge):
    """A library whose metrics do what a test wants."""

    library = "fixed"
    needs: ClassVar[Any] = {
        "answer": frozenset({"answer"}),
        "passages": frozenset({"passages"}),
        "reference": frozenset({"reference"}),
        "nothing": frozenset(),
    }

    def __init__(self, score: Callable[[Case, Ask], Any], *, llm: Any = None, timeout: float = 5) -> None:
        super().__init__(tuple(self.needs), llm or says("ok"), timeout=timeout)
        self.does = score

    def _score(self, metric: str, case: Case, ask: Ask) -> float:
        return self.does(case, ask)


class Verdict(BaseModel):
    verdict: int


class Verdicts(BaseModel):
    verdicts: list[int]


def scored(judge: Judge, **changed: Any) -> dict[str, float | None]:
    """The scores by bare name; every one that is missing has a reason, and the others have none."""
    scores = judge.judge(record(**changed))
    assert tuple(scores) == judge.names
    assert set(scores.reasons) == {name for name, score in scores.items() if score is None}
    assert all("\n" not in reason and reason.strip() for reason in scores.reasons.values())
    json.dumps(scores, allow_nan=False)
    return {name.partition(":")[2]: score for name, score in scores.items()}


def test_a_judge_sees_the_record() -> None:
    seen: list[Case] = []
    judge = Fixed(lambda case, ask: seen.append(case) or 0.5)
    assert scored(judge) == dict.fromkeys(Fixed.needs, 0.5)
    assert seen[0].reference == "Staff get 25 days of leave."
    assert seen[0].passages[1] == "Handbook\nThe canteen opens at noon."


@pytest.mark.parametrize(
    ("changed", "unscored", "reason"),
    [
        ({"abstained": True}, {"answer"}, "not answered"),
        ({"answer": "  "}, {"answer"}, "not answered"),
        ({"documents": []}, {"passages"}, "no passages"),
        ({"answers": []}, {"reference"}, "no right answer"),
        ({"failed": "ModelError: gone"}, set(Fixed.needs), "gone"),
        ({"question": ""}, set(Fixed.needs), "no question"),
    ],
)
def test_no_score_where_the_record_does_not_allow_one(changed: Any, unscored: set[str], reason: str) -> None:
    judge = Fixed(lambda case, ask: 1.0)
    scores = scored(judge, **changed)
    assert {name for name, score in scores.items() if score is None} == unscored
    assert all(reason in told for told in judge.judge(record(**changed)).reasons.values())


def test_a_damaged_record_gives_no_score() -> None:
    assert set(Fixed(lambda case, ask: 1.0).judge({"id": "q1"}).values()) == {None}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1, 7, None, "often"])
def test_what_is_no_share_is_no_score(value: Any) -> None:
    assert set(scored(Fixed(lambda case, ask: value)).values()) == {None}


@pytest.mark.parametrize(("value", "score"), [(1 + 1e-9, 1.0), (-1e-9, 0.0), (True, 1.0), (0, 0.0)])
def test_scores_are_within_0_and_1(value: Any, score: float) -> None:
    assert set(scored(Fixed(lambda case, ask: value)).values()) == {score}


@pytest.mark.parametrize("error", [ValueError("a\nb"), KeyError("verdict"), TimeoutError(), ConnectionError("refused")])
def test_an_exception_is_no_score(error: Exception) -> None:
    def fail(case: Case, ask: Ask) -> float:
        raise error

    assert set(scored(Fixed(fail)).values()) == {None}


def test_a_slow_judge_is_no_score_and_is_asked_nothing_more() -> None:
    llm = FakeChatModel(replies=['{"verdict": 1}'], mode="slow", delay=0.2)  # two words

    def ask_twice(case: Case, ask: Ask) -> float:
        return sum(ask("?", Verdict).verdict for _ in range(2)) / 2

    judge = Fixed(ask_twice, llm=llm, timeout=0.1)
    began = time.monotonic()
    scores = judge.judge(record())
    assert time.monotonic() - began < 30
    assert set(scores.reasons.values()) == {"no score within 0.1 s"}
    time.sleep(1)
    assert len(llm.calls) == len(judge.names)  # one each: none went on to its second question


async def test_it_runs_inside_an_event_loop() -> None:
    import asyncio

    async def one() -> float:
        return 0.5

    assert set(scored(Fixed(lambda case, ask: asyncio.run(one()))).values()) == {0.5}


@pytest.mark.parametrize(
    "text",
    [
        '{"verdict": 1}',
        'Sure!\n```json\n{"verdict": 1}\n```',
        '<think>{so} {"a": 1}</think>{"verdict": 1}',
        '{"verdict": 1}\n\nExample 2\nOutput: {"verdict": 0}',
        '{"reason": "raw\nline break {", "verdict": 1}',
    ],
)
def test_the_json_is_found(text: str) -> None:
    assert read_reply(text, Verdict).verdict == 1


@pytest.mark.parametrize(
    "text", ["", "1", "{", "[1]", '{"verdict": "perhaps"}', '{"verdict": NaN}', "{" * 5000, "yes."]
)
def test_what_is_no_json_is_said(text: str) -> None:
    with pytest.raises(ModelError, match="did not answer in the JSON"):
        read_reply(text, Verdict)


def test_a_judge_that_names_nothing_is_no_judge() -> None:
    with pytest.raises(ModelError, match="named nothing"):
        Ask(says({"verdicts": []}), 5)("?", Verdicts)


def test_a_reply_that_was_cut_off_is_said() -> None:
    llm = FakeChatModel(replies=['{"verdicts": [1, 0, 1, 1, 0]}'], max_tokens=3)
    with pytest.raises(ModelError, match="max_tokens"):
        Ask(llm, 5)("?", Verdicts)


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("trulens:faithfulness", "ragas:faithfulness,"),
        ("faithfulness", "deepeval:faithfulness,"),
        ("", "unknown judge"),
        ("ragas", "names no metric"),
        ("ragas: ,", "names no metric"),
        ("ragas:faithfulness,truth", "unknown metric 'truth'.*factual_correctness"),
        ("deepeval:context_recall", "unknown metric 'context_recall'.*contextual_recall"),
        ("ragas:answer_relevancy", "needs an embedder"),
    ],
)
def test_wrong_names_are_told_the_right_ones(spec: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as caught:
        load_judge(spec, says("ok"))
    assert not isinstance(caught.value, MissingExtraError)


def test_a_timeout_is_positive() -> None:
    with pytest.raises(UsageError, match="timeout"):
        load_judge("ragas:faithfulness", says("ok"), timeout=0)


@pytest.mark.parametrize("library", ["ragas", "deepeval"])
def test_a_missing_library_names_its_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'ragloom\[{library}\]'"):
        load_judge(f"{library}:faithfulness", says("ok"))


@pytest.mark.parametrize("library", ["ragas", "deepeval"])
def test_a_broken_library_is_said(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As ragas 0.4.3 is beside langchain-community 0.4.2.
    (tmp_path / library).mkdir()
    (tmp_path / library / "__init__.py").write_text("import langchain_community_gone")
    monkeypatch.delitem(sys.modules, library, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="does not work: ModuleNotFoundError"):
        load_judge(f"{library}:faithfulness", says("ok"))


def test_importing_the_judges_imports_no_library() -> None:
    code = (
        "import sys, ragloom.evals.judges as j; j.known_metrics(); j.Judge;"
        "assert not {'ragas', 'deepeval', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- ragas -------------------------------------------------------------------------------------------------------------

STATEMENTS = {"statements": ["Staff get 25 days.", "The days are paid."]}
CLAIMS = {"claims": ["Staff get 25 days.", "The days are paid."]}


def nli(*verdicts: int) -> dict[str, Any]:
    return {"statements": [{"statement": "s", "reason": "r", "verdict": verdict} for verdict in verdicts]}


def recalled(*flags: int) -> dict[str, Any]:
    return {"classifications": [{"statement": "s", "reason": "r", "attributed": flag} for flag in flags]}


def question(text: str, noncommittal: int = 0) -> dict[str, Any]:
    return {"question": text, "noncommittal": noncommittal}


def useful(verdict: int) -> dict[str, Any]:
    return {"reason": "r", "verdict": verdict}


def classified(tp: int, fp: int, fn: int) -> dict[str, Any]:
    some = {"statement": "s", "reason": "r"}
    return {"TP": [some] * tp, "FP": [some] * fp, "FN": [some] * fn}


ASKED = "How many days of leave do staff get?"
RAGAS: dict[str, tuple[list[Any], float]] = {
    "faithfulness": ([STATEMENTS, nli(1, 0)], 0.5),
    "answer_relevancy": ([question(ASKED)], 1.0),
    "context_precision": ([useful(0), useful(1)], 0.5),
    "context_recall": ([recalled(1, 1, 1, 0)], 0.75),
    "factual_correctness": ([CLAIMS, nli(1, 0), CLAIMS, nli(1, 1)], 0.67),
    "answer_correctness": ([STATEMENTS, STATEMENTS, classified(1, 1, 0)], 0.75 * 2 / 3 + 0.25),
}


@needs_ragas
@pytest.mark.parametrize("metric", RAGAS)
def test_ragas_scores(metric: str) -> None:
    replies, expected = RAGAS[metric]
    llm = says(*replies)
    judge = load_judge(f"ragas:{metric}", llm, HashEmbedding())
    # With the answer equal to the right one the similarity in answer_correctness is 1.
    changed = {"answer": record()["answers"][0]} if metric == "answer_correctness" else {}
    assert scored(judge, **changed) == {metric: pytest.approx(expected, abs=1e-6)}
    assert judge.names == (f"ragas:{metric}",)
    assert "25 days" in llm.prompts()[0]
    assert len(llm.calls) == (3 if metric == "answer_relevancy" else len(replies))


@needs_ragas
def test_ragas_covers_its_list() -> None:
    assert tuple(RAGAS) == known_metrics()["ragas"]


@needs_ragas
@pytest.mark.parametrize(
    ("metric", "replies", "reason"),
    [
        ("faithfulness", [{"statements": []}], "named nothing"),
        ("faithfulness", [STATEMENTS, nli(1)], "1 verdicts on 2 statements"),
        ("faithfulness", [STATEMENTS, nli(1, 7)], "verdict 7"),
        ("answer_relevancy", [question("")], "no question"),
        ("answer_correctness", [{"statements": []}], "named nothing"),
        ("answer_correctness", [STATEMENTS, STATEMENTS, classified(0, 0, 0)], "named nothing"),
        ("factual_correctness", [{"claims": []}], "named nothing"),
        ("context_precision", [useful(1), "the second one is not useful"], "JSON"),
        ("context_recall", [recalled(1, -1)], "attributed -1"),
    ],
)
def test_ragas_gets_no_number_out_of_nothing(metric: str, replies: list[Any], reason: str) -> None:
    judge = load_judge(f"ragas:{metric}", says(*replies), HashEmbedding())
    scores = judge.judge(record())
    assert scores[f"ragas:{metric}"] is None
    assert reason in scores.reasons[f"ragas:{metric}"]


@needs_ragas
def test_an_evasive_answer_and_an_opposite_one_score_0() -> None:
    llm = says(question(ASKED, noncommittal=1))
    assert scored(load_judge("ragas:answer_relevancy", llm, HashEmbedding())) == {"answer_relevancy": 0.0}


# -- DeepEval ----------------------------------------------------------------------------------------------------------


def verdicts(*each: str) -> dict[str, Any]:
    return {"verdicts": [{"verdict": verdict, "reason": "r", "statement": "s"} for verdict in each]}


DEEPEVAL: dict[str, tuple[list[Any], float]] = {
    "faithfulness": ([{"truths": ["25 days"]}, CLAIMS, verdicts("yes", "no")], 0.5),
    "answer_relevancy": ([STATEMENTS, verdicts("Yes.", "borderline")], 1.0),
    "contextual_precision": ([verdicts("no", "yes")], 0.5),
    "contextual_recall": ([verdicts("yes", "yes", "yes", "no")], 0.75),
    "contextual_relevancy": ([verdicts("yes", "no"), verdicts("no", "no")], 0.25),
}


@needs_deepeval
@pytest.mark.parametrize("metric", DEEPEVAL)
def test_deepeval_scores(metric: str) -> None:
    replies, expected = DEEPEVAL[metric]
    llm = says(*replies)
    judge = load_judge(f"deepeval:{metric}", llm)
    assert scored(judge) == {metric: pytest.approx(expected)}
    assert judge.names == (f"deepeval:{metric}",)
    assert "25 days" in llm.prompts()[0]
    assert len(llm.calls) == len(replies)


@needs_deepeval
def test_deepeval_covers_its_list() -> None:
    assert tuple(DEEPEVAL) == known_metrics()["deepeval"]


@needs_deepeval
@pytest.mark.parametrize(
    ("metric", "replies", "reason"),
    [
        ("faithfulness", [{"truths": ["25 days"]}, {"claims": []}], "named nothing"),
        ("faithfulness", [{"truths": []}], "named nothing"),
        ("faithfulness", [{"truths": ["25 days"]}, CLAIMS, verdicts("yes")], "1 verdicts on 2"),
        ("faithfulness", [{"truths": ["25 days"]}, CLAIMS, verdicts("yes", "perhaps")], "JSON"),
        ("answer_relevancy", [{"statements": []}], "named nothing"),
        ("answer_relevancy", [STATEMENTS, {}], "JSON"),
        ("contextual_precision", [verdicts("yes")], "1 verdicts on 2"),
        ("contextual_recall", [verdicts()], "named nothing"),
        ("contextual_relevancy", [verdicts("yes"), verdicts()], "named nothing"),
    ],
)
def test_deepeval_gets_no_number_out_of_nothing(metric: str, replies: list[Any], reason: str) -> None:
    scores = load_judge(f"deepeval:{metric}", says(*replies)).judge(record())
    assert scores[f"deepeval:{metric}"] is None
    assert reason in scores.reasons[f"deepeval:{metric}"]


@needs_deepeval
def test_a_model_that_raises_a_type_error_is_asked_once() -> None:
    llm = says(TypeError("unexpected keyword"))
    assert scored(load_judge("deepeval:answer_relevancy", llm)) == {"answer_relevancy": None}
    assert len(llm.calls) == 1


@needs_deepeval
def test_an_eval_mode_of_the_environment_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPEVAL_EVAL_MODE", "system_one")
    assert scored(load_judge("deepeval:contextual_recall", says(verdicts("yes")))) == {"contextual_recall": 1.0}


# -- both --------------------------------------------------------------------------------------------------------------


def all_of(library: str, llm: Any, **options: Any) -> Judge:
    return load_judge(f"{library}:{','.join(known_metrics()[library])}", llm, HashEmbedding(), **options)


@each_library
@pytest.mark.parametrize("mode", ["empty", "malformed_json", "error", "repeat", "garbage"])
def test_a_failing_or_babbling_judge_gives_no_score(library: str, mode: Any) -> None:
    llm = FakeChatModel(replies=["Well, {it} depends on {many: things}."], mode=mode)
    assert set(scored(all_of(library, llm)).values()) == {None}


@each_library
def test_a_hanging_judge_gives_no_score(library: str) -> None:
    llm = FakeChatModel(replies=["one two three four"], mode="slow", delay=0.2)
    began = time.monotonic()
    assert set(scored(all_of(library, llm, timeout=0.1)).values()) == {None}
    assert time.monotonic() - began < 60


@each_library
def test_records_without_an_answer(library: str) -> None:
    llm = says("no")
    assert set(scored(all_of(library, llm), failed="ModelError: gone").values()) == {None}
    assert set(scored(all_of(library, llm), abstained=True, answer="", documents=[]).values()) == {None}
    assert llm.calls == []  # nothing is spent on what cannot be judged


@each_library
def test_one_judge_in_many_threads(library: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    metric, replies = {
        "ragas": ("context_recall", recalled(1, 0)),
        "deepeval": ("contextual_recall", verdicts("yes", "no")),
    }[library]
    judge = load_judge(f"{library}:{metric}", says(replies))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scored(judge), range(12)))
    assert found == [{metric: 0.5}] * 12


QUIET = """
import atexit, json, os, socket, sys

tried = []

def refuse(name):
    def call(*arguments, **options):
        tried.append(f"{name} {arguments[-1] if name == 'connect' else arguments[0]}")
        raise OSError("no network in this test")
    return call

def tell():
    with open(sys.argv[2], "w") as file:
        json.dump(tried, file)

atexit.register(tell)  # registered first, so it runs last: after the libraries' own goodbyes
socket.socket.connect = refuse("connect")
socket.socket.connect_ex = refuse("connect")
socket.getaddrinfo = refuse("look up")

from ragloom.evals.judges import load_judge
from ragloom.testing import FakeChatModel

told = json.load(sys.stdin)
library = sys.argv[1]
judge = load_judge(f"{library}:{told['metric']}", FakeChatModel(replies=told["replies"]))
scores = judge.judge(told["record"])
assert list(scores.values()) == [0.5], (scores, scores.reasons)

# What they would report themselves, at the moment of their choice.
if library == "ragas":
    from ragas._analytics import EvaluationEvent, IsCompleteEvent, _analytics_batcher, track
    track(IsCompleteEvent(event_type="evaluate"))
    _analytics_batcher.add_evaluation(
        EvaluationEvent(metrics=["faithfulness"], num_rows=1, evaluation_type="SINGLE_TURN", language="english")
    )
else:
    from deepeval import telemetry
    telemetry.record_metric("Faithfulness", async_mode=False, in_component=False, model=None)
    assert telemetry.telemetry_opt_out()
"""


@each_library
def test_nothing_is_sent_home(library: str, tmp_path: Path) -> None:
    replies = {"ragas": [STATEMENTS, nli(1, 0)], "deepeval": DEEPEVAL["faithfulness"][0]}[library]
    told = {"metric": "faithfulness", "replies": [json.dumps(reply) for reply in replies], "record": record()}
    home, folder, found = tmp_path / "home", tmp_path / "folder", tmp_path / "tried.json"
    home.mkdir()
    folder.mkdir()
    (folder / ".env").write_text("OPENAI_API_KEY=secret\nDEEPEVAL_TELEMETRY_OPT_OUT=0\n")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAGAS", "DEEPEVAL", "CONFIDENT", "XDG_", "HTTP", "http"))
    }
    ran = subprocess.run(
        [sys.executable, "-c", QUIET, library, str(found)],
        input=json.dumps(told),
        env={**kept, "HOME": str(home)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert json.loads(found.read_text()) == []
    assert [path.name for path in folder.iterdir()] == [".env"]
