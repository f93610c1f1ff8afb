"""Self-RAG with critics: what is decided, what a sentence is worth, how answers grow, what fails, and when it ends."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from law_kit import OPTIONS, SAYINGS, MoodyCritic, budgets
from strategy_kit import GOOD, QUESTION, TEXTS, Evaluator, Shelf, check, mermaid_of, moody, moody_number, within

from ragloom.errors import ArtifactError, UnknownModelError, UsageError
from ragloom.graphs.common.support import Support
from ragloom.graphs.self_rag_critic import self_rag
from ragloom.models import Scored, TokenScore
from ragloom.testing import FakeChatModel
from ragloom.types import Budget

CARRIED = "Leave that is carried over is taken by 31 March."
WRONG = "The unicorn allowance is 900 dollars."


class Need:
    """A critic of the need that gives what it is told, or raises it."""

    def __init__(self, given: Any) -> None:
        self.given = given

    def probability(self, question: str) -> float:
        return said(self.given() if callable(self.given) else self.given)


class Usefulness:
    """Grades answers by a function of them."""

    def __init__(self, grade: Any = 3.0) -> None:
        self.grade = grade
        self.asked: list[list[tuple[str, str]]] = []

    def expected_of(self, pairs: Any) -> list[float]:
        self.asked.append(list(pairs))
        return [said(self.grade(answer) if callable(self.grade) else self.grade) for _, answer in pairs]


class Fluency:
    """A scorer whose every token has one log-probability."""

    name = "fake"

    def __init__(self, value: Any) -> None:
        self.value = value
        self.asked: list[tuple[str, str]] = []

    def score_messages(self, messages: Any, continuation: str) -> Scored:
        self.asked.append((str(messages[-1].text), continuation))
        value = said(self.value(continuation) if callable(self.value) else self.value)
        words = continuation.split()
        return Scored(tuple(TokenScore(0, at, at + 1, value) for at, _ in enumerate(words)))

    score = score_many = ascore = ascore_many = ascore_messages = score_messages


class Lenient:
    """Finds support for everything, in the whole passage."""

    threshold = 0.5

    def support(self, sentence: str, question: str, passages: Any) -> list[Support]:
        return [Support(0, 0, len(passages[0].page_content), 1.0)]


def said(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


def by_passage(**replies: Any) -> Callable[[Any], Any]:
    """What the model says to the passage in its prompt; `later` where the answer has begun."""

    def say(messages: Any) -> Any:
        prompt = str(messages[-1].text)
        if "The answer so far" in prompt and "later" in replies:
            later = replies["later"]
            return later(prompt) if callable(later) else later
        return next(
            (reply for name, reply in replies.items() if TEXTS.get(f"{name}.md", "\0") in prompt), "I don't know."
        )

    return say


def ask(replies: Any, *names: str, llm_options: Any = None, **options: Any) -> Any:
    llm = FakeChatModel(replies=replies, **(llm_options or {}))
    shelf = Shelf(*(names or ("leave.md", "travel.md")))
    graph = self_rag(shelf, llm, **{"relevance": Evaluator(0.9), **options})
    result = graph.invoke({"question": QUESTION})
    check(result)
    assert len(llm.calls) == result["usage"]["calls"]
    assert len(set(llm.prompts())) == len(llm.prompts())  # nothing is asked twice with the same prompt
    return result, llm, shelf


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


def step_of(result: Any, name: str, at: int = 0) -> Any:
    return [step for step in result["steps"] if step["node"] == name][at]


# -- whether to retrieve -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("need", "retrieves", "reason"),
    [
        (None, True, "no critic of the need"),
        ("always", True, "no critic of the need"),
        ("never", False, "never"),
        (Need(0.21), True, "0.21, delta 0.2"),
        (Need(0.2), False, "0.20, delta 0.2"),
        (Need(0.0), False, "0.00, delta 0.2"),
        (Need(math.nan), True, "no number"),
        (Need(None), True, "no number"),
        (Need(7), True, "no number"),
        (Need(RuntimeError("out of memory")), True, "RuntimeError: out of memory"),
    ],
)
def test_the_need(need: Any, retrieves: bool, reason: str) -> None:
    result, _, shelf = ask(lambda _: GOOD, need=need)
    decided = step_of(result, "decide")
    assert decided["decision"] == ("retrieve" if retrieves else "do not retrieve")
    assert decided["details"]["retrieves"] is retrieves
    assert reason in decided["reason"]
    assert bool(shelf.asked) is retrieves
    known = need.given if isinstance(need, Need) and need.given in (0.21, 0.2, 0.0) else None
    assert decided["details"]["need"] == known


def test_the_own_law_an_answer_is_cited_or_marked_as_unchecked() -> None:
    result, llm, _ = ask(["Paris is the capital."], need="never")
    assert nodes_of(result) == ["decide", "answer"]
    assert (result["answer"], result["abstained"], result["citations"]) == ("Paris is the capital.", False, [])
    assert "nothing was checked" in step_of(result, "answer")["reason"]
    assert len(llm.calls) == 1
    assert ask(["I don't know."], need="never")[0]["abstained"]


# -- the score ---------------------------------------------------------------------------------------------------------


def test_the_terms_of_a_segment() -> None:
    result, _, _ = ask([GOOD], "leave.md", relevance=Evaluator(0.8), utility=Usefulness(4.0), scorer=Fluency(-0.5))
    assert result["answer"] == GOOD
    read = step_of(result, "read")
    assert "without" not in read["reason"]
    (found,) = read["details"]["segments"]
    assert found["relevance"] == 0.8
    assert found["utility"] == 0.5
    assert found["sequence"] == pytest.approx(math.exp(-0.5), abs=1e-4)
    assert found["support"] == result["citations"][0]["score"]
    assert read["scores"]["0"] == pytest.approx(math.exp(-0.5) + 0.8 + found["support"] + 0.25, abs=1e-3)


def test_missing_terms_are_named() -> None:
    read = step_of(ask([GOOD], "leave.md", relevance=None)[0], "read")
    assert read["reason"] == "by f without relevance, sequence, utility"


def test_what_the_terms_decide() -> None:
    """Two supported answers; each term alone turns the choice."""
    other = "Trips are booked with Northgate Travel."
    replies = by_passage(leave=GOOD, travel=other)
    options: Any = {"relevance": None, "critic": Lenient()}
    assert ask(replies, **options)[0]["answer"] == GOOD  # the first of equals
    travel = Evaluator(lambda text: 0.9 if "Vienna" in text else 0.6)
    assert ask(replies, relevance=travel, critic=Lenient())[0]["answer"] == other
    assert ask(replies, utility=Usefulness(lambda text: 5.0 if text == other else 1.0), **options)[0]["answer"] == other
    assert ask(replies, scorer=Fluency(lambda text: -0.1 if text == other else -2.0), **options)[0]["answer"] == other


def test_a_better_score_without_support_is_not_shown() -> None:
    travel = Evaluator(lambda text: 1.0 if "Vienna" in text else 0.0)
    result, _, _ = ask(
        by_passage(leave=GOOD, travel=WRONG), relevance=travel, utility=Usefulness(lambda t: 5 if t == WRONG else 1)
    )
    assert result["answer"] == GOOD


# -- segments ----------------------------------------------------------------------------------------------------------


def test_one_sentence_costs_one_call_a_passage() -> None:
    result, llm, _ = ask(
        by_passage(leave=GOOD, travel="I don't know.", garden="I don't know."),
        "leave.md",
        "travel.md",
        "garden.md",
        "security.md",
    )
    assert len(llm.calls) == 3
    assert nodes_of(result) == ["decide", "retrieve", "relevance", "read", "choose", "cite"]
    assert [document.id for document in result["documents"]] == ["leave.md", "travel.md", "garden.md"]
    for name, prompt in zip(("leave", "travel", "garden"), llm.prompts(), strict=True):
        assert [each for each in ("leave", "travel", "garden") if TEXTS[f"{each}.md"] in prompt] == [name]


def test_the_best_passages_are_read() -> None:
    grades = {"leave.md": 0.9, "garden.md": 0.8, "travel.md": None, "security.md": 0.1}
    evaluator = Evaluator(lambda text: grades[next(name for name in grades if TEXTS[name] == text)])
    result, _, _ = ask(lambda _: GOOD, "security.md", "travel.md", "garden.md", "leave.md", relevance=evaluator)
    assert [document.id for document in result["documents"]] == ["leave.md", "garden.md", "travel.md"]
    assert "1 of 4 grades unknown" in step_of(result, "relevance")["reason"]
    assert step_of(result, "relevance")["scores"] == {"leave.md": 0.9, "garden.md": 0.8, "security.md": 0.1}


def test_an_answer_goes_on_where_the_model_went_on() -> None:
    later = lambda prompt: f"{GOOD} {CARRIED}"  # noqa: E731 - it repeats what stands there, and adds something
    result, llm, _ = ask(by_passage(leave=f"{GOOD} {WRONG}", later=later), "leave.md")
    assert result["answer"] == f"{GOOD} {CARRIED}"
    assert f"The answer so far: {GOOD}" in llm.prompts()[1]
    assert [citation["sentence"] for citation in result["citations"]] == [GOOD, CARRIED]
    assert nodes_of(result).count("read") == 2  # the second time it stopped by itself


@pytest.mark.parametrize("later", ["I don't know.", "", GOOD, f"{GOOD} {GOOD}", ConnectionError("gone")])
def test_an_answer_ends_where_nothing_new_comes(later: Any) -> None:
    result, llm, _ = ask(by_passage(leave=f"{GOOD} {WRONG}", later=later), "leave.md")
    assert (result["answer"], len(llm.calls)) == (GOOD, 2)


def test_most_segments_bounds_an_answer() -> None:
    number = iter(range(100))
    talk = lambda _: f"Leave is {next(number)} days. And it goes on."  # noqa: E731
    for most in (1, 2, 3):
        result, llm, _ = ask(talk, "leave.md", most_segments=most, retries=0)
        assert len(llm.calls) == most
        assert result["abstained"]


def test_the_beam_bounds_the_answers_that_go_on() -> None:
    def say(messages: Any) -> str:
        prompt = str(messages[-1].text)
        return f"{GOOD} More." if TEXTS["leave.md"] in prompt else f"Hotels cost 165 euros. {len(prompt)} words."

    for beam, calls in ((1, 2 + 2), (2, 2 + 4)):
        llm = FakeChatModel(replies=say)
        graph = self_rag(Shelf("leave.md", "travel.md"), llm, relevance=Evaluator(), beam=beam, most_segments=2)
        graph.invoke({"question": QUESTION})
        assert len(llm.calls) == calls


def test_hard_drops_segments_without_support() -> None:
    replies = by_passage(leave=f"{WRONG} And more.", travel="I don't know.")
    soft, llm, _ = ask(replies, most_segments=2)
    hard, fewer, _ = ask(replies, most_segments=2, hard=True)
    assert soft["abstained"] and hard["abstained"]
    assert len(llm.calls) > len(fewer.calls)
    assert step_of(hard, "choose")["reason"] == "no segment was written"


def test_an_answer_without_support_is_begun_again_from_other_passages() -> None:
    names = ("travel.md", "garden.md", "security.md", "leave.md")
    replies = by_passage(travel=WRONG, garden=WRONG, leave=GOOD)
    result, llm, _ = ask(replies, *names)
    assert result["answer"] == GOOD
    assert len(llm.calls) == 4
    assert TEXTS["leave.md"] in llm.prompts()[3]
    assert ask(replies, *names, retries=0)[0]["abstained"]


def test_equal_passages_are_read_once() -> None:
    result, llm, _ = ask(lambda _: WRONG, "leave.md", "leave.md", "leave.md", "travel.md")
    assert result["abstained"]
    assert len(llm.calls) == 2


def test_a_prompt_of_the_users_own_that_shows_no_beginning_is_not_asked_twice() -> None:
    Path("mine.jinja").write_text("--- user\n{{ passages[0].text }} {{ question }}\n")
    result, llm, _ = ask(lambda _: f"{GOOD} More.", "leave.md", prompt="mine.jinja")
    assert (result["answer"], len(llm.calls)) == (GOOD, 1)
    assert "1 prompts were asked before" in step_of(result, "read", 1)["reason"]


def test_the_short_prompt() -> None:
    result, llm, _ = ask(["25 days."], "leave.md", prompt="short")
    assert "fewest words" in llm.prompts()[0]
    assert result["answer"] == "25 days."


# -- budget ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("calls", [0, 1, 2, 5, 8])
def test_no_call_beyond_the_budget(calls: int) -> None:
    number = iter(range(100))
    result, llm, _ = ask(
        lambda _: f"{GOOD} Number {next(number)}.", "leave.md", "travel.md", "garden.md", budget=Budget(llm_calls=calls)
    )
    assert len(llm.calls) <= calls
    assert result["abstained"] == (calls == 0)


def test_without_a_call_the_steps_say_so() -> None:
    result, _, _ = ask([GOOD], budget=Budget(llm_calls=0))
    assert step_of(result, "read")["decision"] == "not asked"
    assert result["steps"][-1]["reason"] == "nothing was read"
    result, _, _ = ask([GOOD], budget=Budget(tokens=60))
    assert "the budget of 60 tokens has no room" in step_of(result, "read")["reason"]


def test_a_passage_that_does_not_fit_the_window_is_told_of() -> None:
    result, llm, _ = ask(lambda _: GOOD, "long.md", "leave.md", llm_options={"context_window": 300})
    assert (result["answer"], len(llm.calls)) == (GOOD, 1)
    assert "do not fit the model's window" in step_of(result, "read")["reason"]


# -- what fails --------------------------------------------------------------------------------------------------------


class Broken:
    threshold = 0.5

    def support(self, *_: Any) -> Any:
        raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("options", "unknown", "reason"),
    [
        ({"utility": Usefulness(RuntimeError("no"))}, "utility", "the utility critic failed: RuntimeError: no"),
        ({"utility": Usefulness(math.nan)}, "utility", "without"),
        ({"utility": Usefulness(9.0)}, "utility", "without"),
        ({"scorer": Fluency(RuntimeError("no"))}, "sequence", "the scorer failed: RuntimeError: no"),
        ({"scorer": Fluency(math.nan)}, "sequence", "the scorer gave nan"),
        ({"scorer": Fluency(1e6)}, "sequence", "without"),
        ({"scorer": Fluency(UsageError("too long"))}, "sequence", "too long"),
        ({"relevance": Evaluator(lambda _: said(RuntimeError("no")))}, "relevance", "without"),
        ({"relevance": Evaluator(lambda _: math.nan)}, "relevance", "without"),
    ],
)
def test_what_is_unknown_is_left_out(options: Any, unknown: str, reason: str) -> None:
    given = {"utility": Usefulness(3.0), "scorer": Fluency(-0.1), **options}
    result, _, _ = ask([GOOD], "leave.md", **given)
    assert result["answer"] == GOOD
    read = step_of(result, "read")
    assert f"without {unknown}" in read["reason"]
    assert reason in read["reason"]
    assert unknown not in read["details"]["segments"][0]
    assert len(read["details"]["segments"][0]) == 2 + 3


def test_an_evaluator_that_fails_leaves_the_order() -> None:
    result, _, _ = ask(lambda _: GOOD, relevance=Evaluator(lambda _: said(RuntimeError("no"))))
    assert "the evaluator failed: RuntimeError: no" in step_of(result, "relevance")["reason"]
    assert [document.id for document in result["documents"]] == ["leave.md", "travel.md"]


@pytest.mark.parametrize("hard", [False, True])
def test_a_support_critic_that_fails_shows_nothing(hard: bool) -> None:
    result, _, _ = ask([GOOD], "leave.md", critic=Broken(), hard=hard)
    assert result["abstained"]
    assert "the critic failed: RuntimeError: out of memory" in step_of(result, "read")["reason"]


def test_a_model_that_fails_is_told() -> None:
    result, _, _ = ask([ConnectionError("gone")], "leave.md")
    assert result["abstained"]
    assert "the model server cannot be reached" in result["error"]
    assert result["steps"][-1]["reason"] == "the language model failed"


def test_one_call_of_several_that_fails_does_not_matter() -> None:
    result, _, _ = ask(by_passage(leave=GOOD, travel=ConnectionError("gone")))
    assert (result["answer"], result["error"]) == (GOOD, "")


@pytest.mark.parametrize(
    ("reply", "reason"), [("", "the model said nothing"), ("I don't know.", "the model found no answer")]
)
def test_abstains(reply: str, reason: str) -> None:
    result, _, _ = ask(lambda _: reply)
    assert result["abstained"]
    assert reason in result["steps"][-1]["reason"]


def test_nothing_retrieved_asks_no_model() -> None:
    llm = FakeChatModel(replies=[GOOD])
    result = self_rag(Shelf(), llm, relevance=Evaluator()).invoke({"question": QUESTION})
    check(result)
    assert (result["abstained"], llm.calls) == (True, [])


@pytest.mark.parametrize(
    "options",
    [{"need": "retreive:x"}, {"relevance": "bundled:smollm2"}, {"utility": "utilty:x"}, {"scorer": "openai:gpt"}],
)
def test_unknown_specs_are_refused_when_the_graph_is_built(options: Any) -> None:
    with pytest.raises((UnknownModelError, UsageError)):
        self_rag(Shelf(), FakeChatModel(), **options)


@pytest.mark.parametrize("options", [{"beam": 0}, {"passages": 0}, {"most_segments": 0}, {"prompt": "draft"}])
def test_wrong_settings(options: Any) -> None:
    with pytest.raises(UsageError):
        self_rag(Shelf(), FakeChatModel(), relevance=None, **options)


@pytest.mark.parametrize(
    ("option", "role"),
    [("scorer", "reflective"), ("need", "retrieve"), ("relevance", "evaluator"), ("utility", "utility")],
)
def test_a_critic_that_cannot_be_loaded_is_an_error(option: str, role: str, tmp_path: Path) -> None:
    options = {"relevance": None, option: f"{role}:{tmp_path}"}
    graph = self_rag(Shelf("leave.md"), FakeChatModel(replies=[GOOD]), **options)
    with pytest.raises((ArtifactError, UsageError), match=tmp_path.name):
        graph.invoke({"question": QUESTION})


# -- the graph ---------------------------------------------------------------------------------------------------------


def test_the_best_answer_is_streamed_when_it_is_final() -> None:
    llm = FakeChatModel(replies=by_passage(leave=f"{GOOD} {CARRIED}", later=lambda _: CARRIED))
    graph = self_rag(Shelf("leave.md", "travel.md"), llm, relevance=Evaluator())
    told, nodes, result = [], [], {}
    for kind, part in graph.stream({"question": QUESTION}, stream_mode=["custom", "updates", "values"]):
        if kind == "custom":
            told.append(part)
            assert nodes[-1] == "read"
        elif kind == "updates":
            nodes.append(next(iter(part)))
        else:
            result = part
    assert " ".join(each["text"] for each in told) == result["answer"] == f"{GOOD} {CARRIED}"
    assert [citation for each in told for citation in each["citations"]] == result["citations"]


async def test_async_does_what_sync_does() -> None:
    def graph() -> Any:
        llm = FakeChatModel(replies=by_passage(leave=f"{GOOD} {CARRIED}", travel=WRONG, later=lambda _: CARRIED))
        options: Any = {"utility": Usefulness(4.0), "scorer": Fluency(-0.2), "need": Need(0.9)}
        return self_rag(Shelf("leave.md", "travel.md"), llm, relevance=Evaluator(), **options)

    here, there = graph().invoke({"question": QUESTION}), await graph().ainvoke({"question": QUESTION})
    for key in ("answer", "abstained", "citations", "documents"):
        assert here[key] == there[key]
    assert [step["decision"] for step in here["steps"]] == [step["decision"] for step in there["steps"]]


def test_turns_of_a_thread_do_not_leak_into_each_other() -> None:
    llm = FakeChatModel(replies=[GOOD, "I don't know."])
    graph = self_rag(Shelf("leave.md"), llm, relevance=Evaluator(), checkpointer=InMemorySaver())
    thread: Any = {"configurable": {"thread_id": "1"}}
    first, second = (graph.invoke({"question": question}, thread) for question in (QUESTION, "And the salary?"))
    assert (first["abstained"], second["abstained"]) == (False, True)
    assert second["usage"]["calls"] == 1


def test_the_shape_of_the_graph() -> None:
    graph = self_rag(Shelf(), FakeChatModel())
    assert mermaid_of(graph) == Path(__file__).with_name("self_rag.mermaid").read_text(encoding="utf-8").strip()


@given(
    seed=st.integers(0, 10**6),
    budget=budgets,
    shelf=st.sampled_from([(), ("leave.md",), ("long.md", "leave.md", "travel.md", "garden.md")]),
    need=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_every_run_ends_within_its_budget(seed: int, budget: Budget, shelf: tuple[str, ...], need: bool) -> None:
    llm = FakeChatModel(replies=moody(seed, *SAYINGS), max_tokens=200)
    more = {"need": Need(moody_number(seed) if seed % 7 else 0.0)} if need else {}
    graph = self_rag(
        Shelf(*shelf),
        llm,
        budget=budget,
        max_answer_tokens=60,
        critic=MoodyCritic(seed),
        checkpointer=InMemorySaver(),
        **{**OPTIONS["self-rag"](seed), **more},
    )
    thread: Any = {"configurable": {"thread_id": "1"}, "recursion_limit": 60}
    asked = {"question": QUESTION}
    result = asyncio.run(graph.ainvoke(asked, thread)) if seed % 2 else graph.invoke(asked, thread)
    check(result)
    within(result, budget)
    assert len(llm.calls) == result["usage"]["calls"]
    assert len(set(llm.prompts())) == len(llm.prompts())
    state = graph.get_state(thread).values
    assert state["question"] == QUESTION
    assert state["hops"] <= budget.hops
    if state["retrieves"]:
        assert result["abstained"] == (not result["citations"])
    else:
        assert result["citations"] == []
