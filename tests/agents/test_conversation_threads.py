"""Threads and memory in one file: each user's own, across processes and kills, and gone without a trace."""

from __future__ import annotations

import random
import sqlite3
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from conversation_kit import Process, holding, run_and_die, say, two_nodes
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ragloom.access import AccessScope
from ragloom.agents.conversation import LongTermMemory, Threads
from ragloom.agents.conversation import database as database_module
from ragloom.errors import StoreError, UsageError
from ragloom.testing import HashEmbedding

ANA, BO = AccessScope("acme", "ana"), AccessScope("acme", "bo")
SECRET = "zebra-crossing-7719"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "chat.sqlite"


# -- whose it is ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", ["", "  "])
def test_without_a_user_nothing_goes(path: Path, user: str) -> None:
    nobody = AccessScope("acme", user)
    with Threads.open(path) as threads, LongTermMemory.open(path) as memory:
        doings: list[Callable[[], Any]] = [
            lambda: threads.config(nobody, "1"),
            lambda: threads.list(nobody),
            lambda: threads.forget(nobody),
            lambda: memory.remember(nobody, "I have a dog."),
            lambda: memory.recall(nobody, "dog"),
            lambda: memory.forget(nobody),
        ]
        for do in doings:
            with pytest.raises(UsageError, match="needs a user"):
                do()


def test_groups_are_in_no_key_for_people_leave_them() -> None:
    staff = AccessScope("acme", "ana", ["staff"])
    assert staff.thread_key("1") == ANA.thread_key("1") and staff.namespace == ANA.namespace


@pytest.mark.parametrize("thread", ["", None, 7])
def test_a_thread_has_a_name(thread: Any) -> None:
    with pytest.raises(UsageError, match="needs a name"):
        ANA.thread_key(thread)


NAMES = st.text(min_size=1, max_size=6) | st.sampled_from(["a", "a/b", "a.b", "..", "%2F", "a/b/c", "/", "user=a", "*"])
SCOPES = st.builds(AccessScope, NAMES | st.just(""), NAMES.filter(str.strip))


@given(SCOPES, SCOPES, NAMES, NAMES)
def test_no_name_reaches_into_anothers(one: AccessScope, other: AccessScope, mine: str, theirs: str) -> None:
    assert one.thread_of(one.thread_key(mine)) == mine
    assert all(label and "." not in label for label in one.namespace)
    assume(one != other)
    assert one.thread_key(mine) != other.thread_key(theirs)
    assert not other.thread_key(theirs).startswith(one.prefix)
    assert one.namespace != other.namespace


async def test_the_saver_knows_no_thread_without_an_owner(path: Path) -> None:
    with Threads.open(path) as threads:
        graph = two_nodes(threads.saver)
        for thread in ("1", "a/1", "/a/", "a/b/c/d", "//1"):
            config: Any = {"configurable": {"thread_id": thread}}
            with pytest.raises(UsageError, match="no owner"):
                graph.invoke({"messages": [("user", "x")]}, config)
            with pytest.raises(UsageError, match="no owner"):
                await graph.ainvoke({"messages": [("user", "x")]}, config)
        with pytest.raises(UsageError, match="no owner"):
            list(threads.saver.list(None))


# -- threads ----------------------------------------------------------------------------------------------------------


async def test_a_thread_goes_on_in_another_process_sync_and_async(path: Path) -> None:
    with Threads.open(path) as threads:
        say(threads, ANA, "1", "hello")
        say(threads, ANA, "2", "elsewhere")
    with Threads.open(path) as threads:
        graph, config = two_nodes(threads.saver), threads.config(ANA, "1")
        state = await graph.ainvoke({"messages": [("user", "again")]}, config)
        assert [m.text for m in state["messages"]] == ["hello", "1: noted hello", "again", "3: noted again"]
        assert (await graph.aget_state(config)).values == graph.get_state(config).values
        past = [each async for each in graph.aget_state_history(config)]
        assert past == list(graph.get_state_history(config))
        assert len(past) > 4
        infos = await threads.alist(ANA)
        assert infos == threads.list(ANA)
        assert [info.thread for info in infos] == ["1", "2"]  # the last used first
        assert datetime.now(UTC) - timedelta(minutes=5) < infos[1].updated < infos[0].updated < datetime.now(UTC)
        assert threads.list(BO) == threads.list(AccessScope(user="ana")) == ()
        assert graph.get_state(threads.config(BO, "1")).values == {}
        assert not await threads.adelete(BO, "1")
        assert await threads.adelete(ANA, "1")
        assert not threads.delete(ANA, "1")
        assert [info.thread for info in threads.list(ANA)] == ["2"]
        assert await threads.aforget(ANA) == 1


