"""Fusion: laws that hold for any rankings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.retrieval import reciprocal_rank_fusion, relative_score_fusion

_scores = st.floats(0.0, 100.0, allow_nan=False).map(lambda score: round(score, 3))
_rankings = st.lists(
    st.dictionaries(st.sampled_from("abcdefghij"), _scores, max_size=10).map(
        lambda ranking: dict(sorted(ranking.items(), key=lambda item: -item[1]))
    ),
    min_size=1,
    max_size=4,
)
BOTH = pytest.mark.parametrize("fuse", [reciprocal_rank_fusion, relative_score_fusion])


@BOTH
@given(rankings=_rankings)
def test_everything_once_best_first_nothing_touched(fuse, rankings) -> None:
    before = [list(ranking.items()) for ranking in rankings]
    fused = fuse(rankings)
    assert set(fused) == {key for ranking in rankings for key in ranking}
    assert list(fused.values()) == sorted(fused.values(), reverse=True)
    assert [list(ranking.items()) for ranking in rankings] == before
    assert list(fuse(rankings).items()) == list(fused.items())


@BOTH
@given(rankings=_rankings, data=st.data())
def test_the_order_of_the_rankings_does_not_matter(fuse, rankings, data) -> None:
    shuffled = data.draw(st.permutations(rankings))
    assert fuse(shuffled) == pytest.approx(fuse(rankings))


@BOTH
@given(rankings=_rankings, factor=st.floats(0.01, 1000))
def test_the_scale_of_the_scores_does_not_matter(fuse, rankings, factor) -> None:
    scaled = [{key: score * factor for key, score in ranking.items()} for ranking in rankings]
    assert fuse(scaled) == pytest.approx(fuse(rankings))


@BOTH
@given(rankings=_rankings)
def test_a_weight_of_zero_is_no_vote(fuse, rankings) -> None:
    fused = fuse([rankings[0], *rankings[1:]], weights=[1.0, *[0.0] * (len(rankings) - 1)])
    alone = fuse([rankings[0]])
    assert {key: score for key, score in fused.items() if key in alone} == pytest.approx(alone)
    assert all(fused[key] == 0 for key in fused if key not in alone)


@BOTH
@given(rankings=_rankings, weight=st.floats(0.1, 10))
def test_equal_weights_do_not_change_the_order(fuse, rankings, weight) -> None:
    plain, weighted = fuse(rankings), fuse(rankings, weights=[weight] * len(rankings))
    assert {key: score / weight for key, score in weighted.items()} == pytest.approx(plain)


@BOTH
def test_more_weight_moves_towards_a_ranking(fuse) -> None:
    rankings = [{"a": 1.0, "b": 0.5}, {"b": 1.0, "a": 0.5}]
    assert next(iter(fuse(rankings, weights=[0.6, 0.4]))) == "a"
    assert next(iter(fuse(rankings, weights=[0.4, 0.6]))) == "b"


@BOTH
def test_weights_must_match(fuse) -> None:
    with pytest.raises(ValueError, match="1 weights for 2 rankings"):
        fuse([{}, {}], weights=[1.0])
    assert fuse([{}, {}]) == {}


def test_ranks_alone_count_in_rank_fusion() -> None:
    assert reciprocal_rank_fusion([{"a": 100.0, "b": 1.0}]) == {"a": 1 / 61, "b": 1 / 62}
    assert reciprocal_rank_fusion([{"a": 1.0}], k=0) == {"a": 1.0}


def test_floors() -> None:
    rankings = [{"a": 2.0}, {"b": 0.8, "c": 0.6}]
    assert relative_score_fusion(rankings)["a"] == 1.0
    assert relative_score_fusion(rankings, floors=[False, True])["a"] == pytest.approx(1.0 + 0.6 / 0.8)


@given(rankings=_rankings)
def test_negative_scores_count_as_zero(rankings) -> None:
    negative = [*rankings, {"z": -3.0}]
    assert {k: v for k, v in relative_score_fusion(negative).items() if k != "z"} == pytest.approx(
        {k: v for k, v in relative_score_fusion(rankings).items() if k != "z"}
    )
