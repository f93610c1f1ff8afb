"""Comparisons: which sides there are, what is said of each, and that nothing is said of the wrong one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from sources_kit import nodes_of
from strategy_kit import check, within
from tasks_kit import told

from ragloom.agents.tasks import comparison_rag, sides_of
from ragloom.agents.tasks.comparison.nodes import read_sides
from ragloom.agents.tasks.comparison.side_critic import SideCritic
from ragloom.graphs.common.support import OverlapCritic
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

VIENNA = "Hotels in Vienna are paid up to 165 euros a night."
LEEDS = "Hotels in Leeds are paid up to 120 euros a night."
BOTH = "Hotels in Vienna are paid up to 165 euros a night, while hotels in Leeds are paid up to 120 euros a night."
SWAPPED = "Hotels in Vienna are paid up to 120 euros a night, while hotels in Leeds are paid up to 165 euros a night."
QUESTION = "Compare hotels in Vienna with hotels in Leeds."
ROAD = ["split", "search", "state_each", "compare", "cite"]


class Rooms(BaseRetriever):
    """Gives all passages for every query, and remembers it."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts or (VIENNA, LEEDS)
        self.asked: list[str] = []
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        self.asked.append(query_bundle.query_str)
        metadata = {"page": 1, "score_kind": "test"}
        return [
            NodeWithScore(node=TextNode(id_=str(at), text=text, metadata={"source": f"{at}.md", **metadata}), score=1.0)
            for at, text in enumerate(self.texts)
        ]


def ask(*replies: Any, rooms: Any = None, question: str = QUESTION, **options: Any) -> tuple[Any, FakeChatModel]:
    llm = FakeChatModel(replies=list(replies) if len(replies) != 1 or not callable(replies[0]) else replies[0])
    result = comparison_rag(rooms or Rooms(), llm, **options).invoke({"question": question})
    check(result)
    within(result, options.get("budget") or Budget())
    return result, llm


# -- sides -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "sides", "aspect"),
    [
        ("Compare the leave policy and the travel policy on approval.", ("leave policy", "travel policy"), "approval"),
        ("Please compare hotels in Vienna and hotels in Leeds", ("hotels in Vienna", "hotels in Leeds"), ""),
        ("Can you contrast Vienna with Leeds in terms of price?", ("Vienna", "Leeds"), "price"),
        ("Compare the price of apples and pears", ("apples", "pears"), "price"),
        ("Compare the Bank of England and Barclays", ("Bank of England", "Barclays"), ""),
        ("What's the difference between sick leave and parental leave?", ("sick leave", "parental leave"), ""),
        ("What are the differences in pay between interns and staff?", ("interns", "staff"), "pay"),
        ("How does the new plan differ from the old one?", ("new plan", "old one"), ""),
        ("How do Vienna and Leeds differ in size?", ("Vienna", "Leeds"), "size"),
        ("What do cats and dogs have in common?", ("cats", "dogs"), ""),
        ("Which has more staff, Vienna, Leeds or Porto?", ("Vienna", "Leeds", "Porto"), "has more staff"),
        ("Is Vienna bigger than Leeds?", ("Vienna", "Leeds"), "bigger"),
        ("Do employees get more leave than contractors?", ("employees", "contractors"), "more leave"),
        ("Java vs. Python", ("Java", "Python"), ""),
        ("Who is older, Ann or Mohammed?", ("Ann", "Mohammed"), "is older"),
        ("Is Ann older than Mohammed?", ("Ann", "Mohammed"), "older"),
        ("Which costs more, tea or coffee?", ("tea", "coffee"), "costs more"),
    ],
)
def test_sides(question: str, sides: tuple[str, ...], aspect: str) -> None:
    found = sides_of(question)
    assert found is not None and (found.sides, found.aspect) == (sides, aspect)


@pytest.mark.parametrize(
    "question",
    [
        "Who wrote Emma?",
        "Is the limit higher than 5 metres?",
        "Is the trip longer than a week?",
        "Do employees get more than 25 days?",
        "How does it differ from them?",
        "Compare leave with leave",
        "Compare the two plans",
        "What is the capital of France and the capital of Spain?",
        "Which form do I need for leave or travel?",
        "What is the deadline of the report, Monday or Friday?",
        "What is the deadline of the longer report, Monday or Friday?",
        "Who is the manager, Ann or Bob?",
        "Did the war last longer than expected?",
        "Was the bridge built earlier than planned?",
        "Was the bridge longer than originally planned?",
        "Is the limit higher than last year?",
        "Is Vienna bigger than others?",
        "",
    ],
)
def test_what_compares_nothing(question: str) -> None:
    assert sides_of(question) is None


@given(st.text(max_size=60), st.text(max_size=60))
def test_the_law_of_sides(left: str, right: str) -> None:
    """Two to four, all different, none empty, all in the question's words."""
    for question in (f"Compare {left} and {right}", f"{left} vs {right}", f"Which is best, {left} or {right}?", left):
        if found := sides_of(question):
            assert 2 <= len(found.sides) <= 4
            assert len({side.casefold() for side in found.sides}) == len(found.sides)
            assert all(side in " ".join(question.split()) for side in found.sides)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "no JSON",
        '{"sides": ["Vienna"',
        '{"sides": "Vienna"}',
        '{"sides": [1, 2]}',
        '{"sides": ["Rome", "Paris"]}',
        "{}",
    ],
)
def test_nonsense_of_a_model_is_no_side(reply: str) -> None:
    assert read_sides(reply, "What sets Vienna apart from Leeds?") is None


