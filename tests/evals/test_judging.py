"""A pass of a judge: for whom a score holds, what is asked again, what a kill or a second pass does."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from ragloom.errors import ModelError, StoreError
from ragloom.evals.judges import Scores
from ragloom.evals.judges.library_judge import LibraryJudge
from ragloom.evals.judging import judge_run


def record(key: str, answer: str = "25 days.") -> dict[str, Any]:
    document = {"id": "p", "source": "p", "page": 1, "title": "Leave", "score": 1.0, "text": "25 days."}
    told = {"set": "s", "strategy": "naive", "id": key, "question": "How many?", "answers": ["25"], "answer": answer}
    return {**told, "abstained": False, "failed": None, "citations": [], "documents": [document], "metrics": {}}


@pytest.fixture
def write_run(tmp_path: Path) -> Callable[..., Path]:
    def write(*records: dict[str, Any]) -> Path:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        (folder / "run.json").write_text("{}")
        (folder / "summary.json").write_text("[]")
        for name in ("records.jsonl", "timings.jsonl"):
            (folder / name).write_text("".join(json.dumps(each) + "\n" for each in records))
        return folder

    return write


class Counts:
    """A judge that gives what it is told, and notes whom it was asked about."""

    names: tuple[str, ...] = ("our:metric",)

    def __init__(self, score: float | None = 1.0, reason: str = "") -> None:
        self.score = score
        self.reason = reason
        self.asked: list[str] = []

    def judge(self, record: Any) -> Scores:
        self.asked.append(record["id"])
        reasons = {name: self.reason for name in self.names if self.reason}
        return Scores(dict.fromkeys(self.names, self.score), reasons)


def test_a_score_holds_for_one_judge_and_one_answer(write_run: Callable[..., Path]) -> None:
    folder = write_run(record("a"), record("b"))
    judge = Counts()
    judge_run(folder, [judge], judge_name="big")
    judge_run(folder, [judge], judge_name="big")
    assert judge.asked == ["a", "b"]
    write_run(record("a"), record("b", answer="30 days."))
    judge_run(folder, [judge], judge_name="big")
    assert judge.asked == ["a", "b", "b"], "the answer is another one"
    (row,) = judge_run(folder, [Counts(0.0)], judge_name="small")
    assert row["mean"] == 0.0, "what another judge said does not count"
    (row,) = judge_run(folder, [judge], judge_name="big")
    assert (row["mean"], len(judge.asked)) == (1.0, 3), "and is not forgotten"


class Raises(LibraryJudge):
    library = "our"
    needs = {"metric": frozenset()}  # noqa: RUF012

    def __init__(self, error: Exception | None, *, seconds: float = 10) -> None:
        super().__init__(["metric"], None, timeout=seconds)  # type: ignore[arg-type]
        self.error = error
        self.asked = 0

    def _score(self, metric: str, case: Any, ask: Any) -> float:
        import time

        self.asked += 1
        if self.error is None:
            time.sleep(0.2)
            return 1.0
        raise self.error


class RateLimitError(Exception):
    """As clients call it."""


@pytest.mark.parametrize(
    "error", [ConnectionError("refused"), TimeoutError(), RateLimitError("slow down"), OSError("gone"), None]
)
def test_what_failed_in_asking_is_asked_again(write_run: Callable[..., Path], error: Exception | None) -> None:
    folder = write_run(record("a"))
    judge = Raises(error, seconds=10 if error else 0.05)
    assert judge_run(folder, [judge])[0]["without"] == 1
    judge_run(folder, [judge])
    assert judge.asked == 2
    again = Counts(0.5)
    assert judge_run(folder, [again])[0]["mean"] == 0.5
    judge_run(folder, [again])
    assert again.asked == ["a"]
    last = json.loads((folder / "judged.jsonl").read_text().splitlines()[-1])
    assert (last["scores"], last["reasons"]) == ({"our:metric": 0.5}, {})


def test_what_the_judge_made_of_it_is_final(write_run: Callable[..., Path]) -> None:
    failed = {**record("b"), "failed": "the model server cannot be reached"}
    folder = write_run(record("a"), failed)
    judge = Raises(ModelError("the judge named nothing: ''"))
    for _ in range(2):
        assert judge_run(folder, [judge])[0]["without"] == 2
    assert judge.asked == 1
    assert len((folder / "judged.jsonl").read_text().splitlines()) == 2


def test_a_score_is_not_lost_beside_one_that_is_missing(write_run: Callable[..., Path]) -> None:
    class Second(Counts):
        names = ("our:metric", "our:other")

    folder = write_run(record("a"))
    judge_run(folder, [Counts(1.0)])
    rows = judge_run(folder, [Second(0.0)])
    assert [row["mean"] for row in rows] == [1.0, 0.0]


def test_a_torn_line_and_lines_of_another_kind(write_run: Callable[..., Path]) -> None:
    folder = write_run(record("a"), record("b"))
    judge_run(folder, [Counts()])
    path = folder / "judged.jsonl"
    first, second = path.read_text().splitlines(keepends=True)
    old = '{"set": "s", "strategy": "naive", "id": "b", "scores": {"our:metric": 1.0}, "reasons": {}}\n'
    odd = '{"scores": {}}\n[1]\n' + first.replace("1.0", '"much"')
    path.write_text(odd + old + first + second[:30])
    judge = Counts(0.0)
    (row,) = judge_run(folder, [judge])
    assert (judge.asked, row["mean"]) == (["b"], 0.5)
    assert all(json.loads(line) for line in path.read_text().splitlines()), "the next line is not glued to a torn one"


def test_two_passes_at_once_are_refused(write_run: Callable[..., Path]) -> None:
    folder = write_run(record("a"))
    with FileLock(folder / ".judging.lock"), pytest.raises(StoreError, match="another process judges"):
        judge_run(folder, [Counts()])
