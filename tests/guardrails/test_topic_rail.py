"""The topic rail: similarity, fitting its threshold, and what an embedder can get wrong."""

from __future__ import annotations

from typing import Any

import pytest
from guard_kit import both
from hypothesis import given
from hypothesis import strategies as st

from ragloom.errors import UsageError
from ragloom.guardrails import RailsGuard, TopicRail, fit_threshold
from ragloom.testing import HashEmbedding

LEAVE = ["How many days of leave do I get?", "How do I ask for days of leave?", "Do days of leave expire?"]
OTHER = ["Who won the football match?", "Tell me a joke about cats", "Write a poem on football"]


def test_what_is_near_to_no_topic_is_blocked() -> None:
    embedder = HashEmbedding(size=512)
    guard = RailsGuard([TopicRail(embedder, LEAVE, threshold=0.5)])
    near, far, empty = both(guard, "input", ["How many days of leave do I get?", "Who won the match yesterday", ""])
    assert near.verdict == "pass" and near.score == pytest.approx(0, abs=1e-3)
    assert (far.verdict, far.rail, far.reason) == ("block", "topic", "is about none of the topics")
    assert far.score is not None and far.score > 0.5 and empty.verdict == "block"
    assert guard.check("output", ["football"])[0].verdict == "pass"  # looks at questions only


def test_topics_are_embedded_once() -> None:
    embedder = HashEmbedding(size=512)
    rail = TopicRail(embedder, LEAVE, threshold=0.5, off_topic=OTHER)
    assert embedder.queries == 0
    for _ in range(3):
        rail.check("input", ["days of leave"], {})
    assert embedder.queries == len(LEAVE) + len(OTHER) + 3
    assert rail.check("input", [], {}) == []


def test_the_threshold_is_fitted_to_examples_left_out_in_turn() -> None:
    rail = TopicRail(HashEmbedding(size=512), LEAVE, off_topic=OTHER)
    assert 0 < rail.threshold < 0.6
    verdicts = [each.verdict for each in rail.check("input", ["When do days of leave expire?", *OTHER], {})]
    assert verdicts == ["pass", "block", "block", "block"]


def test_a_question_nearer_to_what_does_not_belong_is_blocked() -> None:
    questions = ["How many days of leave does a football player get?"]
    embedder = HashEmbedding(size=512)
    assert TopicRail(embedder, LEAVE, threshold=0.3).check("input", questions, {})[0].verdict == "pass"
    away = TopicRail(embedder, LEAVE, threshold=0.3, off_topic=["How many days of leave does a football team get?"])
    assert away.check("input", questions, {})[0].verdict == "block"


def test_an_embedder_that_gives_nonsense_fails_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    embedder = HashEmbedding(size=4)
    guard = RailsGuard([TopicRail(embedder, LEAVE, threshold=0.1)])
    monkeypatch.setattr(HashEmbedding, "_get_query_embedding", lambda self, query: [float("nan")] * 4)
    (found,) = guard.check("input", ["days of leave"])
    assert (found.verdict, found.reason) == ("block", "the rail topic failed: ModelError")


SIMILARITY = st.integers(0, 20).map(lambda number: number / 20)


@given(st.lists(SIMILARITY, min_size=1, max_size=8), st.lists(SIMILARITY, min_size=1, max_size=8))
def test_no_threshold_tells_them_apart_better(on: list[float], off: list[float]) -> None:
    def worth(cut: float) -> float:
        return sum(value >= cut for value in on) / len(on) + sum(value < cut for value in off) / len(off)

    best = fit_threshold(on, off)
    # One that blocks all, above everything, is not among those that it may choose.
    assert worth(best) >= max(worth(cut) for cut in [*on, *off]) - 1e-9


def test_fitting() -> None:
    assert fit_threshold([0.9, 0.8], [0.4, 0.1]) == pytest.approx(0.6)
    assert fit_threshold([0.5], [0.5]) == 0.5
    with pytest.raises(UsageError):
        fit_threshold([], [0.1])


@pytest.mark.parametrize(
    ("topics", "options"),
    [
        ([], {"threshold": 0.5}),
        ("leave", {"threshold": 0.5}),
        (LEAVE, {}),
        (LEAVE[:1], {"off_topic": OTHER}),
        (LEAVE, {"threshold": 1.5}),
        (LEAVE, {"threshold": 0.5, "off_topic": "football"}),
    ],
)
def test_wrong_settings_are_refused(topics: Any, options: Any) -> None:
    with pytest.raises(UsageError):
        TopicRail(HashEmbedding(), topics, **options)