# -- the critic --------------------------------------------------------------------------------------------------------

ONE_PASSAGE = f"{VIENNA} {LEEDS} Trains are booked early."
ONE_SENTENCE = "Hotels in Vienna are paid up to 165 euros and those in Leeds up to 120 euros."
SHARED = "Vienna and Leeds both pay for breakfast."


@pytest.mark.parametrize(
    ("text", "sentence", "supported"),
    [
        (ONE_PASSAGE, VIENNA, True),
        (ONE_PASSAGE, LEEDS, True),
        (ONE_PASSAGE, BOTH, True),
        (ONE_PASSAGE, SWAPPED, False),
        (ONE_PASSAGE, "While Vienna pays up to 165 euros, Leeds pays up to 120 euros.", True),
        (ONE_PASSAGE, "Hotels in Leeds are paid up to 165 euros a night.", False),
        (ONE_PASSAGE, "Hotels in Vienna are dearer than hotels in Leeds.", False),
        (ONE_PASSAGE, "Trains are booked early.", False),  # of neither, or of any
        (ONE_PASSAGE, "It is 165 euros.", False),
        (ONE_PASSAGE, "It is 165 euros, while Leeds pays up to 120 euros and Vienna 165.", False),
        (ONE_SENTENCE, "Hotels in Leeds are paid up to 120 euros.", True),
        (ONE_SENTENCE, "Hotels in Leeds are paid up to 165 euros.", False),
        (SHARED, "Vienna pays for breakfast.", True),
        (SHARED, "Vienna and Leeds pay for breakfast.", True),
        (SHARED, "Leeds pays for dinner.", False),
    ],
)
def test_what_is_said_of_one_side_must_stand_in_a_text_on_it(text: str, sentence: str, supported: bool) -> None:
    critic = SideCritic(OverlapCritic(), ["hotels in Vienna", "hotels in Leeds"])
    found = critic.support(sentence, QUESTION, [Document(text, id="1")])
    assert bool(found) is supported
    assert all(each.score >= critic.threshold for each in found)


@given(st.integers(1, 999), st.integers(1, 999), st.integers(1, 999))
def test_the_law_of_sides_and_values(vienna: int, leeds: int, said: int) -> None:
    """A value is supported for a side if and only if a passage gives it for that side."""
    passages = [
        Document(f"Hotels in {city} cost {price} euros.", id=city)
        for city, price in (("Vienna", vienna), ("Leeds", leeds))
    ]
    critic = SideCritic(OverlapCritic(), ["Vienna", "Leeds"])
    assert bool(critic.support(f"Hotels in Leeds cost {said} euros.", "", passages)) == (said == leeds)
    joined = f"Hotels in Vienna cost {said} euros, while hotels in Leeds cost {leeds} euros."
    assert bool(critic.support(joined, "", passages)) == (said == vienna)


def test_a_heading_says_which_side_a_passage_is_about() -> None:
    critic = SideCritic(OverlapCritic(), ["Vienna", "Leeds"])
    passages = [
        Document("Hotels are paid up to 165 euros.", id="1", metadata={"headings": "Vienna"}),
        Document("Hotels are paid up to 120 euros.", id="2", metadata={"headings": "Leeds"}),
    ]
    assert [each.passage for each in critic.support("In Leeds, hotels are paid up to 120 euros.", "", passages)] == [1]
    assert critic.support("In Leeds, hotels are paid up to 165 euros.", "", passages) == []


# -- the answer --------------------------------------------------------------------------------------------------------


def test_each_side_is_asked_by_itself_and_one_answer_cites_both() -> None:
    rooms = Rooms()
    result, llm = ask(VIENNA, LEEDS, BOTH, rooms=rooms)
    assert (result["answer"], nodes_of(result)) == (BOTH, ROAD)
    assert [each["quote"] for each in result["citations"]] == [VIENNA, LEEDS]
    assert sorted(rooms.asked) == ["hotels in Leeds", "hotels in Vienna"]
    first, second, third = sorted(
        llm.prompts(), key=lambda text: ("say about" not in text, "about hotels in Leeds" in text)
    )
    assert LEEDS not in first and VIENNA not in second  # a side is shown only what names it
    assert VIENNA in third and LEEDS in third


@pytest.mark.parametrize("composed", [SWAPPED, "Vienna is nicer.", "", "I don't know.", ConnectionError("gone")])
def test_values_at_the_wrong_side_are_dropped_and_the_sides_speak_for_themselves(composed: Any) -> None:
    def reply(messages: Any) -> Any:
        text = str(messages[-1].text)
        return composed if "say about" not in text else LEEDS if "about hotels in Leeds" in text else VIENNA

    result, _ = ask(reply)
    assert result["answer"] == f"{VIENNA} {LEEDS}" and len(result["citations"]) == 2
    assert "leaves out hotels in Vienna, hotels in Leeds" in told(result, "compare")["reason"]


