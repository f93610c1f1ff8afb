"""A guard around the assistant: what it blocks reaches no prompt, then or later, and is not remembered."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from assistant_kit import ANA, ask, opened, reader, resume, told
from hypothesis import given, settings
from hypothesis import strategies as st
from sources_kit import Fixed
from strategy_kit import GOOD, QUESTION, Shelf

from ragloom.agents.agent import rag_agent
from ragloom.agents.sources import Source
from ragloom.graphs import naive_rag
from ragloom.guarding import Finding, Stage
from ragloom.testing import FakeChatModel

WAYS = pytest.mark.parametrize("way", ["sync", "async"])
WITHHELD = "This cannot be answered here."


class Words:
    """Blocks texts with "poison", hides "secret", and fails on "crash"."""

    def __init__(self) -> None:
        self.seen: list[tuple[Stage, list[str]]] = []

    def check(self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None) -> list[Finding]:
        self.seen.append((stage, list(texts)))
        if any("crash" in text for text in texts):
            raise ConnectionError("no answer")
        return [self._finding(text) for text in texts]

    async def acheck(
        self, stage: Stage, texts: Sequence[str], context: Mapping[str, Any] | None = None
    ) -> list[Finding]:
        await asyncio.sleep(0)
        return self.check(stage, texts, context)

    def _finding(self, text: str) -> Finding:
        if "poison" in text:
            return Finding("block", text, rail="words", reason="an attack")
        return Finding("change", text.replace("secret", "[hidden]")) if "secret" in text else Finding("pass", text)


def decisions(result: dict[str, Any]) -> dict[str, str]:
    return {step["node"]: step["decision"] for step in result["steps"]}


@WAYS
@pytest.mark.parametrize("bad", ["poison", "crash"])
def test_a_blocked_question_ends_the_turn_and_is_in_no_later_prompt(tmp_path: Path, way: str, bad: str) -> None:
    llm, router = reader(), Fixed("leave")
    shelf = Shelf("leave.md")
    with opened(tmp_path, llm, naive_rag(shelf, llm), guard=Words(), router=router, most_tokens=40) as assistant:
        chat = assistant.chat(ANA, "1")
        assert ask(chat, QUESTION, way)["answer"] == GOOD
        calls, searches = len(llm.calls), len(shelf.asked)
        result = ask(chat, f"What does the {bad} say?", way)
        assert (result["answer"], result["abstained"], result["documents"]) == (WITHHELD, True, [])
        assert decisions(result) == {"admit": "refused"}
        assert (len(llm.calls), len(shelf.asked)) == (calls, searches)
        follow_up = ask(chat, "Is it paid?", way)
        assert "annual leave" in follow_up["asked"]  # it goes back to what is before the blocked turn
        for number in range(4):
            ask(chat, f"{QUESTION} In year {number}?", way)
        assert chat.state().last["thread_summary"]["turns"] >= 1
        assert not any(bad in text for text in [*llm.prompts(), *shelf.asked])
        assert told(chat)[2:4] == [f"What does the {bad} say?", WITHHELD]


@WAYS
def test_a_changed_question_is_used_as_changed(tmp_path: Path, way: str) -> None:
    llm, shelf = reader(), Shelf("leave.md")
    with opened(tmp_path, llm, naive_rag(shelf, llm), guard=Words()) as assistant:
        chat = assistant.chat(ANA, "1")
        result = ask(chat, "How many days of annual leave does secret get?", way)
        assert result["asked"] == shelf.asked[0] == "How many days of annual leave does [hidden] get?"
        ask(chat, "Is it paid?", way)
        assert any("[hidden]" in prompt for prompt in llm.prompts())
        assert not any("secret" in text for text in [*llm.prompts(), *shelf.asked])
        assert told(chat)[0] == "How many days of annual leave does secret get?"


@WAYS
def test_what_is_remembered_and_recalled_is_checked(tmp_path: Path, way: str) -> None:
    llm, guard = reader(), Words()
    with opened(tmp_path, llm, guard=guard) as assistant:
        memory: Any = assistant.memory
        chat = assistant.chat(ANA, "1")
        assert ask(chat, "Remember that poison is annual leave.", way)["answer"] == WITHHELD
        assert ask(chat, "Remember that secret gets annual leave.", way)["answer"].endswith(
            "[hidden] gets annual leave."
        )
        assert [item.fact for item in memory.list(ANA)] == ["[hidden] gets annual leave."]
        memory.remember(ANA, "The poison of annual leave.")
        memory.remember(ANA, "Employees of secret have annual leave.")
        result = ask(chat, QUESTION, way)
        assert sorted(result["recalled"]) == ["Employees of [hidden] have annual leave.", "[hidden] gets annual leave."]
        assert "Employees of [hidden]" in llm.prompts()[-1]
        assert not any(word in prompt for word in ("poison", "secret") for prompt in llm.prompts())
        [reason] = [step["reason"] for step in result["steps"] if step["node"] == "recall"]
        assert reason.endswith("1 held back by the guard")
        assert {stage for stage, _ in guard.seen} == {"input"}


@WAYS
def test_facts_are_not_repeated_where_the_strategy_withholds(tmp_path: Path, way: str) -> None:
    class Strict(Words):
        def _finding(self, text: str) -> Finding:
            return Finding("block", text, rail="words")

    llm = reader()
    strategy = rag_agent([Source("leave", "Leave.", Shelf("leave.md"))], llm, guard=Strict())
    with opened(tmp_path, llm, strategy) as assistant:
        assistant.memory.remember(ANA, "Annual leave is what I like.")  # type: ignore[union-attr]
        result = ask(assistant.chat(ANA, "1"), QUESTION, way)
        assert (result["answer"], result["recalled"]) == (WITHHELD, ["Annual leave is what I like."])


@WAYS
def test_what_an_earlier_turn_left_unchecked_is_checked_first(tmp_path: Path, way: str) -> None:
    """A thread that is older than its guard, and whose summary was made without it."""
    llm = FakeChatModel(
        replies=lambda messages: "The poison is annual leave." if "keep notes" in str(messages) else GOOD
    )
    with opened(tmp_path, llm, most_tokens=40) as assistant:
        chat = assistant.chat(ANA, "1")
        for question in (QUESTION, "Is the poison annual leave?", QUESTION, QUESTION):
            ask(chat, question, way)
        assert "poison" in chat.state().last["thread_summary"]["text"]
    llm.calls.clear()
    with opened(tmp_path, llm, guard=Words(), most_tokens=400) as assistant:
        ask(assistant.chat(ANA, "1"), "Is it paid?", way)
        assert llm.calls and not any("the poison" in prompt.lower() for prompt in llm.prompts())


@WAYS
def test_a_run_that_was_broken_off_before_the_guard_leaves_nothing_unchecked(tmp_path: Path, way: str) -> None:
    class Dying(Words):
        def check(self, stage: Stage, texts: Sequence[str], context: Any = None) -> list[Finding]:
            raise KeyboardInterrupt

    llm = reader()
    with opened(tmp_path, llm, guard=Dying()) as assistant, pytest.raises(KeyboardInterrupt):
        ask(assistant.chat(ANA, "1"), "What does the poison of annual leave say?", way)
    with opened(tmp_path, llm, guard=Words()) as assistant:
        ask(assistant.chat(ANA, "1"), "Is it paid?", way)
        assert not any("poison" in prompt for prompt in llm.prompts())
    with opened(tmp_path / "other", llm, guard=Dying()) as assistant, pytest.raises(KeyboardInterrupt):
        ask(assistant.chat(ANA, "1"), "What does the poison of annual leave say?", way)
    with opened(tmp_path / "other", llm, guard=Words()) as assistant:
        assert resume(assistant.chat(ANA, "1"), way)[-1]["answer"] == WITHHELD


@given(
    st.lists(st.sampled_from([QUESTION, "Is it paid?", "The poison?", "And secret?", "crash", "Remember: x secret"]))
)
@settings(max_examples=8)
def test_no_turn_brings_back_what_a_guard_held_back(said: list[str]) -> None:
    llm = reader()
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), llm, guard=Words(), most_tokens=30) as assistant:
        chat = assistant.chat(ANA, "1")
        for question in said:
            result = chat.ask(question)
            assert (result["answer"] == WITHHELD) == any(word in question for word in ("poison", "crash"))
        assert told(chat)[::2] == said
        assert not any(word in prompt for word in ("poison", "secret", "crash") for prompt in llm.prompts())
