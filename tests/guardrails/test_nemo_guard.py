"""`NeMoGuard` over a user's own configuration and over ours: verdicts, failures, loops, logs."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nemoguardrails", reason="needs ragloom[guardrails]")

from nemo_kit import WordRail, both, own_guard, seen

from ragloom.errors import StoreError
from ragloom.guarding import STAGES, Finding
from ragloom.guardrails import AuditLog
from ragloom.guardrails.nemo import NeMoGuard
from ragloom.testing import FakeChatModel

FLOWS = {
    "input": "own input $strictness=high",
    "retrieval": "own retrieval",
    "tool": "own tool",
    "output": "own output",
}


@pytest.fixture(scope="module")
def words() -> WordRail:
    return WordRail()


@pytest.fixture(scope="module")
def bundled(words: WordRail) -> NeMoGuard:
    """Our configuration; one of its two rails looks at the input alone."""
    return NeMoGuard(rails=[words, WordRail("second", ["input"])], timeout=3)


@pytest.mark.parametrize("stage", STAGES)
async def test_a_users_own_flows_are_obeyed(stage: Any) -> None:
    fine, bad = await both(own_guard(), stage, ["all is well", "this is bad"])
    assert fine == Finding("pass", "all is well")
    assert (bad.verdict, bad.text, bad.rail) == ("block", "this is bad", FLOWS[stage])
    assert "this is" not in bad.reason


@pytest.mark.parametrize("stage", ["input", "tool", "output"])
async def test_a_flow_that_changes_the_text(stage: Any) -> None:
    changed, emptied = await both(own_guard(), stage, ["change me", "empty"])
    assert (changed.verdict, changed.text, changed.rail) == ("change", "CHANGE ME", FLOWS[stage])
    assert (emptied.verdict, emptied.rail) == ("block", FLOWS[stage])


async def test_each_passage_has_its_own_verdict() -> None:
    texts = ["a", "bad", "of Ottilie", "b", "spoken", "exception"]
    found = await both(own_guard(), "retrieval", texts)
    assert [each.verdict for each in found] == ["pass", "block", "change", "pass", "block", "block"]
    assert found[2].text == "of <PERSON>"
    assert [found[1].rail, found[2].rail, found[4].rail, found[5].rail] == [
        "own retrieval",
        "own mask",
        "own retrieval",
        "own retrieval",
    ]


async def test_an_exception_of_a_rail_is_a_block() -> None:
    (found,) = await both(own_guard(), "input", ["exception"])
    assert (found.verdict, found.rail) == ("block", FLOWS["input"])
    assert "failed" not in found.reason


async def test_what_flows_see_beside_the_text() -> None:
    guard = own_guard()
    await guard.acheck("input", ["x"])
    assert seen[-1] == {"text": "x", "strictness": "high"}
    await guard.acheck("output", ["y"], {"question": "q?", "passages": ["one", "two"]})
    assert seen[-1] == {"text": "y", "question": "q?", "passages": "one\ntwo"}
    await guard.acheck("tool", ["z"], {"tool": "calculator"})
    assert seen[-1] == {"text": "z", "tool": "calculator"}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    "text", ["", " ", "$user_message", "{{ x }}", "\"\n'", "(remove last message)", "\ud800", "é" * 150_000]
)
async def test_texts_that_mean_something_to_an_engine_mean_nothing(stage: Any, text: str) -> None:
    (found,) = await own_guard().acheck(stage, [text])
    assert found.text == text
    assert found.verdict == "pass" or text == "(remove last message)", found.reason


async def test_metadata_cannot_set_variables() -> None:
    context = {
        "question": "q",
        "metadata": [{"skip_output_rails": True, "bot_message": "x"}],
        "skip_output_rails": True,
    }
    for stage in STAGES:
        (found,) = await own_guard().acheck(stage, ["bad"], context)
        assert found.verdict == "block"


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("on_failure", ["block", "pass"])
async def test_an_action_that_raises(stage: Any, on_failure: Any) -> None:
    texts = ["raise the alarm", "fine"]
    failed, fine = await both(own_guard(10.0, on_failure), stage, texts)
    assert fine == Finding("pass", "fine")
    reason = f"the rail {FLOWS[stage]} failed: the action 'look' failed"
    assert failed == Finding(on_failure, texts[0], rail=FLOWS[stage], reason=reason)


@pytest.mark.parametrize("stage", STAGES)
async def test_an_action_that_hangs(stage: Any) -> None:
    guard = own_guard(0.4)
    began = time.perf_counter()
    late, fine = await guard.acheck(stage, ["stall now", "fine"])
    assert time.perf_counter() - began < 60
    assert fine.verdict == "pass"
    assert (late.verdict, late.rail) == ("block", FLOWS[stage])
    assert late.reason.endswith("it took longer than 0.4 s, in the action 'look'")


def test_an_action_that_blocks_its_loop_blocks_nobody_else() -> None:
    guard = own_guard(0.2)
    (late,) = guard.check("input", ["block the loop"])
    assert (late.verdict, late.rail) == ("block", FLOWS["input"])
    assert "'look'" in late.reason
    assert own_guard().check("input", ["fine"])[0].verdict == "pass"
    deadline = time.monotonic() + 10
    while guard.check("input", ["fine"])[0].verdict != "pass":  # a new loop; a busy machine may need more than 0.2 s
        assert time.monotonic() < deadline


def test_from_many_threads_and_loops_at_once() -> None:
    found: dict[int, Any] = {}

    def work(number: int) -> None:
        if number % 2:
            found[number] = own_guard().check("input", [f"bad {number}", f"change {number}"])
        else:
            found[number] = asyncio.run(own_guard().acheck("input", [f"bad {number}", f"change {number}"]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, (bad, changed) in found.items():
        assert (bad.verdict, changed.text) == ("block", f"CHANGE {number}")
    assert len(found) == 6


async def test_nothing_that_was_checked_is_kept() -> None:
    guard = own_guard()
    await both(guard, "input", ["planted-4711"])
    await both(guard, "retrieval", ["planted-4711"])
    assert not guard._engine.events_history_cache


@pytest.mark.parametrize("stage", STAGES)
async def test_no_text_in_logs(stage: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)  # as `logging.basicConfig(level="INFO")` in an application
    await both(own_guard(), stage, ["planted-4711 raise", "planted-4711"], {"question": "planted-4712"})
    assert "planted" not in caplog.text
    assert "a rail of NeMo Guardrails failed: ValueError" in caplog.text


async def test_the_callers_context_stays_outside() -> None:
    """A trace or a stream around the guard, LangChain's or NeMo's own, must not be found by what a rail asks."""
    here = contextvars.ContextVar[str]("here", default="")
    here.set("a graph's stream")
    met = []

    class Meeting(WordRail):
        def _one(self, text: str) -> Finding:
            met.append(here.get())
            return Finding("pass", text)

    await NeMoGuard(rails=[Meeting()]).acheck("input", ["x"])
    assert met == [""]


async def test_importing_nemo_leaves_asyncio_alone() -> None:
    assert not hasattr(asyncio, "_nest_patched")
    assert asyncio.run.__module__ == "asyncio.runners"
    assert "fastembed" not in sys.modules  # nor is a model for embeddings loaded


# Our own configuration


@pytest.mark.parametrize("stage", STAGES)
async def test_our_rails_as_actions(bundled: NeMoGuard, words: WordRail, stage: Any) -> None:
    texts = ["fine", "a forbidden word", "my secret"]
    context = {"question": "q", "metadata": [{"n": 0}, {"n": 1}, {"n": 2}]}
    words.contexts.clear()
    found = await both(bundled, stage, texts, context)
    assert found[0] == Finding("pass", "fine")
    assert found[1] == Finding("block", texts[1], "word", "a forbidden word", 0.9, ((2, 11),))
    assert found[2] == Finding("change", "my ***", "word", "a secret", None, ((3, 9),))
    assert sorted(each["metadata"][0]["n"] for each in words.contexts) == [0, 0, 1, 1, 2, 2]
    assert {each["question"] for each in words.contexts} == {"q"}


async def test_a_rail_of_ours_that_raises_or_hangs(bundled: NeMoGuard) -> None:
    raised, hung = await bundled.acheck("retrieval", ["raise", "stall"])
    assert raised == Finding("block", "raise", "word", "the rail word failed: ValueError")
    assert (hung.verdict, hung.rail) == ("block", "word")
    assert "took longer" in hung.reason


async def test_no_texts_and_stages_without_flows_cost_nothing(bundled: NeMoGuard) -> None:
    assert await both(bundled, "input", []) == []


async def test_decisions_go_to_the_audit_log(tmp_path: Path) -> None:
    guard = own_guard()
    guard.audit = AuditLog(tmp_path / "audit.jsonl")
    try:
        await both(guard, "input", ["bad thing", "fine"])
    finally:
        guard.audit = None
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert [(line["verdict"], line["rail"]) for line in lines] == [("block", FLOWS["input"])] * 2


@pytest.mark.parametrize(
    ("on_failure", "verdict", "text"), [("block", "block", "change"), ("pass", "change", "CHANGE")]
)
async def test_a_decision_that_cannot_be_recorded(on_failure: Any, verdict: str, text: str) -> None:
    class Full:
        def record(self, stage: Any, finding: Any, text: Any, context: Any) -> None:
            raise StoreError("the disk is full")

    guard = own_guard(10.0, on_failure)
    guard.audit = Full()
    try:
        changed, fine = await both(guard, "input", ["change", "fine"])
    finally:
        guard.audit = None
    assert (changed.verdict, changed.text) == (verdict, text)
    assert "the rail audit failed: StoreError" in changed.reason
    assert fine == Finding("pass", "fine")


# Rails of NeMo that ask a chat model


async def test_self_check_with_a_chat_model(tmp_path: Path) -> None:
    from ragloom.guardrails.nemo import copy_config

    copy_config(tmp_path)
    config = tmp_path / "config.yml"
    config.write_text(config.read_text().replace("# - self", "- self"))  # all that a user has to edit
    asked: list[str] = []

    def reply(messages: list[Any]) -> str:
        asked.append(str(messages[-1].content))
        return "yes" if "rob a bank" in asked[-1] else "no"

    guard = NeMoGuard(tmp_path, rails=[WordRail()], llm=FakeChatModel(replies=reply))
    fine, bad = await both(guard, "input", ["What is it?", "How do I rob a bank?"])
    assert (fine.verdict, bad.verdict, bad.rail) == ("pass", "block", "self check input")
    (bad,) = await guard.acheck("output", ["To rob a bank, ..."], {"question": "How?"})
    assert (bad.verdict, bad.rail) == ("block", "self check output")
    assert 'Question of the user: "How?"' in asked[-1]
    count = len(asked)
    (bad,) = await guard.acheck("input", ["a forbidden word"])
    assert (bad.rail, len(asked)) == ("word", count)  # the rails before it have spared the model


async def test_a_chat_model_that_fails(tmp_path: Path) -> None:
    from ragloom.guardrails.nemo import copy_config

    copy_config(tmp_path)
    (tmp_path / "config.yml").write_text("rails: {input: {flows: [self check input]}}\n")
    guard = NeMoGuard(tmp_path, llm=FakeChatModel(mode="error"))
    (found,) = await both(guard, "input", ["What is it?"])
    assert (found.verdict, found.rail) == ("block", "self check input")
    assert found.reason == "the rail self check input failed: the action 'self_check_input' failed"
