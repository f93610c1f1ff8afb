"""Rails in a row: order, batches, spans, and every way in which a rail or the audit log can fail."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from guard_kit import DoingRail, HangingRail, WordRail, both
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.errors import StoreError, UsageError
from ragloom.guarding import Finding, Stage
from ragloom.guardrails import RailsGuard, default_guard
from ragloom.guardrails.guard import MOST_HUNG


class Log:
    """An audit log in memory, which may be full or hang."""

    def __init__(self, *, full: bool = False) -> None:
        self.full = full
        self.lines: list[tuple[str, Finding, str, Any]] = []

    def record(self, stage: Stage, finding: Finding, text: str, context: Mapping[str, Any]) -> None:
        if self.full:
            raise StoreError("no room for 'a secret text'")
        self.lines.append((stage, finding, text, context))


def test_a_blocked_text_goes_no_further_and_a_changed_one_goes_on_changed() -> None:
    first, second, third = WordRail("bad", name="one"), WordRail("a", "b", name="two"), WordRail("b", name="three")
    found = both(RailsGuard([first, second, third]), "input", ["bad", "fine", "a", ""])
    assert [each.verdict for each in found] == ["block", "pass", "block", "pass"]
    assert [each.rail for each in found] == ["one", "", "three", ""]
    assert [each.text for each in found] == ["bad", "fine", "a", ""]  # of a blocked text what it was
    assert first.asked[0][1] == ["bad", "fine", "a", ""]  # one call for all
    assert second.asked[0][1] == ["fine", "a", ""] and third.asked[0][1] == ["fine", "b", ""]
    assert len(first.asked) == len(second.asked) == len(third.asked) == 2  # by both doors


def test_of_several_changes_all_are_named_and_spans_are_those_of_the_text_as_given() -> None:
    guard = RailsGuard(
        [WordRail("cat", "tiger", name="one", score=0.5), WordRail("dog", "wolf", name="two", score=0.7)]
    )
    (found,) = both(guard, "output", ["cat dog"])
    assert found == Finding("change", "tiger wolf", "one, two", "a word of 3; a word of 3", None, ((0, 3),))
    (found,) = both(guard, "output", ["a dog"])
    assert found == Finding("change", "a wolf", "two", "a word of 3", 0.7, ((2, 5),))


def test_a_span_of_a_changed_text_is_not_told() -> None:
    (found,) = both(RailsGuard([WordRail("x", "", name="one"), WordRail("bad", name="two")]), "input", ["xx bad"])
    assert (found.verdict, found.rail, found.spans) == ("block", "two", ())


def test_metadata_is_cut_as_the_texts_are_and_other_context_is_told_whole() -> None:
    second = WordRail("never")
    context = {"question": "Why?", "metadata": [{"n": 0}, {"n": 1}, {"n": 2}], "passages": ["p", "q", "r"]}
    RailsGuard([WordRail("bad", name="one"), second]).check("retrieval", ["a", "bad", "c"], context)
    assert second.asked == [("retrieval", ["a", "c"], {**context, "metadata": [{"n": 0}, {"n": 2}]})]
    assert len(context["metadata"]) == 3


def test_a_stage_without_rails_costs_no_thread() -> None:
    rail = WordRail("a", stages=["input"])
    guard = RailsGuard([rail])
    before = threading.active_count()
    assert both(guard, "output", ["a", "b"]) == [Finding("pass", "a"), Finding("pass", "b")]
    assert not rail.asked and threading.active_count() <= before
    assert both(guard, "input", []) == []
    assert not rail.asked


def test_a_pass_with_a_reason_is_named_and_a_pass_has_the_score_of_a_single_rail() -> None:
    scored = DoingRail(lambda texts: [Finding("pass", text, score=0.2) for text in texts], name="scored")
    flags = DoingRail(lambda texts: [Finding("pass", text, reason="odd", score=0.6) for text in texts], name="flags")
    assert both(RailsGuard([scored, WordRail("x")]), "input", ["a"]) == [Finding("pass", "a", score=0.2)]
    assert both(RailsGuard([scored, scored]), "input", ["a"])[0].score is None
    assert both(RailsGuard([scored, flags]), "input", ["a"]) == [Finding("pass", "a", "flags", "odd", 0.6)]


def test_a_pass_cannot_change_a_text() -> None:
    sly = DoingRail(lambda texts: [Finding("pass", "other") for _ in texts])
    assert both(RailsGuard([sly]), "input", ["a"]) == [Finding("pass", "a")]


def raising(texts: Any) -> Any:
    raise ValueError(f"secret: {texts}")


def leaving(texts: Any) -> Any:
    sys.exit(3)


@pytest.mark.parametrize(
    ("do", "why"),
    [
        (raising, "ValueError"),
        (leaving, "RuntimeError"),
        (lambda texts: [], "it gave 0 findings for 2 texts"),
        (lambda texts: None, "it gave NoneType, no list of findings"),
        (lambda texts: [Finding("fine", text) for text in texts], "it gave an unknown verdict"),  # type: ignore[arg-type]
        (lambda texts: ["pass" for _ in texts], "it gave a finding that is none"),
        (lambda texts: [Finding("change", None) for _ in texts], "it gave a finding that is none"),  # type: ignore[arg-type]
    ],
)
def test_a_rail_that_fails_is_named_and_fails_closed(do: Any, why: str) -> None:
    rails = [WordRail("bad", name="one"), DoingRail(do), WordRail("b", "c", name="three")]
    texts = ["bad", "a secret", "b"]
    blocked = both(RailsGuard(rails), "tool", texts)
    reason = f"the rail doing failed: {why}"
    assert [(each.verdict, each.rail) for each in blocked] == [("block", "one"), ("block", "doing"), ("block", "doing")]
    assert blocked[1].reason == blocked[2].reason == reason and "secret" not in reason
    went_on = both(RailsGuard(rails, on_failure="pass"), "tool", texts)
    assert went_on[0] == blocked[0]
    assert went_on[1] == Finding("pass", "a secret", "doing", reason)
    assert went_on[2] == Finding("change", "c", "doing, three", f"{reason}; a word of 1", None, ((0, 1),))


def test_a_rail_that_hangs_is_left_behind_and_not_called_for_ever() -> None:
    hanging = HangingRail()
    guard = RailsGuard([hanging], timeout=0.2)
    reasons = []
    while not reasons or reasons[-1] != f"{MOST_HUNG} calls of it hang":
        (found,) = guard.check("input", ["a"])
        assert (found.verdict, found.rail) == ("block", "hanging") and len(reasons) < 50
        reasons.append(found.reason.removeprefix("the rail hanging failed: "))
    assert set(reasons[:-1]) == {"it took longer than 0.2 s"} and hanging.calls == MOST_HUNG
    assert asyncio.run(guard.acheck("input", ["a"]))[0].reason.endswith("calls of it hang")
    hanging.go.set()
    until = time.monotonic() + 10
    while guard.check("input", ["a"])[0].verdict != "pass":  # it is asked again as soon as a call has ended
        assert time.monotonic() < until
        time.sleep(0.01)


def test_more_calls_hang_than_there_are_threads_and_others_still_run() -> None:
    rails = [HangingRail() for _ in range(10)]
    guards = [RailsGuard([rail], timeout=0.05) for rail in rails]

    async def all_at_once() -> list[list[Finding]]:
        return await asyncio.gather(*(guard.acheck("input", ["a"]) for guard in guards for _ in range(MOST_HUNG)))

    assert {found[0].verdict for found in asyncio.run(all_at_once())} == {"block"}
    assert both(RailsGuard([WordRail("x")]), "input", ["a"]) == [Finding("pass", "a")]
    for rail in rails:
        rail.go.set()


def test_the_event_loop_is_free_while_rails_run_and_a_cancelled_check_is_left() -> None:
    slow = HangingRail()
    guard = RailsGuard([slow], timeout=20)

    async def work() -> int:
        check = asyncio.create_task(guard.acheck("input", ["a"]))
        ticks = 0
        while not slow.calls or ticks < 5:
            await asyncio.sleep(0.001)
            ticks += 1
        check.cancel()
        with pytest.raises(asyncio.CancelledError):
            await check
        return ticks

    assert asyncio.run(work()) >= 5
    slow.go.set()


def test_a_hung_rail_does_not_keep_the_interpreter() -> None:
    code = (
        "import time; from ragloom.guardrails import RailsGuard\n"
        "class Rail:\n    name = 'slow'; stages = ['input']\n    def check(self, *_): time.sleep(60)\n"
        "print(RailsGuard([Rail()], timeout=0.05).check('input', ['a'])[0].verdict)"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == "block\n" and time.monotonic() - began < 45


def test_rails_see_the_context_variables_of_who_asks() -> None:
    import contextvars

    who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")
    rail = DoingRail(lambda texts: [Finding("pass", text, reason=who.get()) for text in texts])
    who.set("ana")
    assert both(RailsGuard([rail]), "input", ["a"])[0].reason == "ana"


def test_the_audit_log_gets_all_that_is_no_plain_pass() -> None:
    log = Log()
    guard = RailsGuard([WordRail("bad"), WordRail("a", "b", name="two")], audit=log)
    found = guard.check("input", ["bad", "fine", "a"], {"scope": "s"})
    assert log.lines == [
        ("input", found[0], "bad", {"scope": "s"}),
        ("input", found[2], "a", {"scope": "s"}),
    ]
    guard.check("input", ["fine"])
    assert len(log.lines) == 2


def test_a_decision_that_cannot_be_taken_down_fails_closed() -> None:
    rails = [WordRail("bad"), WordRail("a", "b", name="two")]
    why = "the rail audit failed: StoreError"
    found = both(RailsGuard(rails, audit=Log(full=True)), "input", ["bad", "fine", "a"])
    assert [(each.verdict, each.rail) for each in found] == [("block", "words"), ("pass", ""), ("block", "audit")]
    assert found[0].reason == f"a word of 3; {why}" and found[2].reason == why
    found = both(RailsGuard(rails, audit=Log(full=True), on_failure="pass"), "input", ["a"])
    assert found == [Finding("change", "b", "two, audit", f"a word of 1; {why}", None, ((0, 1),))]


@settings(max_examples=40)
@given(
    st.lists(st.text("abc ", max_size=8), max_size=6),
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "", "a", "b", "zz"])), min_size=1, max_size=4),
)
def test_rails_together_are_rails_one_after_the_other(texts: list[str], words: list[tuple[str, str | None]]) -> None:
    found = RailsGuard([WordRail(word, into) for word, into in words]).check("input", texts)
    for text, finding in zip(texts, found, strict=True):
        now, blocked = text, False
        for word, into in words:
            blocked = blocked or (into is None and word in now)
            now = now if into is None or blocked else now.replace(word, into)
        expected = ("block", text) if blocked else ("change" if now != text else "pass", now)
        assert (finding.verdict, finding.text) == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: RailsGuard([]),
        lambda: RailsGuard([object()]),  # type: ignore[list-item]
        lambda: RailsGuard([WordRail("a", name="")]),
        lambda: RailsGuard([WordRail("a", stages=["answer"])]),  # type: ignore[list-item]
        lambda: RailsGuard([WordRail("a", stages=[])]),
        lambda: RailsGuard([WordRail("a")], timeout=0),
        lambda: RailsGuard([WordRail("a")], on_failure="ignore"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_guard_is_refused_when_it_is_made(make: Any) -> None:
    with pytest.raises(UsageError):
        make()


def test_the_default_guard_has_its_rails_in_order() -> None:
    guard = default_guard(injection=False)
    assert [rail.name for rail in guard.rails] == ["bloat", "hidden", "insecure", "secrets"]
    (found,) = both(
        guard, "output", ["Your key is ghp_0123456789abcdefghijABCDEFGHIJ012345. ![](http://e.example/?a=b)"]
    )
    assert found.verdict == "change" and found.rail == "insecure, secrets"
    assert found.text == "Your key is <GITHUB_TOKEN>. "
