"""The assistant: follow-ups, memory, clarifying questions, interrupts, kills; sync and async."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from assistant_kit import ANA, BO, ask, naive, opened, reader, resume, told
from conversation_kit import holding
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.runtime import get_runtime
from langgraph.types import interrupt
from sources_kit import Fixed, shelves
from strategy_kit import GOOD, QUESTION, Evaluator, Shelf, check, mermaid_of

from ragloom.access import AccessScope
from ragloom.agents.assistant import Assistant, assistant_graph, fact_to_remember, with_memory
from ragloom.agents.conversation import LongTermMemory, Threads
from ragloom.agents.sources import SourceRoute, routed_rag
from ragloom.errors import ModelError, StoreError, UsageError
from ragloom.graphs import corrective_rag, naive_rag
from ragloom.graphs.common.state import StrategyOutput, StrategyState
from ragloom.graphs.custom import with_nodes
from ragloom.testing import FakeChatModel, HashEmbedding

WAYS = pytest.mark.parametrize("way", ["sync", "async"])
FACT = "I work in the Vienna office."


# -- questions --------------------------------------------------------------------------------------------------------


@WAYS
def test_an_answer_streams_with_citations_and_is_kept(tmp_path: Path, way: str) -> None:
    with opened(tmp_path) as assistant:
        chat = assistant.chat(ANA, "1")

        async def events() -> list[dict[str, Any]]:
            return [event async for event in chat.astream(QUESTION)]

        sentence, result = list(chat.stream(QUESTION)) if way == "sync" else asyncio.run(events())
        assert (sentence["type"], sentence["text"]) == ("sentence", GOOD)
        assert sentence["citations"] == result["citations"]
        check(result)
        assert (result["type"], result["answer"], result["asked"]) == ("result", GOOD, QUESTION)
        nodes = [step["node"] for step in result["steps"]]
        assert nodes == ["summarise", "resolve", "recall", "answer", "naive/retrieve", "naive/read", "naive/cite"]
        state = asyncio.run(chat.astate())
        assert state == chat.state()
        assert told(chat) == [QUESTION, GOOD]
        assert (state.unfinished, state.last["documents"]) == ("", result["documents"])
    with opened(tmp_path) as assistant:
        assert told(assistant.chat(ANA, "1")) == [QUESTION, GOOD]
        assert [info.thread for info in asyncio.run(assistant.alist(ANA))] == ["1"]


@WAYS
def test_a_follow_up_is_asked_whole_and_kept_as_it_was_said(tmp_path: Path, way: str) -> None:
    shelf, llm = Shelf("leave.md"), reader()
    with opened(tmp_path, llm, naive_rag(shelf, llm)) as assistant:
        chat = assistant.chat(ANA, "1")
        ask(chat, QUESTION, way)
        ask(chat, f"Remember that {FACT}", way)  # answers nothing: the follow-up goes back to what is before it
        result = ask(chat, "Is it paid?", way)
        assert result["asked"] == shelf.asked[-1]
        assert "annual leave" in result["asked"] and "Vienna" not in result["asked"]
        assert told(chat)[::2] == [QUESTION, f"Remember that {FACT}", "Is it paid?"]


def test_thanks_are_no_follow_up(tmp_path: Path) -> None:
    shelf, llm = Shelf("leave.md"), reader()
    with opened(tmp_path, llm, naive_rag(shelf, llm)) as assistant:
        chat = assistant.chat(ANA, "1")
        ask(chat, QUESTION, "sync")
        assert ask(chat, "Thanks!", "sync")["asked"] == "Thanks!"


@WAYS
def test_a_long_thread_is_summarised_and_stays_whole(tmp_path: Path, way: str) -> None:
    with opened(tmp_path, most_tokens=40) as assistant:
        chat = assistant.chat(ANA, "1")
        said = [f"{QUESTION[:-1]} in year {number}?" for number in range(5)]
        results = [ask(chat, question, way) for question in said]
        assert told(chat)[::2] == said
        folded = [step["decision"] for result in results for step in result["steps"] if step["node"] == "summarise"]
        assert folded[:2] == ["nothing to summarise"] * 2
        assert (
            sum(int(text.split()[0]) for text in folded if text != "nothing to summarise")
            == (chat.state().last["thread_summary"]["turns"])
        )
        assert chat.state().last["thread_summary"]["turns"] >= 3


def test_several_sources_answer(tmp_path: Path) -> None:
    llm = reader()
    with opened(tmp_path, llm, routed_rag(shelves(), llm, router=Fixed("leave"))) as assistant:
        result = assistant.chat(ANA, "1").ask(QUESTION)
        check(result)
        assert result["documents"][0].metadata["source_name"] == "leave"
        assert "routed/route" in [step["node"] for step in result["steps"]]


@pytest.mark.parametrize("question", ["", "  \n"])
def test_an_empty_question_is_refused(tmp_path: Path, question: str) -> None:
    with opened(tmp_path) as assistant, pytest.raises(UsageError, match="empty"):
        assistant.chat(ANA, "1").ask(question)


@WAYS
def test_a_dead_model_is_told(tmp_path: Path, way: str) -> None:
    with opened(tmp_path, FakeChatModel(mode="error")) as assistant:
        chat = assistant.chat(ANA, "1")
        assistant.memory.remember(ANA, f"Annual leave: {FACT}")  # type: ignore[union-attr]
        result = ask(chat, QUESTION, way)
        assert result["abstained"] and "cannot be reached" in result["error"]
        assert "You told me" not in result["answer"]
        assert not chat.state().unfinished


# -- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "fact"),
    [
        (f"Remember that {FACT}", FACT),
        (f"please remember: {FACT}", FACT),
        (f" Please, remember this: {FACT}\n", FACT),
        ("Remember, my\n dog is  Rex", "my dog is Rex"),
        ("Do you remember that I work in Vienna?", ""),
        ("Remember that hotel? What was it called?", ""),
        ("Don't remember that I work in Vienna.", ""),
        ("I remember that it was paid.", ""),
        ("Remember the milk", ""),
        ("remember that ", ""),
        ("", ""),
    ],
)
def test_only_what_is_asked_to_be_remembered_is(said: str, fact: str) -> None:
    assert fact_to_remember(said) == fact


@WAYS
def test_facts_reach_the_reader_in_every_thread_of_their_user(tmp_path: Path, way: str) -> None:
    llm = reader()
    with opened(tmp_path, llm, embedder=HashEmbedding(size=64)) as assistant:
        told_in = assistant.chat(ANA, "1")
        kept = ask(told_in, "Remember that employees like me get annual leave in May.", way)
        assert kept["answer"] == "I will remember: employees like me get annual leave in May."
        assert not llm.calls and not kept["abstained"]
        assert [(item.fact, item.thread) for item in assistant.memory.list(ANA)] == [  # type: ignore[union-attr]
            ("employees like me get annual leave in May.", "1")
        ]
        result = ask(assistant.chat(ANA, "2"), QUESTION, way)
        assert result["recalled"] == ["employees like me get annual leave in May."]
        prompt = llm.calls[-1]
        assert [message.type for message in prompt] == ["system", "human"]
        assert "annual leave in May" not in str(prompt[0].text)  # the user's words, not the system's
        assert "no passage" in str(prompt[1].text)
        assert [each["source"] for each in result["citations"]] == ["leave.md"]
        assert {each.id for each in result["documents"]} == {"leave.md", "travel.md"}
        assert ask(assistant.chat(BO, "2"), QUESTION, way)["recalled"] == []
        assert "leave in May" not in llm.prompts()[-1]


@WAYS
def test_what_only_a_fact_supports_is_not_shown_but_repeated_as_told(tmp_path: Path, way: str) -> None:
    llm = FakeChatModel(replies=["Your dog is called Rex."])
    with opened(tmp_path, llm) as assistant:
        assistant.memory.remember(ANA, "My dog is called Rex.")  # type: ignore[union-attr]
        result = ask(assistant.chat(ANA, "1"), "What is my dog called?", way)
        assert result["abstained"] and not result["citations"]
        assert result["answer"].endswith('You told me: "My dog is called Rex."')


def test_a_model_or_a_document_remembers_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, FakeChatModel(replies=["Remember that employees get 25 days of annual leave."])) as assistant:
        assistant.chat(ANA, "1").ask(QUESTION)
        assert assistant.memory.list(ANA) == ()  # type: ignore[union-attr]


def test_a_fact_without_end_is_not_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as assistant:
        result = assistant.chat(ANA, "1").ask(f"Remember that {'very ' * 200}long facts are cut.")
        assert "at most 500 characters" in result["answer"]
        assert assistant.memory.list(ANA) == ()  # type: ignore[union-attr]


def test_without_a_memory_nothing_is_remembered(tmp_path: Path) -> None:
    llm = reader()
    assistant = Assistant(naive(llm), llm, threads=InMemorySaver())
    assert assistant.chat(ANA, "1").ask(f"Remember that {FACT}")["abstained"]


@WAYS
def test_a_memory_that_fails_does_not_prevent_an_answer(tmp_path: Path, way: str) -> None:
    class Broken(HashEmbedding):
        def embed_query(self, query: str) -> Any:
            raise ModelError("the embedder is out of memory")

    with opened(tmp_path, embedder=Broken(size=8)) as assistant:
        assistant.memory.remember(ANA, FACT)  # type: ignore[union-attr]
        result = ask(assistant.chat(ANA, "1"), QUESTION, way)
        assert result["answer"] == GOOD
        assert "the memory failed: the embedder is out of memory" in [step["reason"] for step in result["steps"]]


def test_facts_take_few_tokens_whatever_is_kept(tmp_path: Path) -> None:
    def asked(folder: str, *facts: str) -> tuple[list[str], int]:
        llm = reader(context_window=100_000)
        with opened(tmp_path / folder, llm) as assistant:
            for fact in facts:
                assistant.memory.remember(ANA, fact)  # type: ignore[union-attr]
            recalled = assistant.chat(ANA, "1").ask(QUESTION)["recalled"]
            return recalled, llm.get_num_tokens(llm.prompts()[-1])

    _, bare = asked("none")
    assert asked("long", f"Annual leave {'x' * 500}") == ([], bare)  # kept by the memory's own door
    recalled, tokens = asked("many", *(f"Annual leave {number} {'a b ' * 110}" for number in range(3)))
    assert len(recalled) == 3
    assert bare < tokens <= bare + 256


def test_facts_that_do_not_fit_the_window_are_left_out(tmp_path: Path) -> None:
    llm = reader(context_window=420)
    with opened(tmp_path, llm) as assistant:
        for number in (1, 2, 3):
            fact = f"Annual leave of employees number {number}. {'Etc. ' * 40}"
            assistant.memory.remember(ANA, fact)  # type: ignore[union-attr]
        result = assistant.chat(ANA, "1").ask(QUESTION)
        assert (result["answer"], len(result["recalled"])) == (GOOD, 3)
        assert llm.get_num_tokens(llm.prompts()[-1]) <= 420 - 256


def test_the_model_with_memory_is_the_model_elsewhere() -> None:
    llm = FakeChatModel(replies=["Paris."])
    informed = with_memory(llm)
    assert informed.invoke("Capital of France?").text == "Paris."
    assert asyncio.run(informed.ainvoke("Capital of France?")).text == "Paris."
    assert llm.prompts() == ["Capital of France?"] * 2


# -- clarifying -------------------------------------------------------------------------------------------------------

UNSURE = SourceRoute(("leave",), {"leave": 0.41, "travel": 0.38, "garden": 0.01, "none": 0.2}, by="Fixed")


@WAYS
def test_an_unsure_route_is_asked_back_once(tmp_path: Path, way: str) -> None:
    shelf, llm = Shelf("leave.md"), reader()
    with opened(tmp_path, llm, naive_rag(shelf, llm), router=Fixed(gives=UNSURE)) as assistant:
        chat = assistant.chat(ANA, "1")
        result = ask(chat, "What is the limit?", way)
        assert result["answer"] == "Do you mean leave or travel?"
        assert not (result["abstained"] or llm.calls or shelf.asked)
        answered = ask(chat, "travel", way)
        assert answered["asked"] == shelf.asked[-1] == "What is the limit? (travel)"
        assert ask(chat, "What is the limit?", way)["answer"] == "Do you mean leave or travel?"


@pytest.mark.parametrize(
    "gives",
    [
        SourceRoute(("leave",), {"leave": 0.9, "travel": 0.85}),
        SourceRoute(("none",), UNSURE.scores),
        SourceRoute((), UNSURE.scores),
        SourceRoute(("leave",)),
        ConnectionError("gone"),
        "nonsense",
    ],
)
def test_else_nothing_is_asked_back(tmp_path: Path, gives: Any) -> None:
    with opened(tmp_path, router=Fixed(gives=gives)) as assistant:
        result = assistant.chat(ANA, "1").ask(QUESTION)
        check(result)
        assert result["answer"] == GOOD


# -- interrupts and kills ---------------------------------------------------------------------------------------------


def correcting(web: Shelf) -> Any:
    llm = FakeChatModel(replies=lambda messages: GOOD if "Passages" in str(messages[-1].text) else "leave")
    return corrective_rag(
        Shelf("leave.md"), llm, evaluator=Evaluator(0.5), web=web, approve_web=True, checkpointer=InMemorySaver()
    )


@WAYS
@pytest.mark.parametrize(("reply", "asked"), [(True, ["leave"]), (False, []), ("holidays", ["holidays"])])
def test_a_person_is_asked_even_after_a_restart(tmp_path: Path, way: str, reply: Any, asked: list[str]) -> None:
    web = Shelf("garden.md", prefix="web:")
    with opened(tmp_path, strategy=correcting(web)) as assistant:
        event = ask(assistant.chat(ANA, "1"), QUESTION, way)
        question = {"type": "web_search", "question": QUESTION, "queries": ["leave"]}
        assert event == {"type": "interrupt", "id": event["id"], "value": question}
    with opened(tmp_path, strategy=correcting(web)) as assistant:
        chat = assistant.chat(ANA, "1")
        assert chat.state().unfinished == QUESTION
        assert resume(chat, way)[-1] == event  # without a reply it is asked once more
        with pytest.raises(UsageError, match="nothing that waits"):
            resume(chat, way, True, to="another")
        assert not web.asked
        result = resume(chat, way, reply, to=event["id"])[-1]
        assert (result["answer"], web.asked) == (GOOD, asked)
        assert not chat.state().unfinished
        assert told(chat) == [QUESTION, GOOD]


def two_searches(asked: list[str]) -> Any:
    """A strategy that would search twice at once, and asks before each."""
    graph = StateGraph(StrategyState, output_schema=StrategyOutput)

    def searching(name: str) -> Any:
        def search(state: Any) -> dict[str, Any]:
            if interrupt({"type": "web_search", "queries": [name]}):
                asked.append(name)
            return {}

        return search

    graph.add_node("end", lambda state: {"answer": GOOD, "documents": [], "citations": [], "abstained": False})
    for name in ("one", "two"):
        graph.add_node(name, searching(name))
        graph.add_edge(START, name)
    graph.add_edge(["one", "two"], "end")
    graph.add_edge("end", END)
    return graph.compile(checkpointer=InMemorySaver(), name="twice")


@WAYS
@pytest.mark.parametrize("named", [True, False])
def test_a_consent_is_for_what_was_shown(tmp_path: Path, way: str, named: bool) -> None:
    asked: list[str] = []
    with opened(tmp_path, strategy=two_searches(asked)) as assistant:
        chat = assistant.chat(ANA, "1")
        event = ask(chat, QUESTION, way)
        second = resume(chat, way, True, to=event["id"] if named else None)[-1]
        assert (second["type"], asked) == ("interrupt", event["value"]["queries"])
        assert sorted([*asked, *second["value"]["queries"]]) == ["one", "two"]
        with pytest.raises(UsageError, match="nothing that waits"):
            resume(chat, way, True, to=event["id"])
        assert resume(chat, way, False, to=second["id"] if named else None)[-1]["answer"] == GOOD
        assert asked == event["value"]["queries"]


class Killed(BaseException):
    """What nothing may catch, as a signal is."""


def killing(at: int) -> FakeChatModel:
    calls = iter(range(1, 100))
    sensible = reader().replies

    def say(messages: Any) -> Any:
        if next(calls) == at:
            raise Killed
        return sensible(messages)  # type: ignore[operator]

    return FakeChatModel(replies=say)


@WAYS
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_killed_answer_goes_on_from_its_last_step(tmp_path: Path, way: str, at: int) -> None:
    """The first call reads, the second makes the follow-up whole, the third reads again."""
    questions = [QUESTION, "Is it paid?"]
    with opened(tmp_path) as assistant:
        whole = [ask(assistant.chat(BO, "1"), question, way) for question in questions]
    shelf, llm = Shelf("leave.md", "travel.md"), killing(at)
    with opened(tmp_path, llm, naive_rag(shelf, llm, reader=with_memory(llm))) as assistant, pytest.raises(Killed):
        for question in questions:
            ask(assistant.chat(ANA, "1"), question, way)
    searched = len(shelf.asked)
    with opened(tmp_path, strategy=naive_rag(shelf, llm)) as assistant:
        chat = assistant.chat(ANA, "1")
        unfinished = chat.state().unfinished
        assert unfinished == questions[at > 1]
        result = resume(chat, way)[-1]
        wanted = whole[at > 1]
        for key in ("answer", "citations", "asked"):
            assert result[key] == wanted[key]
        assert [step["node"] for step in result["steps"]] == [step["node"] for step in wanted["steps"]]
        assert len(shelf.asked) - searched == (at == 2)  # no search is done twice
        assert told(chat).count(unfinished) == 1
        with pytest.raises(UsageError, match="unfinished"):
            resume(chat, way)


@WAYS
def test_another_strategy_is_asked_from_the_start(tmp_path: Path, way: str) -> None:
    llm = killing(1)
    with opened(tmp_path, llm) as assistant, pytest.raises(Killed):
        ask(assistant.chat(ANA, "1"), QUESTION, way)
    web = Shelf("garden.md")
    with opened(tmp_path) as assistant:
        chat = assistant.answering_with(correcting(web)).chat(ANA, "1")
        assert resume(chat, way)[-1]["type"] == "interrupt"
        result = resume(assistant.chat(ANA, "1"), way, True)[-1]  # nor is a reply to one strategy for another
        assert (result["answer"], web.asked) == (GOOD, [])
        assert told(chat) == [QUESTION, GOOD]


def test_a_new_question_lets_the_unfinished_one_rest(tmp_path: Path) -> None:
    with opened(tmp_path, killing(1)) as assistant:
        chat = assistant.chat(ANA, "1")
        with pytest.raises(Killed):
            chat.ask("Are trips of employees annual leave?")
        assert chat.ask(QUESTION)["answer"] == GOOD
        assert told(chat) == ["Are trips of employees annual leave?", QUESTION, GOOD]
        assert not chat.state().unfinished


@WAYS
def test_the_file_does_not_grow_with_the_square_of_a_thread(tmp_path: Path, way: str) -> None:
    with opened(tmp_path) as assistant:
        for thread in ("1", "2"):
            for number in range(4):
                ask(assistant.chat(ANA, thread), f"{QUESTION} {number}", way)
        saver: Any = assistant.threads.saver  # type: ignore[union-attr]
        for table, rows in (("checkpoints", 2), ("writes", 0)):
            assert saver.conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (rows,)
        assert len(told(assistant.chat(ANA, "1"))) == 8
        assert len(assistant.list(ANA)) == 2
        assert (tmp_path / "chats.sqlite").stat().st_size < 300_000


@WAYS
def test_an_answer_is_not_lost_where_the_thread_cannot_be_tidied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def locked(saver: Any, thread: str) -> None:
        raise StoreError("cannot tidy")

    with opened(tmp_path) as assistant:
        with monkeypatch.context() as patched:
            patched.setattr("ragloom.agents.assistant.chat.keep_latest", locked)
            assert ask(assistant.chat(ANA, "1"), QUESTION, way)["answer"] == GOOD
        saver: Any = assistant.threads.saver  # type: ignore[union-attr]
        count = "SELECT count(*) FROM checkpoints"
        assert saver.conn.execute(count).fetchone()[0] > 1
        ask(assistant.chat(ANA, "1"), QUESTION, way)
        assert saver.conn.execute(count).fetchone()[0] == 1


def test_the_shape_of_the_graph(tmp_path: Path) -> None:
    snapshot = Path(__file__).with_name("assistant.mermaid")
    with opened(tmp_path, router=Fixed("leave")) as assistant:
        assert mermaid_of(assistant.graph) == snapshot.read_text(encoding="utf-8").strip()


# -- in other places --------------------------------------------------------------------------------------------------


@WAYS
def test_each_tenant_has_its_own_passages(tmp_path: Path, way: str) -> None:
    def strategy(scope: AccessScope) -> Any:
        return naive(reader(), "leave.md" if scope.tenant == "acme" else "garden.md")

    with opened(tmp_path, strategy=strategy) as assistant:
        assert ask(assistant.chat(ANA, "1"), QUESTION, way)["answer"] == GOOD
        other = ask(assistant.chat(AccessScope("other", "ana"), "1"), QUESTION, way)
        assert [document.id for document in other["documents"]] == ["garden.md"]
    graph = assistant_graph(strategy, reader(), checkpointer=InMemorySaver())
    for thread in ("1", "acme/ana", "/ /1", "a/b/c/d", "acme/ana%2/1"):
        config: Any = {"configurable": {"thread_id": thread}}
        with pytest.raises(UsageError, match="has no owner"):
            graph.invoke({"question": QUESTION}, config)


@WAYS
def test_the_strategy_is_told_who_asks(tmp_path: Path, way: str) -> None:
    seen: list[Any] = []

    def retrieve(state: Any) -> dict[str, Any]:
        seen.append(get_runtime().context)
        return {"documents": [], "hops": 1}

    with opened(tmp_path, strategy=with_nodes(naive(reader()), retrieve=retrieve)) as assistant:
        ask(assistant.chat(AccessScope("acme", "ana", ["staff"]), "1"), QUESTION, way)
        ask(assistant.chat(ANA, "1"), QUESTION, way)
        ask(assistant.chat(BO, "1"), QUESTION, way)
    ana = AccessScope(tenant="acme", user="ana")
    assert seen == [AccessScope("acme", "ana", ["staff"]), ana, AccessScope("acme", "bo")]


@WAYS
def test_a_strategy_is_built_for_its_name_and_to_answer(tmp_path: Path, way: str) -> None:
    built: list[AccessScope] = []

    def strategy(scope: AccessScope) -> Any:
        built.append(scope)
        return naive(reader())

    with opened(tmp_path, strategy=strategy) as assistant:
        chat = assistant.chat(ANA, "1")
        assert not built
        ask(chat, QUESTION, way)
        assert built == [ANA] * 2


async def test_the_graph_is_a_part_of_a_bigger_one(tmp_path: Path) -> None:
    with Threads.open(tmp_path / "chats.sqlite") as threads, LongTermMemory.open(tmp_path / "m.sqlite") as memory:
        memory.remember(ANA, FACT)
        llm = reader()
        outer = StateGraph(MessagesState)
        outer.add_node("assistant", assistant_graph(naive(llm), llm, memory=memory))
        outer.add_edge(START, "assistant")
        outer.add_edge("assistant", END)
        graph = outer.compile(checkpointer=threads.saver)
        result = await graph.ainvoke({"messages": [("user", QUESTION)]}, threads.config(ANA, "1"))
        assert [message.text for message in result["messages"]] == [QUESTION, GOOD]


def test_a_bare_question_is_kept_too() -> None:
    llm = reader()
    graph = assistant_graph(naive(llm), llm, checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "any"}}  # without memory nobody need own it
    for _ in range(2):
        result = graph.invoke({"question": QUESTION}, config)
    assert [message.text for message in result["messages"]] == [QUESTION, GOOD] * 2


@WAYS
def test_another_checkpointer(tmp_path: Path, way: str) -> None:
    llm, saver = reader(), InMemorySaver()
    assistant = Assistant(naive(llm), llm, threads=saver)
    chat = assistant.chat(ANA, "1")
    ask(chat, QUESTION, way)
    ask(assistant.chat(BO, "1"), QUESTION, way)

    def forget(thread: str | None) -> int:
        gone = assistant.forget(ANA, thread) if way == "sync" else asyncio.run(assistant.aforget(ANA, thread))
        return gone.threads

    assert forget("1") == 1
    assert forget("1") == 0
    assert told(chat) == [] and told(assistant.chat(BO, "1")) == [QUESTION, GOOD]
    for what in (lambda: assistant.list(ANA), lambda: forget(None), lambda: assistant.retain(1)):
        with pytest.raises(UsageError, match="cannot tell whose"):
            what()


@pytest.mark.parametrize("strategy", [None, "naive", InMemorySaver()])
def test_what_cannot_answer_is_refused(strategy: Any) -> None:
    with pytest.raises(UsageError, match="cannot answer"):
        assistant_graph(strategy, reader())


def test_a_graph_that_is_no_strategy_is_refused(tmp_path: Path) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("x", lambda state: {})
    graph.add_edge(START, "x")
    with pytest.raises(UsageError, match="is no strategy"):
        opened(tmp_path, strategy=graph.compile())


# -- forgetting -------------------------------------------------------------------------------------------------------


@WAYS
def test_forgetting_leaves_no_byte(tmp_path: Path, way: str) -> None:
    secret = "zebra7719"

    def forget(thread: str | None) -> tuple[int, int]:
        gone = assistant.forget(ANA, thread) if way == "sync" else asyncio.run(assistant.aforget(ANA, thread))
        return gone.threads, gone.facts

    with opened(tmp_path) as assistant:
        for thread in ("1", "2"):
            chat = assistant.chat(ANA, thread)
            ask(chat, f"{QUESTION} says {secret}", way)
            ask(chat, f"Remember that {secret} is a word of thread {thread}.", way)
        ask(assistant.chat(BO, "1"), QUESTION, way)
        assert holding(tmp_path, secret)
        assert forget("1") == (1, 1)
        assert told(assistant.chat(ANA, "1")) == []
        assert holding(tmp_path, secret)
        assert forget(None) == (1, 1)
        assert holding(tmp_path, secret) == holding(tmp_path, "/ana/") == []
        assert told(assistant.chat(BO, "1")) == [QUESTION, GOOD]
        assert (assistant.retain(1), asyncio.run(assistant.aretain(0))) == (0, 1)
        assert holding(tmp_path, "annual leave") == []
