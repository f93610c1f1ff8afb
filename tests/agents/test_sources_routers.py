"""Routers of sources: what each chooses, when it does not know, and what a model's nonsense comes to."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources_kit import Fixed, shelves
from strategy_kit import moody

from ragloom.agents.sources import (
    NONE,
    UNKNOWN,
    CascadeRouter,
    EmbeddingRouter,
    LinearRouter,
    LLMRouter,
    SourceRoute,
    SourceRouter,
    TrainedRouter,
    confusion,
)
from ragloom.agents.sources.llm_router import named, takes_json_schema
from ragloom.errors import RagloomError, UsageError
from ragloom.models.router import Route
from ragloom.testing import FakeChatModel, HashEmbedding

EMBEDDER = HashEmbedding(size=1024)
OFF = "How many days off do I get?"


def embedding_router(**options: Any) -> EmbeddingRouter:
    return EmbeddingRouter(shelves(), **{"embedder": EMBEDDER, **options})


# -- embeddings --------------------------------------------------------------------------------------------------------


def test_the_nearest_description_or_example_decides() -> None:
    router = embedding_router()
    assert isinstance(router, SourceRouter)
    route = router.route("hotels and trips")
    assert (route.names, route.by, route.failed) == (("travel",), "EmbeddingRouter", "")
    assert set(route.scores) == {"leave", "travel", "garden"}
    assert router.route(OFF).scores["leave"] == pytest.approx(1.0)
    unknown = router.route("quantum chromodynamics")
    assert (unknown.names, unknown.label, unknown.failed) == ((), UNKNOWN, "")


def test_below_the_threshold_is_unknown_and_within_the_margin_is_chosen_too() -> None:
    question = "roses and hotels"
    scores = embedding_router().route(question).scores
    best, second, *_ = sorted(scores.values(), reverse=True)
    assert embedding_router(threshold=best + 0.01).route(question).unknown
    assert embedding_router(threshold=0.0, margin=best - second + 0.01).route(question).names == ("garden", "travel")
    assert embedding_router(threshold=0.0, margin=0.0).route(question).names == ("garden",)


def test_none_is_chosen_by_its_examples_only() -> None:
    assert NONE not in embedding_router().labels
    assert embedding_router(none_examples=["Thanks a lot!"]).route("thanks a lot").names == (NONE,)


def test_sources_are_embedded_once() -> None:
    embedder = HashEmbedding(size=64)
    router = embedding_router(embedder=embedder)
    assert embedder.embedded == embedder.queries == 0  # with the first question, not before
    for _ in range(3):
        router.route(OFF)
    assert (embedder.embedded, embedder.queries) == (3, 1 + 3)
    with pytest.raises(RagloomError, match="unknown"):
        embedding_router(embedder="minilm-of-mine:x")


# -- linear ------------------------------------------------------------------------------------------------------------

LEAVE = [f"How many {what} of leave do I get?" for what in ("days", "weeks", "hours", "months", "years", "minutes")]
TRAVEL = [f"Which hotel in {where} is paid for?" for where in ("Vienna", "Rome", "Oslo", "Bonn", "Graz", "Linz")]
OUTSIDE = ["Who discovered penicillin?", "Solve x squared", "Write a poem", "Tell me tomorrow's weather"]


def fitted(**options: Any) -> LinearRouter:
    texts, labels = [*LEAVE, *TRAVEL, *OUTSIDE], ["leave"] * 6 + ["travel"] * 6 + [UNKNOWN] * 4
    return LinearRouter.fit(texts, labels, embedder=EMBEDDER, **options)


def test_a_fitted_router_knows_its_classes_and_what_lies_outside() -> None:
    router = fitted()
    assert router.labels == ("leave", "travel")
    assert router.route("How many nights of leave do I get?").names == ("leave",)
    assert router.route("Which hotel in Paris is paid for?").names == ("travel",)
    assert router.route("Who painted Guernica?").unknown
    assert sum(router.route(OFF).scores.values()) == pytest.approx(1.0)
    assert fitted().threshold == router.threshold != 0.0


def test_without_texts_from_outside_almost_all_that_is_right_is_kept() -> None:
    router = LinearRouter.fit([*LEAVE, *TRAVEL], ["leave"] * 6 + ["travel"] * 6, embedder=EMBEDDER, held_out=0.5)
    assert 0.5 < router.threshold < 1.0
    assert router.route(LEAVE[0]).names == ("leave",)


@pytest.mark.parametrize(
    ("texts", "labels"),
    [
        (["a", "b"], ["leave"]),
        ([], []),
        (["a", "b"], ["leave", "leave"]),
        (["a", "b"], ["leave", UNKNOWN]),
        (["a", "b"], ["leave", "travel"]),
    ],
)
def test_what_cannot_be_fitted(texts: list[str], labels: list[str]) -> None:
    with pytest.raises(UsageError):
        LinearRouter.fit(texts, labels, embedder=EMBEDDER)


# -- trained -----------------------------------------------------------------------------------------------------------


def trained(*, abstained: bool = False, **probabilities: float) -> Any:
    label = max(probabilities, key=probabilities.__getitem__)
    return SimpleNamespace(
        labels=("people", "trips", "chat"),
        route=lambda texts: [Route(label, probabilities, abstained) for _ in texts],
    )


MEANING = {"people": "leave", "trips": "travel", "chat": NONE}


def test_a_trained_router_means_sources() -> None:
    router = TrainedRouter(trained(people=0.7, trips=0.2, chat=0.1), labels=MEANING)
    assert router.labels == ("leave", "travel", NONE)
    route = router.route(OFF)
    assert (route.names, route.confidence) == (("leave",), 0.7)
    both = {"people": "leave", "trips": "travel", "chat": "travel"}
    assert TrainedRouter(trained(people=0.4, trips=0.3, chat=0.3), labels=both).route(OFF).names == ("travel",)
    assert TrainedRouter(trained(people=0.4, trips=0.1, chat=0.5), labels=MEANING).route(OFF).names == (NONE,)
    abstains = TrainedRouter(trained(people=0.4, trips=0.3, chat=0.3, abstained=True), labels=MEANING).route(OFF)
    assert (abstains.unknown, abstains.failed) == (True, "")


def test_a_wrong_artifact_or_label_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(RagloomError):
        TrainedRouter(f"router:{tmp_path}")
    with pytest.raises(UsageError, match="no label 'pets'"):
        TrainedRouter(trained(people=1.0), labels={"pets": "leave"})


# -- language model ----------------------------------------------------------------------------------------------------


def llm_route(reply: Any, **options: Any) -> tuple[SourceRoute, FakeChatModel]:
    llm = FakeChatModel(replies=[reply])
    return LLMRouter(shelves(), llm, **options).route(OFF), llm


@pytest.mark.parametrize(
    ("reply", "chosen"),
    [
        ('{"sources": ["leave"]}', ("leave",)),
        ('{"sources": ["travel", "leave"]}', ("travel", "leave")),
        ('Here you are:\n```json\n{"sources": ["Leave"]}\n```', ("leave",)),
        ('{"source": "leave"}', ("leave",)),
        ('["leave"]', ("leave",)),
        ("leave", ("leave",)),
        ("Leave, travel.", ("leave", "travel")),
        ('{"sources": ["none"]}', (NONE,)),
        ('{"sources": ["none", "leave"]}', ("leave",)),
        ('{"sources": ["unknown"]}', ()),
    ],
)
def test_what_a_reply_means(reply: str, chosen: Any) -> None:
    route, llm = llm_route(reply)
    assert (route.names, route.failed, len(llm.calls)) == (chosen, "", 1)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "0",
        "-1",
        '{"sources": [0]}',
        '{"sources": [-1]}',
        '{"sources": []}',
        '{"sources": ["wiki"]}',
        '{"sources": ["leave", "wiki"]}',
        '{"sources": ["leave"',
        '{"sources": [["leave"]]}',
        '{"choice": 1}',
        "I would look into leave, I think",
        ConnectionError("gone"),
        "[" * 3000,
    ],
)
def test_what_is_no_reply_is_unknown(reply: Any) -> None:
    route, _ = llm_route(reply)
    assert route.unknown and route.failed


def test_the_prompt_shows_what_there_is_and_the_schema_allows_nothing_else() -> None:
    _, llm = llm_route('{"sources": ["leave"]}', most=2)
    (prompt,) = llm.prompts()
    assert "- leave (cost 1): Annual leave of employees. For example: How many days off do I get?\n" in prompt
    assert "- garden (cost 3): Roses and the garden.\n- none: " in prompt
    assert prompt.endswith(f"Question: {OFF}")
    schema = llm.options[0]["response_format"]["json_schema"]["schema"]["properties"]["sources"]
    assert schema["items"]["enum"] == ["leave", "travel", "garden", NONE, UNKNOWN]
    assert (schema["minItems"], schema["maxItems"]) == (1, 2)
    _, plain = llm_route("leave", json_schema=False)
    assert "response_format" not in plain.options[0]


def test_which_models_are_held_to_a_schema() -> None:
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_openai import ChatOpenAI

    class OfAnother(ChatOpenAI):
        """A class that another package derives."""

    assert takes_json_schema(ChatOpenAI(model="m", api_key="k").bind(stop=["x"]))  # type: ignore[arg-type]
    assert not takes_json_schema(OfAnother(model="m", api_key="k"))  # type: ignore[arg-type]
    assert not takes_json_schema(GenericFakeChatModel(messages=iter([])))


@given(
    st.text(max_size=60) | st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=5).map(json.dumps)
)
def test_any_reply_gives_names_or_nothing(reply: str) -> None:
    assert all(isinstance(name, str) and name for name in named(reply, ["leave"]))


# -- cascade -----------------------------------------------------------------------------------------------------------


def cascade(first: Any, then: Any, **options: Any) -> tuple[SourceRoute, Fixed, Fixed]:
    one = first if isinstance(first, Fixed) else Fixed(gives=first)
    two = then if isinstance(then, Fixed) else Fixed(gives=then)
    return CascadeRouter(one, two, **options).route(OFF), one, two


def sure(score: float) -> SourceRoute:
    return SourceRoute(("leave",), {"leave": score}, "first")


def test_the_dear_one_is_asked_only_where_the_cheap_one_is_not_sure() -> None:
    route, _, dear = cascade(sure(0.2), Fixed("travel"))
    assert (route.names, dear.asked) == (("leave",), [])
    route, _, dear = cascade(sure(0.5), Fixed("travel"), sure_above=0.5)
    assert (route.names, dear.asked) == (("leave",), [])
    route, _, dear = cascade(sure(0.49), Fixed("travel"), sure_above=0.5)
    assert (route.names, dear.asked) == (("travel",), [OFF])
    route, _, dear = cascade(Fixed(), Fixed("travel"))
    assert (route.names, dear.asked, route.by) == (("travel",), [OFF], "Fixed")
    assert cascade(SourceRoute(("leave",)), Fixed("travel"), sure_above=0.5)[0].names == ("travel",)  # no score at all


def test_what_stands_where_the_dear_one_does_not_know_or_fails() -> None:
    assert cascade(sure(0.1), SourceRoute(()), sure_above=0.5)[0].unknown
    failed, _, _ = cascade(sure(0.1), ConnectionError("gone"), sure_above=0.5)
    assert failed.names == ("leave",) and "gone" in failed.reason
    both, _, _ = cascade(ValueError("one"), ValueError("two"))
    assert both.unknown and "two" in both.failed
    last, _, _ = cascade(ValueError("one"), ValueError("two"), fallback="garden")
    assert (last.names, last.by, last.failed) == (("garden",), "fallback", "")
    assert cascade(sure(0.1), SourceRoute(()), sure_above=0.5, fallback="garden")[0].names == ("garden",)
    with pytest.raises(UsageError, match="'wiki' is no source"):
        cascade(sure(1.0), Fixed(), fallback="wiki")
    with pytest.raises(UsageError):  # what cannot be loaded is the user's to mend
        cascade(UsageError("no such model"), Fixed("leave"))


# -- both worlds, and the measure --------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", [OFF, "hotels and trips", "quantum chromodynamics"])
def test_async_routes_as_sync_does(question: str) -> None:
    llm = FakeChatModel(replies=['{"sources": ["garden"]}'])
    routers = [
        embedding_router(),
        fitted(),
        TrainedRouter(trained(people=0.7, trips=0.3), labels=MEANING),
        LLMRouter(shelves(), llm),
        CascadeRouter(embedding_router(), LLMRouter(shelves(), llm)),
    ]
    for router in routers:
        assert asyncio.run(router.aroute(question)) == router.route(question)


def test_confusion() -> None:
    said = {"a": SourceRoute(("leave",)), "b": SourceRoute(("travel", "leave")), "c": SourceRoute(()), "d": None}
    router = Fixed(labels=["leave", "travel"])
    router.route = lambda question: said[question]  # type: ignore[method-assign]
    report = confusion(router, ["a", "b", "c", "d"], ["leave", "leave", UNKNOWN, UNKNOWN])
    assert report.labels == ("leave", "travel", NONE, UNKNOWN, "(invalid)")
    assert report.matrix == ((1, 1, 0, 0, 0), (0,) * 5, (0,) * 5, (0, 0, 0, 1, 1), (0,) * 5)
    assert (report.n, report.accuracy, report.out_of_scope_recall, report.invalid_rate) == (4, 0.5, 0.5, 0.25)
    assert report.macro_f1 == pytest.approx(2 / 3)
    assert report.ms_per_text >= 0
    only = confusion(router, ["a"], ["leave"])
    assert (only.out_of_scope_recall, only.invalid_rate, only.accuracy) == (None, 0.0, 1.0)
    for texts, labels in (([], []), (["a"], []), (["a"], ["wiki"])):
        with pytest.raises(UsageError):
            confusion(router, texts, labels)


@given(st.integers(0, 10**6))
def test_no_reply_leads_out_of_the_closed_set(seed: int) -> None:
    llm = FakeChatModel(replies=moody(seed, '{"sources": ["leave"]}', '{"sources": [2]}', "garden"))
    route = LLMRouter(shelves(), llm).route(OFF)
    assert set(route.names) <= {"leave", "travel", "garden", NONE}
    assert route.names or route.failed
