"""Groundedness: policies, what is no claim, nonsense of critics; and asking again before dropping."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from guard_kit import both
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableLambda

from ragloom.errors import ModelError, UsageError
from ragloom.graphs.common.support import OverlapCritic
from ragloom.guarding import Finding
from ragloom.guardrails import GroundednessRail, RailsGuard, regenerating, screen_stream

PASSAGES = [Document("Staff get 25 days of leave. Unused days expire in March."), Document("Lunch is at noon.")]
TOLD = {"question": "How much leave do staff get?", "passages": PASSAGES}


@dataclass
class Score:
    score: float


class WordCritic:
    """Supports what holds no word in capitals; keeps what it was asked."""

    threshold = 0.5

    def __init__(self, wrong: float | None = None) -> None:
        self.wrong = wrong
        self.asked: list[str] = []

    def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Score]:
        self.asked.append(sentence)
        if any(word.isupper() and len(word) > 1 for word in sentence.split()):
            return [] if self.wrong is None else [Score(self.wrong)]
        return [Score(0.9)]


TEXT = "It is so. It is SO WRONG. It is fine.\n\n- Also fine\n- Also WRONG\n"


def test_drop_leaves_what_is_supported() -> None:
    guard = RailsGuard([GroundednessRail(WordCritic())])
    (found,) = both(guard, "output", [TEXT], TOLD)
    assert (found.verdict, found.rail) == ("change", "groundedness")
    assert found.text == "It is so. It is fine.\n\n- Also fine"
    assert found.reason == "2 of 5 sentences without support" and found.score == 0.4
    assert [TEXT[start:end].strip() for start, end in found.spans] == ["It is SO WRONG.", "- Also WRONG"]
    assert both(guard, "output", ["All WRONG. All BAD."], TOLD)[0].text == ""


def test_flag_passes_with_a_reason_and_block_lets_nothing_out() -> None:
    (found,) = both(RailsGuard([GroundednessRail(WordCritic(), policy="flag")]), "output", [TEXT], TOLD)
    assert (found.verdict, found.text, found.rail, found.score) == ("pass", TEXT, "groundedness", 0.4)
    assert found.reason and len(found.spans) == 2
    (found,) = both(RailsGuard([GroundednessRail(WordCritic(), policy="block")]), "output", [TEXT], TOLD)
    assert (found.verdict, found.text) == ("block", TEXT)


def test_with_a_critic_of_the_graphs_and_passages_as_texts() -> None:
    answer = "Staff get 25 days of leave. They also get 30 days off in Rome. Lunch is at noon."
    for passages in (PASSAGES, [each.page_content for each in PASSAGES], tuple(PASSAGES)):
        (found,) = GroundednessRail(OverlapCritic()).check("output", [answer], {**TOLD, "passages": passages})
        assert found.text == "Staff get 25 days of leave. Lunch is at noon."


def test_what_stands_in_a_passage_or_claims_nothing_needs_no_critic() -> None:
    critic = WordCritic()
    rail = GroundednessRail(critic, allowed=["I DO NOT KNOW."])
    texts = ["Lunch is at noon.", "---\n\n***", "I DO NOT KNOW.", ""]
    assert rail.check("output", texts, TOLD) == [Finding("pass", text, score=0.0) for text in texts]
    assert critic.asked == []
    rail.check("output", ["So.", "So. So.", "1. So."], TOLD)
    assert critic.asked == ["So."]  # once a call


@pytest.mark.parametrize("told", [{}, {"passages": []}, {"passages": None}, {"passages": "a text"}, {"passages": [7]}])
def test_without_passages_nothing_is_supported(told: dict[str, Any]) -> None:
    (found,) = GroundednessRail(WordCritic(), policy="block").check("output", ["It is so."], told)
    assert (found.verdict, found.reason) == ("block", "no passages to judge it by")


@pytest.mark.parametrize("wrong", [float("nan"), 0.49, -1.0])
def test_a_critic_that_gives_nonsense_supports_nothing(wrong: float) -> None:
    assert GroundednessRail(WordCritic(wrong)).check("output", ["It is BAD."], TOLD)[0].text == ""


def test_a_critic_that_raises_fails_closed() -> None:
    class Broken(WordCritic):
        def support(self, sentence: str, question: str, passages: Sequence[Document]) -> list[Score]:
            raise RuntimeError(sentence)

    (found,) = both(RailsGuard([GroundednessRail(Broken())]), "output", ["It is so."], TOLD)
    assert (found.verdict, found.reason) == ("block", "the rail groundedness failed: RuntimeError")


@given(
    st.lists(
        st.sampled_from(["It is so.", "It is WRONG.", "- fine\n", "- BAD\n", "  ", "Dr. Wu left!", "?"]), max_size=8
    )
)
def test_dropping_keeps_the_rest_and_drops_nothing_the_second_time(parts: list[str]) -> None:
    rail = GroundednessRail(WordCritic())
    text = " ".join(parts)
    (found,) = rail.check("output", [text], TOLD)
    assert "WRONG" not in found.text and "BAD" not in found.text
    assert found.text.count("It is so.") == text.count("It is so.") or "WRONG" in text or "BAD" in text
    assert rail.check("output", [found.text], TOLD)[0].verdict == "pass"


def test_a_stream_leaves_out_what_nothing_supports() -> None:
    stream = screen_stream(
        list("One is so. Two is WRONG. Three is so. Four."), _direct(GroundednessRail(WordCritic())), TOLD
    )
    assert "".join(stream) == "One is so. Three is so. Four." and stream.finding is None


def _direct(rail: GroundednessRail) -> Any:
    class Direct:
        def check(self, stage: Any, texts: Any, context: Any = None) -> list[Finding]:
            return rail.check(stage, texts, context or {})

    return Direct()


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="policy"):
        GroundednessRail(WordCritic(), policy="regenerate")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="allowed"):
        GroundednessRail(WordCritic(), allowed="I do not know.")


# -- asking again ------------------------------------------------------------------------------------------------------


class Chain:
    """Gives its answers one after the other; keeps what it was asked."""

    def __init__(self, *answers: str, **more: Any) -> None:
        self.answers, self.more = list(answers), more
        self.asked: list[Any] = []
        self.runnable = RunnableLambda(self.answer)

    def answer(self, given: Any) -> dict[str, Any]:
        self.asked.append(given)
        answer = self.answers[min(len(self.asked), len(self.answers)) - 1]
        citations = [{"sentence": f"{each}."} for each in answer.rstrip(".").split(". ")]
        step = {"node": "read", "decision": "answered", "reason": "", "ms": 1.0}
        usage = {"calls": 1, "tokens_in": 10, "tokens_out": 5, "seconds": 0.1}
        result = {"answer": answer, "documents": PASSAGES, "citations": citations, "steps": [step], "usage": usage}
        return {**result, **self.more}


def asked(chain: Chain, given: Any, **options: Any) -> dict[str, Any]:
    """The same by both doors, but for what time they took."""
    found = regenerating(chain.runnable, WordCritic(), **options).invoke(given)
    first, chain.asked = chain.asked, []
    again = asyncio.run(regenerating(chain.runnable, WordCritic(), **options).ainvoke(given))
    assert chain.asked == first
    assert {**again, "steps": None} == {**found, "steps": None}
    return found


def test_a_supported_answer_is_asked_for_once() -> None:
    chain = Chain("It is so.")
    found = asked(chain, {"question": "Is it?"})
    assert chain.asked == [{"question": "Is it?"}] and found["answer"] == "It is so."
    assert [step["decision"] for step in found["steps"]] == ["answered", "supported"]


def test_an_unsupported_sentence_is_told_and_the_better_answer_counts() -> None:
    chain = Chain("It is so. It is WRONG.", "It is so. It is fine.")
    found = asked(chain, {"question": "Is it?", "extra": 1})
    assert found["answer"] == "It is so. It is fine." and len(found["citations"]) == 2
    assert len(chain.asked) == 2 and chain.asked[1]["extra"] == 1
    put = chain.asked[1]["question"]
    assert put.startswith("Is it?\n\n") and "- It is WRONG.\n" in put and "- It is so." not in put
    assert found["usage"] == {"calls": 2, "tokens_in": 20, "tokens_out": 10, "seconds": 0.2}
    assert [step["decision"] for step in found["steps"]] == ["answered", "answered", "regenerated"]


def test_what_stays_unsupported_is_dropped_with_its_citations() -> None:
    chain = Chain("It is so. It is WRONG.", "All is WRONG.", "All is BAD.")
    found = asked(chain, "Is it?", attempts=2)
    assert len(chain.asked) == 3
    assert found["answer"] == "It is so." and found["citations"] == [{"sentence": "It is so."}]
    assert found["steps"][-1]["reason"] == "asked 3 times; 1 sentences without support dropped"
    chain = Chain("All is WRONG.", abstained=False)
    found = asked(chain, "Is it?", attempts=0)
    assert len(chain.asked) == 1 and (found["answer"], found["abstained"], found["citations"]) == ("", True, [])


def test_messages_get_one_more_and_an_abstention_is_left() -> None:
    chain = Chain("It is WRONG.", "It is so.")
    message = HumanMessage("Is it?")
    assert asked(chain, {"messages": [message]})["answer"] == "It is so."
    assert chain.asked[1]["messages"][0] == message and "It is WRONG." in chain.asked[1]["messages"][1].content
    chain = Chain("I do NOT KNOW.", abstained=True)
    assert asked(chain, "Is it?")["answer"] == "I do NOT KNOW." and len(chain.asked) == 1


def test_what_cannot_be_asked_again_says_so() -> None:
    with pytest.raises(UsageError, match="put="):
        regenerating(Chain("It is WRONG.").runnable, WordCritic()).invoke({"query": "Is it?"})
    found = asked(Chain("It is WRONG.", "It is so."), {"query": "Is it?"}, put=lambda given, critique: critique)
    assert found["answer"] == "It is so."
    with pytest.raises(ModelError, match="no answer with documents"):
        regenerating(RunnableLambda(lambda given: "text"), WordCritic()).invoke("Is it?")
    with pytest.raises(UsageError, match="attempts"):
        regenerating(Chain("a").runnable, WordCritic(), attempts=-1)
