"""`OverlapCritic`: numbers, names, negation, tables, and quotes that stand in the passage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document

from ragloom.graphs.common.support import OverlapCritic

CRITIC = OverlapCritic()
LEAVE = (
    "Full-time staff get 25 days of annual leave. Leave that is carried over must be taken by 31 March. "
    "Complaints go to the ombudsperson, Leonor Pinto. Pets are not allowed in the office."
)
TABLE = "| City | Limit | Hotel |\n|---|---|---|\n| Vienna | EUR 165 | Donaublick |\n| Leeds | GBP 140 | Aire View |"


def supported(sentence: str, question: str = "", text: str = LEAVE) -> str:
    """The quote, or nothing."""
    found = [s for s in CRITIC.support(sentence, question, [Document(text)]) if s.score >= CRITIC.threshold]
    return text[found[0].start : found[0].end] if found else ""


@pytest.mark.parametrize(
    ("sentence", "question", "quote"),
    [
        ("Staff get 25 days of annual leave.", "How many days of annual leave do staff get?", "25 days"),
        ("The ombudsperson is Leonor Pinto.", "Who is the ombudsperson?", "Leonor Pinto"),
        ("Carried over leave must be taken by 31 March.", "By when is carried over leave taken?", "31 March"),
    ],
)
def test_what_is_said_is_supported(sentence: str, question: str, quote: str) -> None:
    assert quote in supported(sentence, question)


@pytest.mark.parametrize(
    ("sentence", "question"),
    [
        ("Staff get 30 days of annual leave.", "How many days of annual leave do staff get?"),
        ("Staff get 25.5 days of annual leave.", "How many days of annual leave do staff get?"),
        ("The ombudsperson is Marta Silva.", "Who is the ombudsperson?"),
        ("Carried over leave must be taken by 31 May.", "By when is carried over leave taken?"),
        ("Staff do not get 25 days of annual leave.", "How many days of annual leave do staff get?"),
        ("The moon is made of cheese.", "What is the moon made of?"),
        ("How many days of annual leave do staff get?", "How many days of annual leave do staff get?"),
        ("", "Who?"),
        ("!!!", "Who?"),
    ],
)
def test_what_is_not_said_is_not_supported(sentence: str, question: str) -> None:
    assert supported(sentence, question) == ""


def test_a_table_row_counts_with_its_header() -> None:
    assert "EUR 165" in supported("The hotel limit in Vienna is EUR 165.", "What is the hotel limit in Vienna?", TABLE)


def test_another_row_does_not_count() -> None:
    assert supported("The hotel limit in Vienna is GBP 140.", "What is the hotel limit in Vienna?", TABLE) == ""


def test_closed_questions_are_answered_in_their_own_words() -> None:
    text = "Pets are not allowed in the office. Tea is free."
    assert supported("Pets are not allowed in the office.", "Are pets allowed in the office?", text)
    assert supported("Tea is free.", "Is tea or coffee free?", text)
    assert supported("The office is the office.", "What is the office?", text) == ""


def test_one_writing_for_one_number() -> None:
    text = "The laptop costs 1,200.50 euros and the bag 25.00 euros. There are three monitors."
    assert supported("The laptop costs 1200.5 euros.", "What does the laptop cost?", text)
    assert supported("The bag costs 25 euros.", "What does the bag cost?", text)
    assert supported("There are 3 monitors.", "How many monitors are there?", text)


def test_the_best_passage_comes_first() -> None:
    passages = [Document("Staff of the canteen like soup."), Document(LEAVE)]
    found = CRITIC.support("Staff get 25 days of annual leave.", "How many days of annual leave?", passages)
    assert found[0].passage == 1
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)


@given(st.text(max_size=120), st.text(max_size=80), st.text(max_size=300))
def test_any_text(sentence: str, question: str, text: str) -> None:
    for found in CRITIC.support(sentence, question, [Document(text)]):
        assert 0 <= found.start < found.end <= len(text)
        assert 0 <= found.score <= 1