def test_a_killed_turn_goes_on_from_its_last_node(path: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run_and_die(path, ANA, log)
    assert log.read_text() == "the first node ran"
    again: list[str] = []
    with Threads.open(path) as threads:
        graph = two_nodes(threads.saver, first=lambda: again.append("first"), second=lambda: again.append("second"))
        config = threads.config(ANA, "1")
        assert graph.get_state(config).next == ("answer",)
        state = graph.invoke(None, config)
        assert state["messages"][-1].text == "1: noted hello"
        assert again == ["second"]


async def test_what_nobody_used_for_long_is_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Threads.open(path) as threads:
        say(threads, ANA, "old", SECRET)
        with pytest.raises(UsageError, match="retain"):
            threads.retain(-1)
        with pytest.raises(UsageError, match="retain"):
            threads.retain(float("nan"))
        assert threads.retain(30) == 0
        assert holding(path.parent, SECRET)

        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return datetime.now(tz) + timedelta(days=31)

        say(threads, BO, "new", "hello")
        # "new" is used again in a month, as far as the clock of `retain` is concerned
        monkeypatch.setattr("ragloom.agents.conversation.threads.datetime", Later)
        assert await threads.aretain(32) == 0
        assert await threads.aretain(30) == 2
        assert not holding(path.parent, SECRET)


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("embedder", [None, HashEmbedding(size=64)])
async def test_facts_are_remembered_recalled_and_forgotten(path: Path, embedder: Any) -> None:
    with LongTermMemory.open(path, embedder=embedder) as memory:
        office = memory.remember(ANA, " I work in the Vienna office. ", thread="1")
        await memory.aremember(ANA, "My dog is called Rex.", thread="2")
        memory.remember(ANA, "I am on leave in May.", thread="2")
        memory.remember(BO, "I work in the Porto office.")
        assert memory.remember(ANA, "i work in the vienna office.", thread="3").id == office.id
        assert len(memory.list(ANA)) == 3
        assert memory.list(ANA)[0].id == office.id  # told last
        found = memory.recall(ANA, "Which office do I work in?", 1)
        assert [item.fact for item in found] == ["i work in the vienna office."]
        assert await memory.arecall(ANA, "Which office do I work in?", 1) == found
        assert memory.recall(ANA, "quantum chromodynamics") == ()
        assert memory.recall(ANA, "dog", 0) == ()
        assert memory.recall(AccessScope(user="nobody"), "dog") == ()
        with pytest.raises(UsageError, match="no fact"):
            memory.remember(ANA, " \n ")
        with pytest.raises(UsageError, match="a thread or an item"):
            memory.forget(ANA, thread="1", item="2")
        assert memory.forget(BO, item=office.id) == 0
        assert memory.forget(ANA, item=office.id) == 1
        assert await memory.aforget(ANA, thread="2") == 2
        assert await memory.alist(ANA) == ()
        assert memory.forget(BO) == 1


def test_another_embedder_reads_what_the_last_one_did_not_see(path: Path) -> None:
    for embedder in (None, HashEmbedding(size=64), HashEmbedding(size=32)):
        with LongTermMemory.open(path, embedder=embedder) as memory:
            memory.remember(ANA, f"My dog number {embedder and embedder.size} is called Rex.")
            assert len(memory.recall(ANA, "What is my dog called?")) == len(memory.list(ANA))


def test_more_facts_than_a_page(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ragloom.agents.conversation.memory.PAGE", 3)
    with LongTermMemory.open(path) as memory:
        facts = [memory.remember(ANA, f"Fact {n}").fact for n in range(7)]
        assert [item.fact for item in memory.list(ANA)] == facts[::-1]
        assert memory.forget(ANA) == 7


# -- gone without a trace ---------------------------------------------------------------------------------------------


def test_not_one_byte_is_left_while_others_have_the_file_open(path: Path) -> None:
    """Rows of all sizes, so that pages are split and spill over; a connection here and one in another process."""
    process = Process(path, BO)
    other = Threads.open(path)
    with Threads.open(path) as threads, LongTermMemory.open(path) as memory:
        for n in range(12):
            say(threads, ANA, "secret", f"{SECRET} in thread {n} " + "x" * 700 * n)
            process.do("say", "kept", f"kept words {n}")
            memory.remember(ANA, f"{SECRET} fact {n} " + "y" * 900 * (n % 5), thread="secret")
            memory.remember(ANA, f"open fact {n} " + "z" * 500, thread="open")
        assert len(other.list(ANA)) == 1
        assert holding(path.parent, SECRET)  # the test would see it
        assert holding(path.parent, "in thread 3")
        threads.delete(ANA, "secret")
        assert not holding(path.parent, "in thread 3")
        assert not holding(path.parent, "/ana/")  # nor who talked
        assert memory.forget(ANA, thread="secret") == 12
        assert holding(path.parent, SECRET) == []
        assert len(memory.list(ANA)) == 12
        item = memory.list(ANA)[3]
        assert memory.forget(ANA, item=item.id) == 1
        assert not holding(path.parent, item.fact[:13])
        assert process.do("threads") == ["kept"]
        assert len(process.do("say", "kept", "the last word")) == 26
        memory.forget(ANA)
        assert not holding(path.parent, "open fact")
        assert not holding(path.parent, "user=ana")
    other.close()
    process.end()


def test_an_open_reader_is_told_not_passed_over(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "WAIT_SECONDS", 0.2)
    with Threads.open(path) as threads:
        say(threads, ANA, "1", SECRET)
        process = Process(path, BO)
        process.do("hold")
        with pytest.raises(StoreError, match="another process reads it"):
            threads.delete(ANA, "1")
        assert threads.list(ANA) == ()  # gone from every query
        process.end()
        threads.delete(ANA, "1")  # again, as the error says
        assert not holding(path.parent, SECRET)


# -- several processes ------------------------------------------------------------------------------------------------


DEEDS = st.tuples(
    st.integers(0, 1),
    st.sampled_from(["say", "say", "remember", "remember", "delete", "forget", "recall"]),
    st.sampled_from(["1", "2", "a/1", "../ana/1"]),
    st.integers(0, 5),
)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Two users in two processes over one file. Both open it when it does not exist yet."""
    path = tmp_path_factory.mktemp("two") / "chat.sqlite"
    both = [Process(path, scope) for scope in (AccessScope("a", "ana"), AccessScope("b", "ana"))]
    yield both
    for each in both:
        each.end()


@given(st.lists(DEEDS, max_size=12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_two_users_never_meet(processes: list[Process], deeds: list[tuple[int, str, str, int]]) -> None:
    """A model of what each has; whatever the other does, each sees exactly that."""
    said: list[dict[str, list[str]]] = [defaultdict(list), defaultdict(list)]
    facts: list[set[str]] = [set(), set()]
    for each in processes:
        each.do("forget")
    for who, what, thread, number in deeds:
        process, word = processes[who], f"user{who} fact {number}"
        if what == "say":
            said[who][thread].append(word)
            assert process.do("say", thread, word)[::2] == said[who][thread]
        elif what == "remember":
            facts[who].add(process.do("remember", word, thread))
        elif what == "delete":
            assert process.do("delete", thread) == bool(said[who].pop(thread, None))
        elif what == "forget":
            assert process.do("forget") == (len(said[who]), len(facts[who]))
            said[who].clear()
            facts[who].clear()
        else:
            assert set(process.do("recall", f"user0 user1 fact {number}")) <= facts[who]
        for each, threads, known in zip(processes, said, facts, strict=True):
            assert each.do("threads") == sorted(threads)
            assert each.do("facts") == sorted(known)


# -- files that are not ours ------------------------------------------------------------------------------------------

OPENERS = [Threads.open, LongTermMemory.open]


@pytest.mark.parametrize("opener", OPENERS)
def test_what_is_no_conversation_file_is_refused(path: Path, opener: Any) -> None:
    path.parent.mkdir()
    path.write_bytes(b"%PDF-1.7 not a database at all " * 100)
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database"):
        opener(path)
    assert path.read_bytes() == before
    path.unlink()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="another program's"):
        opener(path)
    assert path.read_bytes() == before
    with pytest.raises(StoreError, match="directory") as caught:
        opener(path.parent)
    assert str(path.parent) not in str(caught.value)  # no path of the machine
    (path.parent / "file").touch()
    with pytest.raises(StoreError, match="cannot open"):
        opener(path.parent / "file" / "chat.sqlite")


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9])
def test_a_damaged_file_is_told(path: Path, at: float) -> None:
    with Threads.open(path) as threads, LongTermMemory.open(path) as memory:
        for n in range(20):
            say(threads, ANA, str(n), "word " * 100)
            memory.remember(ANA, f"fact {n} " + "word " * 100)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(int(size * at) // 4096 * 4096)
        file.write(random.Random(at).randbytes(size - file.tell()))

    def use() -> None:
        with Threads.open(path) as threads, LongTermMemory.open(path) as memory:
            memory.list(ANA)
            for n in range(20):
                say(threads, ANA, str(n), "more")
            threads.retain(0)

    with pytest.raises(StoreError) as caught:
        use()
    assert "chat.sqlite" in str(caught.value)


def test_only_the_owner_reads_the_file(path: Path) -> None:
    with Threads.open(path) as threads:
        say(threads, ANA, "1", "hello")
        assert {file.name: oct(file.stat().st_mode & 0o077) for file in path.parent.iterdir()} == dict.fromkeys(
            ["chat.sqlite", "chat.sqlite-wal", "chat.sqlite-shm", "chat.sqlite.lock"], "0o0"
        )
