"""Task routing: which task a question is, which path serves it, and what it may cost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from sources_kit import Fixed, nodes_of
from strategy_kit import GOOD, QUESTION, Evaluator, Shelf, check, mermaid_of, moody, within
from tasks_kit import small_base, told

from ragloom.agents.auto.default import default_auto
from ragloom.agents.conversation import History
from ragloom.agents.registry import STRATEGIES
from ragloom.agents.sources import CascadeRouter, SourceRoute, TrainedRouter
from ragloom.agents.tables import Tables
from ragloom.agents.tasks import EXAMPLES, TASKS, ExampleRouter, TaskLLMRouter, TaskRules, task_rag
from ragloom.errors import ArtifactError, UsageError
from ragloom.graphs import closed_book, corrective_rag, naive_rag
from ragloom.models.router import Route
from ragloom.retrieval import KnowledgeBase
from ragloom.testing import FakeChatModel, HashEmbedding
from ragloom.types import Budget

RIDERS = Tables.of({"riders": (["Name", "Points"], [["Ann", "1,193"], ["Bob", "930"]])})
BEST = "SELECT name FROM riders ORDER BY points DESC LIMIT 1"
ASKED = {
    "fact": QUESTION,
    "summary": "Summarise the travel policy.",
    "comparison": "Compare hotels in Vienna and hotels in Leeds.",
    "table": "Which of the riders has the most points?",
    "small_talk": "Hello there!",
    "out_of_scope": "Write me a poem about roses.",
}


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> KnowledgeBase:
    return small_base(tmp_path_factory.mktemp("tasks"))


def ask(kb: Any, question: str, *replies: Any, **options: Any) -> tuple[Any, FakeChatModel]:
    llm = FakeChatModel(replies=list(replies) or ["I don't know."])
    retriever = kb.retriever(mode="bm25") if isinstance(kb, KnowledgeBase) else kb
    result = task_rag(retriever, llm, **options).invoke({"question": question})
    check(result)
    return result, llm


def to(task: Any) -> Fixed:
    return Fixed(task, labels=TASKS)


# -- paths -------------------------------------------------------------------------------------------------------------


def test_every_task_has_its_path(kb: KnowledgeBase) -> None:
    tables = RIDERS
    for task, question in ASKED.items():
        result, _ = ask(kb, question, "Hotels in Vienna are paid up to 165 euros a night.", tables=tables)
        assert (nodes_of(result)[:2], result["steps"][0]["decision"]) == (["classify", task], task), question
        inner = [name.partition("/")[0] for name in nodes_of(result)[2:]]
        assert set(inner) <= {task, "fact"}, inner


def test_the_decision_its_reason_and_scores_are_told(kb: KnowledgeBase) -> None:
    result, _ = ask(kb, ASKED["summary"], "Trips are booked with Northgate Travel.")
    step = result["steps"][0]
    assert (step["decision"], step["scores"]) == ("summary", {"summary": 1.0})
    assert step["reason"] == "by TaskRules; it says 'Summarise'"


def test_a_fact_goes_to_the_given_strategy() -> None:
    result, _ = ask(Shelf("leave.md"), QUESTION, GOOD)
    assert nodes_of(result) == ["classify", "fact", "fact/retrieve", "fact/read", "fact/cite"]
    assert (result["answer"], result["citations"][0]["source"]) == (GOOD, "leave.md")

    def mine(retriever: Any, llm: Any, **parts: Any) -> Any:
        return corrective_rag(retriever, llm, evaluator=Evaluator(), **parts)

    for strategy in ("decompose", mine):
        result, _ = ask(Shelf("leave.md"), QUESTION, GOOD, strategy=strategy)
        assert result["answer"] == GOOD
    assert "fact/refine" in nodes_of(result)


def test_a_strategy_that_chooses_answers_facts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "auto", partial(default_auto, evaluator=None))  # no model is loaded
    for strategy in ("auto", "agentic"):
        result, _ = ask(Shelf("leave.md"), QUESTION, GOOD, strategy=strategy)
        assert (result["answer"], result["steps"][0]["decision"]) == (GOOD, "fact"), strategy


def test_small_talk_asks_no_model_and_retrieves_nothing() -> None:
    shelf = Shelf("leave.md")
    for said, reply in {
        "Hi": "Hello! What would you like to know?",
        "Thanks a lot!": "You're welcome.",
        "good bye": "Goodbye!",
        "Hello, how are you?": "I am fine, thank you. What would you like to know?",
    }.items():
        result, llm = ask(shelf, said)
        assert (result["answer"], result["abstained"], result["documents"]) == (reply, False, [])
        assert (llm.calls, shelf.asked, result["usage"]["calls"]) == ([], [], 0)


def test_out_of_scope_says_so() -> None:
    shelf = Shelf("leave.md")
    result, llm = ask(shelf, ASKED["out_of_scope"])
    assert result["abstained"] and result["answer"].startswith("I cannot help with that")
    assert (llm.calls, shelf.asked) == ([], [])


def test_a_table_question_is_asked_of_the_tables(kb: KnowledgeBase) -> None:
    result, _ = ask(kb, ASKED["table"], BEST, tables=RIDERS)
    assert (result["answer"], result["citations"][0]["source"]) == ("Ann", "riders")
    assert told(result, "classify")["reason"] == "by TaskRules; it says 'Which', and a table has point and rider"


def test_where_tables_hold_no_answer_the_documents_are_asked(kb: KnowledgeBase) -> None:
    replies = ["This is no SQL.", "Nor is this.", GOOD]
    result, llm = ask(kb, QUESTION, *replies, tables=RIDERS, classifier=to("table"))
    assert (result["answer"], result["usage"]["calls"]) == (GOOD, 3)
    assert "the documents are asked instead" in told(result, "table")["reason"]
    assert sum(message.type == "ai" for message in result["messages"]) == 1
    tight = Budget(llm_calls=2)
    result, llm = ask(kb, QUESTION, *replies, tables=RIDERS, classifier=to("table"), budget=tight)
    assert result["abstained"] and len(llm.calls) == 2 and "fact" not in nodes_of(result)


def test_a_path_of_ones_own(kb: KnowledgeBase) -> None:
    own = {
        "small_talk": closed_book(Shelf(), FakeChatModel(replies=["Good morning to you."])),
        "summary": lambda budget: naive_rag(
            Shelf("garden.md"), FakeChatModel(replies=["The roses are watered at dawn."])
        ),
    }
    result, _ = ask(kb, "Hi!", paths=own)
    assert result["answer"] == "Good morning to you."
    result, _ = ask(kb, "Summarise the roses.", paths=own)
    assert result["answer"] == "The roses are watered at dawn."
    result, _ = ask(kb, "Hi!", paths=own, budget=Budget(llm_calls=0))
    assert result["abstained"] and "the budget of 0 calls is spent" in result["answer"]  # it has a budget of its own


def test_what_was_offered_stays_with_the_message(kb: KnowledgeBase) -> None:
    graph = task_rag(kb.retriever(mode="bm25"), FakeChatModel())
    result = graph.invoke({"messages": [("user", "Summarise the policy.")]})
    assert result["answer"] == "Do you mean Leave policy or Travel policy?"
    assert History.from_messages(result["messages"]).turns[-1].offered == ("Leave policy", "Travel policy")


# -- the classifier ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "gives",
    [
        SourceRoute(()),
        SourceRoute(("none",)),
        SourceRoute(("poetry",)),
        SourceRoute(("table",)),  # there are no tables
        None,
        "summary",
        ConnectionError("the model is gone"),
    ],
)
def test_what_is_unknown_is_a_fact(gives: Any) -> None:
    result, _ = ask(Shelf("leave.md"), QUESTION, GOOD, classifier=Fixed("fact", gives=gives or 0, labels=TASKS))
    assert (result["answer"], result["steps"][0]["decision"]) == (GOOD, "fact")
    assert "unknown, so fact" in result["steps"][0]["reason"] or "no path for table" in result["steps"][0]["reason"]


def test_a_part_that_cannot_be_loaded_is_raised() -> None:
    with pytest.raises(ArtifactError):
        ask(Shelf("leave.md"), QUESTION, classifier=Fixed(gives=ArtifactError("no such file"), labels=TASKS))


RULES = {
    "small_talk": ["Hi", "Good morning!", "thanks, that helped", "Who are you?", "What can you do?", "Bye."],
    "out_of_scope": [
        "Tell me a joke",
        "what's the weather in Rome",
        "please set an alarm for 7",
        "Translate this.",
        "Remind me to call Bob at 7.30",
        "Can you book me a taxi to the airport?",
        "Will it rain tomorrow?",
        "What will the weather be like in Paris tomorrow?",
    ],
    "summary": [
        "Summarize the report",
        "Can you sum up chapter 2?",
        "Give me a short overview of all documents",
        "What are the key points of the handbook?",
        "What is this document about?",
    ],
    "comparison": ["Compare A4 with A5.", "How does the new plan differ from the old plan?", "Oslo vs Bergen"],
    "table": ["How many rows are there?", "What is the sum of the third column in the table?"],
    "unknown": [
        "Hello! How much leave do I get?",
        "Thanks. Who is the ombudsperson?",
        "How do I book a trip?",
        "What does the summary say about risks?",
        "Who writes the poems in the newsletter?",
        "What is the main office?",
        "Is the limit higher than 5 metres?",
        "How many days of leave do I get?",
        "What is the weather policy?",
        "Remind me what the hotel limit in Vienna is.",
        "Remind me who the ombudsperson is",
        "Remind me to whom I send the form",
        "Remind me in a few words of the leave rules",
        "Book a hotel: what is the limit?",
        "Book a hotel. Who pays for it?",
        "Email me the hotel limit",
        "What is the weather like on Mars in summer?",
        "What is the weather like in winter?",
        "Is it snowing in chapter 3?",
        "Tell me the story of the bridge",
        "Write the code of conduct in short",
        "What is the deadline of the report, Monday or Friday?",
        "Who wrote the report on trade?",
        "",
    ],
}


@pytest.mark.parametrize("task", RULES)
def test_rules(task: str) -> None:
    for question in RULES[task]:
        assert TaskRules().route(question).label == task, question


def test_the_words_of_tables_make_a_table_question() -> None:
    rules = TaskRules(tables=RIDERS)
    assert rules.route("How many points does Bob have?").label == "table"
    assert rules.route("Sum up the points of Ann.").label != "summary"
    assert rules.route("How many days of leave does Bob get?").label == "unknown"
    assert rules.route("Where does Bob score his points?").label == "unknown"  # nothing is counted


@given(st.text(max_size=80))
def test_the_law_of_rules(question: str) -> None:
    assert TaskRules().route(question).label in (*TASKS, "unknown")


async def test_examples_by_their_likeness() -> None:
    router = ExampleRouter(embedder=HashEmbedding())
    assert router.labels == TASKS
    for task, examples in EXAMPLES.items():
        for example in examples:
            route = await router.aroute(example)
            assert (route.label, round(route.scores[task], 4)) == (task, 1.0)
            assert route == router.route(example)
    assert router.route("quux blorb").unknown


def test_examples_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="no task 'poem'"):
        ExampleRouter({"poem": ["Write one."]})
    for none in ([], "Hello"):
        with pytest.raises(UsageError, match="has no examples"):
            ExampleRouter({"fact": none})


@pytest.mark.parametrize(
    ("reply", "label"),
    [
        ('{"task": "comparison"}', "comparison"),
        ("Out of scope.", "out_of_scope"),
        ("It is a fact or a summary", "unknown"),
        ('{"task": "poem"}', "unknown"),
        ("", "unknown"),
        (ConnectionError("gone"), "unknown"),
    ],
)
async def test_a_model_names_one_task_or_nothing(reply: Any, label: str) -> None:
    llm = FakeChatModel(replies=[reply])
    router = TaskLLMRouter(llm, json_schema=True)
    assert (router.route(QUESTION).label, (await router.aroute(QUESTION)).label) == (label, label)
    assert llm.options[0]["response_format"]["json_schema"]["schema"]["properties"]["task"]["enum"] == list(TASKS)


class Trained:
    """What `ragloom finetune router` makes, with labels of its own."""

    labels = ("chat", "look_up")

    def route(self, texts: Any) -> list[Route]:
        return [Route("look_up", {"chat": 0.1, "look_up": 0.9}) for _ in texts]


def test_routers_of_sources_serve_as_well() -> None:
    cascade = CascadeRouter(TaskRules(), ExampleRouter(embedder=HashEmbedding()), fallback="fact")
    result, _ = ask(Shelf("leave.md"), "Hello there!", classifier=cascade)
    assert result["steps"][0]["decision"] == "small_talk"
    result, _ = ask(Shelf("leave.md"), EXAMPLES["summary"][4], classifier=cascade)  # which no rule knows
    assert (result["steps"][0]["decision"], TaskRules().route(EXAMPLES["summary"][4]).label) == ("summary", "unknown")
    trained = TrainedRouter(Trained(), labels={"chat": "small_talk", "look_up": "fact"})
    result, _ = ask(Shelf("leave.md"), QUESTION, GOOD, classifier=trained)
    assert (result["answer"], result["steps"][0]["scores"]) == (GOOD, {"small_talk": 0.1, "fact": 0.9})
    said = CascadeRouter(TaskRules(), TaskLLMRouter(FakeChatModel(replies=["out_of_scope"])))
    result, _ = ask(Shelf("leave.md"), QUESTION, classifier=said)
    assert (nodes_of(result), result["usage"]["calls"]) == (["classify", "out_of_scope"], 1)


# -- laws --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "budget", [Budget(), Budget(llm_calls=2), Budget(tokens=500), Budget(hops=1), Budget(seconds=0.0)]
)
def test_whatever_a_model_says_there_is_an_answer_within_the_budget(kb: KnowledgeBase, budget: Budget) -> None:
    sensible = ["Hotels in Vienna are paid up to 165 euros a night.", "Employees get 25 days of leave.", BEST]
    llm = FakeChatModel(replies=moody(budget.llm_calls + budget.hops, *sensible))
    graph = task_rag(kb.retriever(mode="bm25"), llm, tables=RIDERS, budget=budget)
    for question in (*ASKED.values(), "Is Vienna better than Leeds?", "Summarise all documents."):
        result = graph.invoke({"question": question})
        check(result)
        within(result, budget)


async def test_sync_and_async_are_alike(kb: KnowledgeBase) -> None:
    for question in ASKED.values():
        replies = ["Hotels in Vienna are paid up to 165 euros a night.", "Hotels in Leeds are paid up to 120 euros."]
        graphs = [task_rag(kb.retriever(mode="bm25"), FakeChatModel(replies=replies), tables=RIDERS) for _ in range(2)]
        one = graphs[0].invoke({"question": question})
        other = await graphs[1].ainvoke({"question": question})
        assert (one["answer"], one["citations"], nodes_of(one)) == (
            other["answer"],
            other["citations"],
            nodes_of(other),
        )


def test_what_streams_is_what_is_answered(kb: KnowledgeBase) -> None:
    for question in ASKED.values():
        said = ["Hotels in Vienna are paid up to 165 euros a night. Hotels in Leeds are paid up to 120 euros a night."]
        graph = task_rag(kb.retriever(mode="bm25"), FakeChatModel(replies=said))
        parts: list[str] = []
        result: Any = {}
        for mode, chunk in graph.stream({"question": question}, stream_mode=["custom", "values"]):
            if mode == "custom":
                parts.append(chunk["text"])  # type: ignore[call-overload]
            else:
                result = chunk
        assert " ".join(parts) == ("" if result["abstained"] else result["answer"]), question


def test_a_thread_of_different_tasks(kb: KnowledgeBase) -> None:
    replies = ["Hotels in Vienna are paid up to 165 euros a night.", "Employees get 25 days of annual leave."]
    graph = task_rag(kb.retriever(mode="bm25"), FakeChatModel(replies=replies), checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "1"}}
    tasks = []
    for text in (ASKED["summary"], "Thanks!", QUESTION):
        result = graph.invoke({"messages": [("user", text)]}, config)
        check(result)
        tasks.append(result["steps"][0]["decision"])
    assert tasks == ["summary", "small_talk", "fact"]
    assert len(result["messages"]) == 6 and result["usage"]["calls"] == 1


def test_the_shape_of_the_graph() -> None:
    drawn = mermaid_of(task_rag(Shelf("leave.md"), FakeChatModel(), tables=RIDERS))
    assert drawn == (Path(__file__).parent / "tasks.mermaid").read_text().strip()


# -- misuse ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classifier": object()}, "object is no classifier of tasks"),
        ({"classifier": Fixed(labels=("handbook",))}, "a task 'handbook' that there is not"),
        ({"paths": {"poem": closed_book(Shelf(), FakeChatModel())}}, "there is no task 'poem'"),
        ({"paths": {"fact": Shelf("leave.md")}}, "the path of 'fact' is a retriever"),
        ({"paths": {"fact": lambda budget: "text"}}, "gives a str, which is no strategy"),
        (
            {"paths": {"fact": closed_book(Shelf(), FakeChatModel(), checkpointer=InMemorySaver())}},
            "has a checkpointer",
        ),
        ({"strategy": "magic"}, "unknown strategy 'magic'"),
        ({"strategy": 7}, "7 is no strategy"),
        ({"strategy": "tasks"}, "cannot be answered by 'tasks' itself"),
        ({"library": []}, "list is no library"),
        ({"prompt": "nowhere"}, "there is no prompt 'nowhere'"),
    ],
)
def test_misuse_is_refused_with_the_graph(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        task_rag(Shelf("leave.md"), FakeChatModel(), **options)
