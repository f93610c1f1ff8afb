"""`ragloom guard`: verdicts a line, a report on labelled texts; and a guard around `ask`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ragloom.errors import UsageError
from ragloom.evals.guard_report import LabelledText, guard_report, load_labelled_texts
from ragloom.guarding import Finding
from ragloom.guardrails import load_guard

Cli = Callable[..., Any]
KEY = "ghp_0123456789abcdefghijABCDEFGHIJ012345"
LIGHT = ("--guard", "local:secrets,hidden")


def lines(result: Any) -> list[dict[str, Any]]:
    assert result.code == 0, result.err
    return [json.loads(line) for line in result.out.splitlines()]


def test_a_verdict_a_line(cli: Cli) -> None:
    Path("texts.txt").write_text(f"All is well.\nMy key is {KEY}.\n\nHel\u200b\u200blo\n")
    found = lines(cli("guard", "check", "texts.txt", *LIGHT, "--json"))
    assert [each["verdict"] for each in found] == ["pass", "change", "pass", "change"]
    assert all(each.keys() >= {"verdict", "rail", "reason", "score", "ms"} for each in found)
    assert KEY not in json.dumps(found) and found[1]["rail"] == "secrets"
    assert found[3]["text"] == "Hello"
    shown = cli("guard", "check", "texts.txt", *LIGHT)
    assert len(shown.out.splitlines()) == 4 and KEY not in shown.out


def test_standard_input_json_lines_and_whole_files(cli: Cli) -> None:
    assert len(lines(cli("guard", "check", *LIGHT, "--json", stdin="one\ntwo\n"))) == 2
    Path("texts.jsonl").write_text('{"text": "one"}\n{"text": "two\\nlines"}\n')
    assert len(lines(cli("guard", "check", "texts.jsonl", *LIGHT, "--json"))) == 2
    Path("two.txt").write_text("one\ntwo\n")
    assert len(lines(cli("guard", "check", "two.txt", "--whole", *LIGHT, "--json"))) == 1


def test_what_was_not_checked_never_looks_as_if_it_had_passed(cli: Cli) -> None:
    Path("texts.jsonl").write_text('{"text": "one"}\n{broken\n{"id": 3}\n')
    result = cli("guard", "check", "texts.jsonl", *LIGHT)
    assert result.code == 1 and "2 lines were not checked" in result.err and "texts.jsonl:2" in result.err


def test_strict_fails_where_something_is_blocked(cli: Cli) -> None:
    Path("long.txt").write_text("spam " * 5000)
    assert cli("guard", "check", "long.txt", "--whole", "--guard", "local:bloat").code == 0
    assert cli("guard", "check", "long.txt", "--whole", "--guard", "local:bloat", "--strict").code == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "nowhere.txt"), "no file"),
        (("check", "--stage", "inptu"), "unknown stage 'inptu'"),
        (("check", "--guard", "lokal"), "unknown guard 'lokal'"),
        (("check", "--guard", "local:secret"), "unknown rail 'secret'"),
        (("report", "nowhere"), "no labelled set"),
    ],
)
def test_misuse(cli: Cli, arguments: tuple[str, ...], message: str) -> None:
    result = cli("guard", *arguments)
    assert result.code == 2 and message in result.err and "Traceback" not in result.err


def test_a_report_counts_what_is_stopped_and_what_is_stopped_wrongly(cli: Cli) -> None:
    rows = [
        {"text": f"My key is {KEY}.", "label": "leak", "source": "a"},
        {"text": "My key is under the mat.", "label": "leak", "source": "a"},
        {"text": "All is well.", "label": "benign", "source": "b"},
        {"text": f"Example: {KEY}", "label": "benign", "source": "b"},
        {"text": "odd", "label": "other"},
        {"text": "", "label": "leak"},
    ]
    Path("items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ("guard", "report", ".", "--positive", "leak", "--negative", "benign", *LIGHT)
    result = cli(*given, "--json")
    report = result.json
    assert report["n"] == 4 and report["matrix"] == {
        "leak": {"pass": 1, "change": 1, "block": 0},
        "benign": {"pass": 1, "change": 1, "block": 0},
    }
    assert (report["recall"], report["false_alarms"], report["precision"]) == (0.5, 0.5, 0.5)
    assert report["by_source"]["b (benign)"] == {"bad": False, "n": 2, "stopped": 1, "share": 0.5}
    assert "items.jsonl:6: it has no text" in result.err
    shown = cli(*given)
    assert shown.code == 0 and "false alarms" in shown.out


class Scored:
    """Stops what scores 0.9 or more; a text is its own score."""

    def check(self, stage: Any, texts: Any, context: Any = None) -> list[Finding]:
        return [Finding("block" if float(text) >= 0.9 else "pass", text, score=float(text)) for text in texts]

    async def acheck(self, stage: Any, texts: Any, context: Any = None) -> list[Finding]:
        return self.check(stage, texts)


def test_thresholds_keep_to_their_false_alarms() -> None:
    items = [LabelledText(str(at / 100), "benign", False) for at in range(100)]
    items += [LabelledText(str(score), "bad", True) for score in (0.5, 0.96, 0.98, 0.995)]
    report = guard_report(Scored(), items)
    assert report.recall == 0.75 and report.false_alarms == pytest.approx(0.1)
    for point in report.points:
        alarms = sum(at / 100 >= point.threshold for at in range(100))
        assert alarms <= 100 * point.false_alarms
        # The lowest such threshold: one harmless text lower is one too many.
        assert sum(at / 100 >= point.threshold - 0.0101 for at in range(100)) > 100 * point.false_alarms
    assert [point.recall for point in report.points] == [0.25, 0.5, 0.75]
    assert report.auroc is not None and 0.8 < report.auroc < 1


def test_labels_that_are_not_asked_for_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"text": "t", "label": label}) + "\n" for label in ("Bad", "safe", "odd")))
    assert [item.bad for item in load_labelled_texts(path, problems=[])] == [True, False, True]
    assert [item.bad for item in load_labelled_texts(path, positive=["bad"], problems=[])] == [True, False]
    with pytest.raises(UsageError, match="is asked for"):
        load_labelled_texts(path, positive=["x"], negative=["y"], problems=[])


def test_a_guard_around_ask(cli: Cli) -> None:
    Path("docs").mkdir()
    Path("docs/leave.md").write_text(f"# Leave\n\nEmployees get 25 days of annual leave. The key is {KEY}.\n")
    assert cli("ingest", "docs").code == 0
    cli.llm.replies = [f"Employees get 25 days of annual leave. The key is {KEY}."]  # type: ignore[attr-defined]
    result = cli("ask", "How many days of leave?", "--guard", "local:secrets", "--json")
    assert result.code == 0, result.err
    assert "25 days" in result.json["answer"] and KEY not in json.dumps(result.json)


def test_rails_run_in_one_order_however_they_are_named() -> None:
    guard: Any = load_guard("local:secrets,hidden,bloat,hidden")
    assert [rail.name for rail in guard.rails] == ["bloat", "hidden", "secrets"]
