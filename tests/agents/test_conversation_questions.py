"""Follow-ups: told apart, rewritten by a model that is checked, or by rules; what the user said stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

from ragloom.agents.conversation import (
    History,
    Turn,
    aresolve_question,
    clarification,
    follow_up_node,
    resolve_question,
    should_clarify,
    why_follow_up,
)
from ragloom.graphs.common.state import StrategyInput, StrategyState, begin
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

ALONE = [
    "What is anemia?",
    "Tell me about lung cancer.",
    "What are the symptoms of lung cancer?",
    "What is mortadella and where is it from?",
    "How many days of annual leave do full-time employees get in Vienna?",
    "How tall is the Eiffel Tower?",
    "Is the train to Porto cheaper than the bus to Porto?",
    "How did the Faroe Islands get their name?",
    "How much tax do small businesses in Portugal owe on the salaries they pay?",
]
FOLLOW_UPS = {
    "Is it treatable?": "pronoun",
    "What are its symptoms?": "pronoun",
    "And the other one?": "points back",
    "What about interns?": "begins with",
    "And in Vienna?": "begins with",
    "If I live in Spain?": "begins with",
    "Why did Ben Franklin want it?": "pronoun",
    "Who else?": "points back",
    "Why?": "names no subject",
    "What are the main differences?": "names no subject",
    "Are there cheaper hotels?": "compares",
    "How reliable is the test?": "too little",
    "What happened after that?": "points back",
}


@pytest.mark.parametrize("question", ALONE)
def test_a_question_that_names_its_subject_stays(question: str) -> None:
    assert why_follow_up(question) == ""
    made = resolve_question(["What is throat cancer?"], question)
    assert (made.question, made.by) == (question, "itself")


@pytest.mark.parametrize(("question", "why"), FOLLOW_UPS.items())
def test_a_follow_up_is_told_with_its_reason(question: str, why: str) -> None:
    assert why in why_follow_up(question)
    made = resolve_question(["What is throat cancer?"], question)
    assert made.by == "rules"
    assert why in made.reason
    assert "throat cancer" in made.question


def test_the_first_question_is_no_follow_up() -> None:
    llm = FakeChatModel(replies=["never asked"])
    made = resolve_question([], " Is it treatable? ", llm)
    assert (made.question, made.by, made.reason) == ("Is it treatable?", "itself", "there is no earlier turn")
    assert not llm.calls


@pytest.mark.parametrize(
    ("history", "question", "expected"),
    [
        (["What is throat cancer?"], "Is it treatable?", "Is throat cancer treatable?"),
        (
            ["What is throat cancer?", "Is it treatable?"],
            "What are its symptoms?",
            "What are throat cancer's symptoms?",
        ),
        # A question of its own subject sets another one; the topic of the conversation is kept beside it.
        (
            ["What is throat cancer?", "Tell me about lung cancer."],
            "What are its symptoms?",
            "What are lung cancer's symptoms? (throat cancer)",
        ),
        (
            [
                Turn("Who is the ombudsperson?", "The ombudsperson is Leonor Pinto."),
                Turn("Where does she sit?", "In Porto."),
            ],
            "When did she start?",
            "When did Leonor Pinto start? (ombudsperson)",
        ),
        ([Turn("Who wrote Emma?", "Emma was written by Jane Austen.")], "Where was she born?", "Jane Austen"),
        (
            [Turn("Tell me about Jane Austen.", "She lived in Bath.")],
            "Where was she born?",
            "Where was Jane Austen born?",
        ),
        ([Turn("When was the bridge built?", "It opened in 1932.")], "Who was mayor then?", "1932"),
        (
            [Turn("Which bridges are there?", "There are the Forth Bridge and the Tay Bridge.")],
            "Is the second one longer?",
            "Tay Bridge",
        ),
        # In a long question a pronoun may mean what stands before it: it is left, and the phrase appended.
        (
            ["What is a bond?"],
            "Could you please tell me if it is what most people want to have?",
            "Could you please tell me if it is what most people want to have? (bond)",
        ),
        # An "it" that stands for nothing is left as it is.
        (["Tell me about melatonin."], "Is it safe to take?", "Is it safe to take? (melatonin)"),
    ],
)
def test_rules_add_what_is_left_out(history: list[Any], question: str, expected: str) -> None:
    made = resolve_question(history, question)
    assert expected in made.question
    assert made.by == "rules"


def test_the_summary_helps_where_no_turn_is_left() -> None:
    made = resolve_question(History(summary="The user asks about the Lisbon office."), "Where is it?")
    assert "Lisbon office" in made.question


def test_the_model_rewrites_and_is_shown_the_last_turns() -> None:
    llm = FakeChatModel(replies=['Rewritten: "What is the treatment of throat cancer?"\nThat is it.'])
    history = [Turn(f"Question {n}?", "word " * 500) for n in range(9)] + [Turn("What is throat cancer?", "A cancer.")]
    made = resolve_question(history, "What is its treatment?", llm)
    assert (made.question, made.by) == ("What is the treatment of throat cancer?", "model")
    assert "pronoun" in made.reason
    (prompt,) = llm.prompts()
    assert "Question 8?" in prompt
    assert "Question 5?" not in prompt
    assert prompt.count("word") < 250


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("", "empty"),
        ("...", "empty"),
        ("Throat cancer is treatable in 1990.", "no question"),
        ("I don't know.", "no question"),
        ("Is throat cancer " + "really " * 40 + "treatable?", "longer"),
        ("Is throat cancer bad?", "lost"),
        ("Is throat cancer treatable in Switzerland?", "made up"),
        ("Is it treatable?", "adds nothing"),
        ("Do dogs like milk?", "lost"),
        (ConnectionError("gone"), "gone"),
    ],
)
def test_a_wrong_rewrite_falls_back_to_the_rules(reply: Any, why: str) -> None:
    made = resolve_question(["What is throat cancer?"], "Is it treatable?", FakeChatModel(replies=[reply]))
    assert (made.question, made.by) == ("Is throat cancer treatable?", "rules")
    assert why in made.reason


def test_numbers_are_kept() -> None:
    llm = FakeChatModel(replies=["Is the hotel in Vienna below 150 euros?"])
    made = resolve_question(["Is there a hotel in Vienna?"], "Is it below 165 euros?", llm)
    assert made.by == "rules"
    assert "165" in made.question


def test_no_call_without_budget() -> None:
    llm = FakeChatModel(replies=["Is throat cancer treatable?"])
    made = resolve_question(["What is throat cancer?"], "Is it treatable?", llm, Budget(llm_calls=1))
    assert made.by == "rules"  # the one call is kept for the reading
    assert "budget of 1 calls" in made.reason
    assert not llm.calls


VOCABULARY = (
    "it its they she that one the a of and why what is are tell me about leave Vienna 165 Porto days? cancer. ( 你好"
)
WORDS = st.sampled_from([*VOCABULARY.split(), "\n"])
TEXTS = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
TURNS = st.lists(st.builds(Turn, TEXTS, st.one_of(st.just(""), TEXTS)), max_size=4)


@given(TURNS, TEXTS, st.one_of(TEXTS, st.text(max_size=60)))
@settings(max_examples=150, deadline=None)
def test_laws_of_every_rewrite(turns: list[Turn], question: str, reply: str) -> None:
    """Whatever the model says: nothing is made up, nothing but the replaced pronoun is lost, and it is repeatable."""
    from ragloom.agents.conversation.phrases import aspect_terms, terms_of

    made = resolve_question(turns, question, FakeChatModel(replies=[reply]))
    held = terms_of(History.of(turns).text()) | terms_of(question)
    assert terms_of(made.question) <= held | aspect_terms() | {"s"}  # of a number's possessive: "165's"
    assert terms_of(question) - aspect_terms() <= terms_of(made.question)
    assert made.reason
    assert resolve_question(turns, question, FakeChatModel(replies=[reply])) == made
    if made.by == "itself":
        assert made.question == question.strip()


async def test_async_is_the_same() -> None:
    history = ["What is throat cancer?"]
    for reply in ("Is throat cancer treatable?", "nonsense", ConnectionError("gone")):
        sync = resolve_question(history, "Is it treatable?", FakeChatModel(replies=[reply]))
        assert await aresolve_question(history, "Is it treatable?", FakeChatModel(replies=[reply])) == sync


def graph_of(llm: Any) -> Any:
    """begin, resolve, and an answer that names what was asked."""

    def answer(state: StrategyState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"About: {state['asked']}")], "answer": state["asked"]}

    graph = StateGraph(StrategyState, input_schema=StrategyInput)
    graph.add_node("begin", begin)
    graph.add_node("resolve", follow_up_node(llm))
    graph.add_node("answer", answer)
    for one, two in ((START, "begin"), ("begin", "resolve"), ("resolve", "answer"), ("answer", END)):
        graph.add_edge(one, two)
    return graph.compile(checkpointer=InMemorySaver())


async def test_in_a_graph_what_the_user_said_stays() -> None:
    graph, thread = graph_of(None), {"configurable": {"thread_id": "1"}}
    graph.invoke({"messages": [("user", "What is throat cancer?")]}, thread)
    state = graph.invoke({"messages": [("user", "Is it treatable?")]}, thread)
    assert state["asked"] == "Is throat cancer treatable?"
    assert state["search_queries"] == [state["asked"]]
    assert [m.text for m in state["messages"] if m.type == "human"] == ["What is throat cancer?", "Is it treatable?"]
    (step,) = state["steps"]
    assert step["node"] == "resolve"
    assert step["decision"] == state["asked"]
    assert step["reason"].startswith("by the rules: a follow-up")
    assert step["details"]["said"] == "Is it treatable?"
    state = await graph.ainvoke({"messages": [("user", "Who is Leonor Pinto?")]}, thread)
    assert state["steps"][0]["decision"] == "stands alone"


# -- asking back ------------------------------------------------------------------------------------------------------


def test_it_asks_back_where_it_is_unsure() -> None:
    assert should_clarify({"the handbook": 0.4, "the web": 0.1, "the tables": 0.38}) == ["the handbook", "the tables"]
    assert should_clarify({"the handbook": 0.9, "the web": 0.85}) == []  # sure of either
    assert should_clarify({"the handbook": 0.4, "the web": 0.1}) == []  # nothing else comes near
    assert should_clarify({}) == []
    assert len(should_clarify(dict.fromkeys("abcdef", 0.16))) == 3


def test_never_twice_in_a_row() -> None:
    scores = {"the handbook": 0.4, "the tables": 0.38}
    asked = clarification(should_clarify(scores))
    assert asked.text == "Do you mean the handbook or the tables?"
    messages = [HumanMessage("How many days?"), asked, HumanMessage("the second one")]
    history = History.from_messages(messages)
    assert should_clarify(scores, history) == []
    later = [*messages, AIMessage("25 days."), HumanMessage("And hotels?")]
    assert should_clarify(scores, History.from_messages(later))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("the second one", "How many days? (the tables)"),
        ("1", "How many days? (the handbook)"),
        ("the handbook.", "How many days? (the handbook)"),
        ("What is the canteen's menu on Friday?", "What is the canteen's menu on Friday?"),
    ],
)
def test_the_reply_is_put_to_the_question_it_is_about(reply: str, expected: str) -> None:
    asked = clarification(["the handbook", "the tables"])
    history = History.from_messages([HumanMessage("How many days?"), asked, HumanMessage(reply)])
    llm = FakeChatModel(replies=["What?"])
    assert resolve_question(history, reply, llm).question == expected
    assert not llm.calls