def test_a_value_without_a_name_is_not_taken_from_the_other_side() -> None:
    def reply(messages: Any) -> str:
        text = str(messages[-1].text)
        if "say about" in text:
            return LEEDS if "about hotels in Leeds" in text else VIENNA
        return f"{VIENNA} Leeds has rules for hotels. The limit there is 165 euros."

    result, _ = ask(reply, rooms=Rooms(f"The limit: {VIENNA}", f"Leeds has rules for hotels. {LEEDS}"))
    assert result["answer"].count("165") == 1 and "there is 165" not in result["answer"]


def test_a_side_of_which_nothing_is_found_is_named() -> None:
    result, llm = ask(VIENNA, question="Compare hotels in Vienna with hotels in Rome.")
    assert result["answer"] == f"{VIENNA} I found nothing in the documents about hotels in Rome."
    assert (len(llm.calls), result["abstained"]) == (1, False)
    assert result["messages"][-1].text == result["answer"]


def test_where_no_side_is_found_it_abstains() -> None:
    result, llm = ask(VIENNA, question="Compare hotels in Paris with hotels in Rome.")
    assert result["abstained"] and result["answer"].endswith("about hotels in Paris or hotels in Rome.")
    assert llm.calls == [] and result["documents"]  # the nearest passages are shown


def test_what_a_model_says_of_the_other_side_does_not_count() -> None:
    result, _ = ask(VIENNA, VIENNA, VIENNA)
    assert result["answer"] == f"{VIENNA} I found nothing in the documents about hotels in Leeds."


def test_a_statement_without_a_name_is_put_under_it() -> None:
    def reply(messages: Any) -> str:
        text = str(messages[-1].text)
        return (
            ""
            if "say about" not in text
            else "They are paid up to 120 euros a night."
            if "about hotels in L" in text
            else VIENNA
        )

    result, _ = ask(reply)
    assert result["answer"] == f"{VIENNA} hotels in Leeds: They are paid up to 120 euros a night."


def test_a_failing_model_is_no_proof_that_nothing_is_there() -> None:
    result, _ = ask(ConnectionError("the server hung up"))
    assert result["abstained"] and "nothing in the documents about" not in result["answer"]
    assert "could not be read" in result["answer"] and "the server hung up" in result["answer"]


def test_a_failing_search_is_no_proof_either() -> None:
    class Half(Rooms):
        def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
            if "Leeds" in query_bundle.query_str:
                raise ConnectionError("the store is gone")
            return super()._retrieve(query_bundle)

    result, _ = ask(VIENNA, rooms=Half())
    assert result["answer"] == f"{VIENNA} What the documents say about hotels in Leeds could not be read."
    assert "the store is gone" in told(result, "search")["reason"]


def test_the_model_finds_sides_where_rules_find_none() -> None:
    question = "What sets hotels in Vienna apart from those in Leeds?"
    split = '{"sides": ["hotels in Vienna", "hotels in Leeds"], "aspect": ""}'

    def reply(messages: Any) -> str:
        text = str(messages[-1].text)
        if '"sides"' in text:
            return split
        return BOTH if "say about" not in text else LEEDS if "about hotels in Leeds" in text else VIENNA

    result, llm = ask(reply, question=question)
    assert (result["answer"], len(llm.calls)) == (BOTH, 4)
    assert told(result, "split")["reason"] == "by the model"


@pytest.mark.parametrize("split", ["", "no idea", ConnectionError("gone")])
def test_without_sides_the_question_itself_is_read(split: Any) -> None:
    question = "What sets Vienna's hotels apart?"
    rooms = Rooms()
    result, _ = ask(split, VIENNA, question=question, rooms=rooms)
    assert (result["answer"], rooms.asked) == (VIENNA, [question])
    assert told(result, "split")["decision"] == "the question itself"


@pytest.mark.parametrize(("calls", "answer"), [(1, BOTH), (2, VIENNA), (3, BOTH)])
def test_with_few_calls_there_is_an_answer_still(calls: int, answer: str) -> None:
    def reply(messages: Any) -> str:
        text = str(messages[-1].text)
        return BOTH if "say about" not in text else LEEDS if "about hotels in Leeds" in text else VIENNA

    result, llm = ask(reply, budget=Budget(llm_calls=calls))
    assert answer in result["answer"] and len(llm.calls) <= calls


def test_three_sides() -> None:
    porto = "Hotels in Porto are paid up to 90 euros a night."

    def reply(messages: Any) -> str:
        text = str(messages[-1].text)
        said = {"Leeds": LEEDS, "Porto": porto, "Vienna": VIENNA}
        return next((said[city] for city in said if f"about {city}" in text), f"{VIENNA} {porto}")

    result, _ = ask(reply, rooms=Rooms(VIENNA, LEEDS, porto), question="Which is dearest, Vienna, Leeds or Porto?")
    assert result["answer"] == f"{VIENNA} {porto} {LEEDS}"  # what the comparison leaves out stands behind it
