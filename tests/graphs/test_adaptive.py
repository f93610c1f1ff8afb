"""Adaptive RAG: which way a question goes, what an unknown means, and what each way does."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategy_kit import GOOD, QUESTION, Shelf, check, mermaid_of

from ragloom.errors import ArtifactError, RagloomError, UsageError
from ragloom.graphs.adaptive import adaptive_rag
from ragloom.graphs.adaptive.routing import LABELS, choose, shares_of
from ragloom.models.router import Route
from ragloom.testing import FakeChatModel
from ragloom.types import Budget


class Router:
    """Routes by what a test wants."""

    labels = ("no_retrieval", "single_hop", "multi_hop", "table")

    def __init__(self, *, abstained: bool = False, **probabilities: float) -> None:
        self.given, self.abstained, self.asked = probabilities, abstained, []

    def route(self, texts: Any) -> list[Route]:
        self.asked += texts
        return [Route(max(self.given, key=self.given.__getitem__), self.given, self.abstained) for _ in texts]


class Scorer:
    """Gives every token the same log-probability."""

    name = "test"

    def __init__(self, logprob: Any) -> None:
        self.logprob, self.scored = logprob, []

    def score_messages(self, messages: Any, continuation: str) -> Any:
        self.scored.append((str(messages[-1].text), continuation))
        if isinstance(self.logprob, Exception):
            raise self.logprob
        return SimpleNamespace(mean=self.logprob)


def ask(*replies: Any, names: Any = ("leave.md", "travel.md"), **options: Any) -> Any:
    llm, shelf = FakeChatModel(replies=list(replies)), Shelf(*names)
    result = adaptive_rag(shelf, llm, **options).invoke({"question": QUESTION})
    check(result)
    assert len(llm.calls) == result["usage"]["calls"]
    return result, llm, shelf


def nodes_of(result: Any) -> list[str]:
    return [step["node"] for step in result["steps"]]


NONE = ["route", "alone"]
SINGLE = ["route", "retrieve", "read", "cite"]
MULTI = ["route", "retrieve", "gather", "think", "read", "cite"]
THOUGHT = "So the answer is: 25 days."


# -- ways --------------------------------------------------------------------------------------------------------------


def test_none_is_the_model_alone_unchecked_and_uncited() -> None:
    result, llm, shelf = ask("Paris is the capital.", router=Router(no_retrieval=0.9, single_hop=0.1))
    assert (nodes_of(result), result["answer"], result["citations"]) == (NONE, "Paris is the capital.", [])
    assert (result["abstained"], result["documents"], shelf.asked) == (False, [], [])
    assert "nothing was checked" in result["steps"][1]["reason"]
    assert len(llm.calls) == 1


def test_single_is_one_retrieval_and_one_reading() -> None:
    result, llm, shelf = ask(GOOD, router=Router(single_hop=0.9, multi_hop=0.1))
    assert (nodes_of(result), result["answer"], shelf.asked) == (SINGLE, GOOD, [QUESTION])
    assert len(llm.calls) == 1


def test_multi_is_the_loop_of_thoughts() -> None:
    result, llm, _ = ask(THOUGHT, GOOD, router=Router(single_hop=0.1, multi_hop=0.9))
    assert (nodes_of(result), result["answer"], len(llm.calls)) == (MULTI, GOOD, 2)
    result, _, shelf = ask("Leave is a right.", GOOD, router="always-multi")
    assert shelf.asked == [QUESTION, "Leave is a right."]
    assert nodes_of(result)[3:5] == ["think", "search"]


@pytest.mark.parametrize("said", ["I don't know.", "", ConnectionError("gone")])
def test_a_model_without_an_answer_of_its_own_is_given_passages(said: Any) -> None:
    result, llm, _ = ask(said, GOOD, router="always-none")
    assert nodes_of(result) == ["route", "alone", "retrieve", "read", "cite"]
    assert (result["answer"], result["error"], len(llm.calls)) == (GOOD, "", 2)
    assert len(result["messages"]) == 1  # what the model said first is not part of the conversation
    assert "the passages are asked" in result["steps"][1]["reason"]


def test_what_streams() -> None:
    def streamed(router: str, *replies: str) -> list[str]:
        graph = adaptive_rag(Shelf("leave.md"), FakeChatModel(replies=list(replies)), router=router)
        return [each["text"] for each in graph.stream({"question": QUESTION}, stream_mode="custom")]

    assert streamed("always-none", "Paris. Or Rome.") == ["Paris.", "Or Rome."]
    assert streamed("always-none", "I don't know.", GOOD) == [GOOD]
    assert streamed("always-single", f"{GOOD} The unicorn allowance is 900.") == [GOOD]


# -- routers -----------------------------------------------------------------------------------------------------------


def test_without_a_router_every_question_goes_single_and_it_is_said() -> None:
    result, _, _ = ask(GOOD)
    assert (nodes_of(result), result["steps"][0]["reason"]) == (SINGLE, "no router was given")


@pytest.mark.parametrize(
    ("router", "why"),
    [
        (Router(no_retrieval=0.9, abstained=True), "abstains"),
        (Router(table=0.9, no_retrieval=0.1), "the router says table"),
        (lambda question: {}, "says nothing"),
        (lambda question: {"none": math.nan}, "nan"),
        (lambda question: {"none": 7.5}, "7.5"),
        (lambda question: {"none": -1.0}, "-1.0"),
        (lambda question: None, "failed"),
        (lambda question: {"none": "much"}, "failed"),
        (lambda question: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_is_unknown_goes_single(router: Any, why: str) -> None:
    result, _, _ = ask(GOOD, router=router)
    assert nodes_of(result) == SINGLE
    assert result["steps"][0]["reason"].startswith("unknown: ")
    assert why in result["steps"][0]["reason"]


def test_a_function_and_labels_of_ones_own() -> None:
    result, _, _ = ask("Paris.", router=lambda question: {"easy": 0.8, "hard": 0.2}, labels={"easy": "none"})
    assert nodes_of(result) == NONE
    assert result["steps"][0]["scores"] == {"none": 0.8, "single": 0.0, "multi": 0.0}


def test_random_keeps_to_its_mix_and_its_seed() -> None:
    def ways(seed: int, mix: tuple[float, float, float]) -> list[str]:
        graph = adaptive_rag(Shelf(), FakeChatModel(replies=["Yes."]), router="random", mix=mix, seed=seed)
        return [graph.invoke({"question": f"Question {n}?"})["steps"][0]["decision"] for n in range(40)]

    assert set(ways(1, (0, 1, 0))) == {"single"}
    mixed = ways(1, (1, 2, 0))
    assert mixed == ways(1, (1, 2, 0)) != ways(2, (1, 2, 0))
    assert 5 <= mixed.count("none") <= 22  # of 40, a third


@pytest.mark.parametrize(
    "options",
    [
        {"router": "alway-single"},
        {"router": "always-best"},
        {"router": "bundled:smollm2"},
        {"router": 7},
        {"router": "uncertainty"},
        {"router": "uncertainty", "scorer": "openai:gpt-4o"},
        {"router": "random", "mix": (0.0, 0.0, 0.0)},
        {"router": "always-none", "labels": {"x": "twice"}},
    ],
)
def test_what_is_refused_when_the_graph_is_built(options: Any) -> None:
    with pytest.raises(RagloomError):
        adaptive_rag(Shelf(), FakeChatModel(), **options)


def test_a_router_that_cannot_be_loaded_or_understood_is_an_error(tmp_path: Path) -> None:
    graph = adaptive_rag(Shelf("leave.md"), FakeChatModel(), router=f"router:{tmp_path}")
    with pytest.raises((ArtifactError, UsageError)):
        graph.invoke({"question": QUESTION})
    router = Router(a=1.0)
    router.labels = ("a", "b")
    with pytest.raises(UsageError, match="the router's labels are a, b"):
        adaptive_rag(Shelf(), FakeChatModel(), router=router)


# -- thresholds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("none", "single", "multi", "retrieve_above", "multi_above", "way"),
    [
        (0.5, 0.3, 0.2, None, None, "none"),
        (0.4, 0.4, 0.2, None, None, "single"),
        (0.4, 0.2, 0.4, None, None, "multi"),
        (0.2, 0.4, 0.4, None, None, "single"),
        (0.5, 0.3, 0.2, 0.5, None, "none"),  # the threshold itself is not above it
        (0.5, 0.3, 0.2, 0.49, None, "single"),
        (0.5, 0.2, 0.3, 0.49, None, "multi"),
        (0.1, 0.8, 0.1, None, 0.05, "multi"),
        (0.1, 0.2, 0.7, None, 0.7, "single"),
        (0.9, 0.0, 0.1, 0.0, 0.0, "multi"),
        (0.0, 0.0, 1.0, 1.0, None, "none"),
    ],
)
def test_thresholds(none: float, single: float, multi: float, retrieve_above: Any, multi_above: Any, way: str) -> None:
    shares: Any = {"none": none, "single": single, "multi": multi}
    assert choose(shares, retrieve_above=retrieve_above, multi_above=multi_above) == way


@given(st.tuples(*[st.floats(0, 1)] * 3), st.floats(0, 1), st.floats(0, 1), st.booleans())
def test_a_higher_threshold_never_costs_more(shares: Any, a: float, b: float, of_multi: bool) -> None:
    cost = {"none": 0, "single": 1, "multi": 2}
    given_: Any = dict(zip(("none", "single", "multi"), shares, strict=True))
    name = "multi_above" if of_multi else "retrieve_above"
    low, high = sorted((a, b))
    assert cost[choose(given_, **{name: high})] <= cost[choose(given_, **{name: low})]


def test_shares_add_labels_of_one_way() -> None:
    labels: Any = {**LABELS, "followup": "single"}
    assert shares_of({"single_hop": 0.25, "followup": 0.25, "none": 0.5}, labels) == (
        {"none": 0.5, "single": 0.5, "multi": 0.0},
        "",
    )


# -- uncertainty -------------------------------------------------------------------------------------------------------


def test_a_certain_answer_is_kept_and_an_uncertain_one_retrieved_for() -> None:
    scorer = Scorer(-0.1)
    result, llm, _ = ask("Paris. It is big.", router="uncertainty", scorer=scorer)
    assert (nodes_of(result), result["answer"], len(llm.calls)) == (NONE, "Paris. It is big.", 1)
    assert scorer.scored == [(f"Question: {QUESTION}", "Paris. It is big.")]
    result, llm, _ = ask("Paris.", GOOD, router="uncertainty", scorer=Scorer(-0.8))
    assert (nodes_of(result), result["answer"], len(llm.calls)) == (SINGLE, GOOD, 2)
    result, _, _ = ask("Paris.", GOOD, router="uncertainty", scorer=Scorer(-0.8), certain_above=-0.8)
    assert nodes_of(result) == NONE


@pytest.mark.parametrize(
    ("said", "logprob", "why"),
    [
        ("Paris.", RuntimeError("out of memory"), "the scorer failed: RuntimeError"),
        ("Paris.", UsageError("too long"), "too long"),
        ("Paris.", math.nan, "nan"),
        ("Paris.", None, "TypeError"),
        ("I don't know.", 0.0, "does not know"),
        (ConnectionError("gone"), 0.0, "cannot be reached"),
    ],
)
def test_an_unknown_certainty_is_none(said: Any, logprob: Any, why: str) -> None:
    result, _, _ = ask(said, GOOD, router="uncertainty", scorer=Scorer(logprob))
    assert nodes_of(result) == SINGLE
    assert why in result["steps"][0]["reason"]
    with pytest.raises(ArtifactError):  # weights that cannot be loaded are the user's to mend
        ask("Paris.", router="uncertainty", scorer=Scorer(ArtifactError("damaged")))


def test_uncertainty_keeps_a_call_for_the_reading() -> None:
    result, llm, _ = ask(GOOD, router="uncertainty", scorer=Scorer(0.0), budget=Budget(llm_calls=1))
    assert (nodes_of(result), result["answer"], len(llm.calls)) == (SINGLE, GOOD, 1)


# -- both worlds, and the shape ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("router", ["always-none", "always-single", "always-multi"])
async def test_async_does_what_sync_does(router: str) -> None:
    def graph() -> Any:
        return adaptive_rag(Shelf("leave.md"), FakeChatModel(replies=[GOOD]), router=router)

    there, here = await graph().ainvoke({"question": QUESTION}), graph().invoke({"question": QUESTION})
    for key in ("answer", "abstained", "citations", "documents"):
        assert there[key] == here[key]


def test_the_shape_of_the_graph() -> None:
    snapshot = Path(__file__).with_name("adaptive.mermaid").read_text(encoding="utf-8").strip()
    assert mermaid_of(adaptive_rag(Shelf(), FakeChatModel())) == snapshot
