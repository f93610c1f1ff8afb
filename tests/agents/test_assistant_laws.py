"""Laws of the assistant: two users never meet, and no model can break a conversation."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from assistant_kit import ANA, BO, ask, naive, opened, reader, told
from hypothesis import given, settings
from hypothesis import strategies as st
from strategy_kit import QUESTION, check, moody

from ragloom.access import AccessScope
from ragloom.agents.assistant import Assistant, with_memory
from ragloom.testing import FakeChatModel

USERS = (ANA, AccessScope("b", "ana"))
DEEDS = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["ask", "ask", "remember", "forget thread", "forget"]),
    st.sampled_from(["1", "2", "../ana/1"]),
    st.integers(0, 3),
    st.sampled_from(["sync", "async"]),
)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Assistant, FakeChatModel]]:
    llm = reader()
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), llm) as assistant:
        yield assistant, llm


@given(st.lists(DEEDS, max_size=8))
@settings(max_examples=8)
def test_two_users_never_meet(shared: tuple[Assistant, FakeChatModel], deeds: list[tuple[Any, ...]]) -> None:
    """A model of what each has; whatever the other does, each sees exactly that, and the reader sees no more."""
    assistant, llm = shared
    assert assistant.memory is not None
    said: list[dict[str, list[str]]] = [defaultdict(list), defaultdict(list)]
    facts: list[dict[str, str]] = [{}, {}]
    for user in USERS:
        assistant.forget(user)
    for who, what, thread, number, way in deeds:
        chat, word = assistant.chat(USERS[who], thread), f"user{who}word{number}"
        if what == "ask":
            llm.calls.clear()
            result = ask(chat, f"{QUESTION} {word}", way)
            assert all(f"user{1 - who}" not in prompt for prompt in llm.prompts())
            assert set(result["recalled"]) <= set(facts[who])
            said[who][thread].append(f"{QUESTION} {word}")
        elif what == "remember":
            fact = f"employees get annual leave {word}"
            ask(chat, f"Remember that {fact}", way)
            said[who][thread].append(f"Remember that {fact}")
            facts[who][fact] = thread
        else:
            gone = [thread] if what == "forget thread" else list(said[who])
            assistant.forget(USERS[who], thread if what == "forget thread" else None)
            for each in gone:
                said[who].pop(each, None)
            facts[who] = {fact: at for fact, at in facts[who].items() if what == "forget thread" and at != thread}
        for user, threads, known in zip(USERS, said, facts, strict=True):
            assert {info.thread for info in assistant.list(user)} == set(threads)
            assert {item.fact for item in assistant.memory.list(user)} == set(known)
            for name, lines in threads.items():
                assert told(assistant.chat(user, name))[::2] == lines


@pytest.mark.parametrize("way", ["tasks", "threads"])
def test_users_at_the_same_time_are_shown_their_own_facts(tmp_path: Path, way: str) -> None:
    llm = reader(mode="slow", delay=0.002)
    with opened(tmp_path, llm) as assistant:
        users = [AccessScope(user=f"user{number}") for number in range(6)]
        for user in users:
            assistant.memory.remember(user, f"The annual leave of {user.user} begins in May.")  # type: ignore[union-attr]

        async def all_at_once() -> None:
            chats = [assistant.chat(user, "1") for user in users]
            questions = [f"How many days of annual leave does {user.user} get?" for user in users]
            if way == "tasks":
                await asyncio.gather(*map(lambda chat, question: chat.aask(question), chats, questions))
            else:
                asking = [asyncio.to_thread(chat.ask, each) for chat, each in zip(chats, questions, strict=True)]
                await asyncio.gather(*asking)

        asyncio.run(all_at_once())
        for prompt, user in itertools.product(llm.prompts(), users):
            assert prompt.count(user.user) in (0, 2)  # in the question and in the fact
        assert len(llm.calls) == len(users)


@given(st.integers(0, 10_000), st.sampled_from(["sync", "async"]))
@settings(max_examples=5)
def test_no_model_breaks_a_conversation(seed: int, way: str) -> None:
    llm = FakeChatModel(replies=moody(seed, "Is annual leave paid?", "Employees get 25 days of annual leave."))
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder), llm, most_tokens=30) as assistant:
        questions = [QUESTION, "Is it paid?", "And in Vienna?", "Remember that I live in Vienna", "Where do I live?"]
        for question in questions:
            result = ask(assistant.chat(BO, "1"), question, way)
            check({"error": "", **result} if "documents" in result else result)
        assert told(assistant.chat(BO, "1"))[::2] == questions


def test_facts_are_shown_to_the_reader_alone(tmp_path: Path) -> None:
    llm, answering = reader(), reader()
    with opened(tmp_path, llm, naive(llm)) as assistant:
        assert assistant.memory is not None
        assistant.memory.remember(ANA, "Annual leave is what employees like.")
        chat = assistant.answering_with(naive(answering)).chat(ANA, "1")
        chat.ask(QUESTION)
        chat.ask("Is it paid?")
        assert all("what employees like" in prompt for prompt in answering.prompts())
        assert llm.calls and not any("what employees like" in prompt for prompt in llm.prompts())
        assert with_memory(llm).invoke("What do employees like?").text == "I don't know."
