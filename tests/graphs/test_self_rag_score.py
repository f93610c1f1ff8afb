"""Self-RAG's formula against hand-computed numbers and an independent implementation; the beam against brute force."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragloom.graphs.common.segment_beam import Path, Segment, best_path, extended, kept, path_score, path_text, repeats
from ragloom.graphs.common.segment_score import (
    SegmentScore,
    SegmentWeights,
    known_probability,
    probability_of,
    relevance_score,
    retrieve_ratio,
    support_score,
    utility_of_grade,
    utility_score,
    wants_retrieval,
)

shares = st.floats(1e-6, 1.0)


@pytest.mark.parametrize(
    ("sequence", "rel", "sup", "use", "total"),
    [
        # p + 1.0 * rel + 1.0 * sup + 0.5 * use
        (0.5, (0.9, 0.1), (0.8, 0.1, 0.1), (0, 0, 0, 0, 1), 0.5 + 0.9 + 0.85 + 0.5),
        (0.25, (0.1, 0.3), (0.0, 0.0, 0.6), (1, 0, 0, 0, 0), 0.25 + 0.25 + 0.0 - 0.5),
        (1.0, (0.2, 0.2), (0.2, 0.2, 0.2), (0.2, 0.2, 0.2, 0.2, 0.2), 1.0 + 0.5 + 0.5 + 0.0),
        (0.1, (0.3, 0.1), (0.1, 0.4, 0.0), (0, 0.1, 0, 0.3, 0), 0.1 + 0.75 + 0.6 + 0.5 * 0.25),
    ],
)
def test_the_formula_by_hand(sequence: float, rel: Any, sup: Any, use: Any, total: float) -> None:
    score = SegmentScore(sequence, relevance_score(*rel), support_score(*sup), utility_score(use))
    assert score.total(SegmentWeights()) == pytest.approx(total)
    assert score.unknown == []


@given(shares, st.tuples(shares, shares), st.tuples(shares, shares, shares), st.tuples(*[shares] * 5))
def test_the_formula_as_another_writes_it(p: float, rel: Any, sup: Any, use: Any) -> None:
    r, s, u = (np.array(each) / np.sum(each) for each in (rel, sup, use))
    expected = p + r[0] + s @ [1, 0.5, 0] + 0.5 * (u @ [-1, -0.5, 0, 0.5, 1])
    score = SegmentScore(p, relevance_score(*rel), support_score(*sup), utility_score(use))
    assert score.total(SegmentWeights()) == pytest.approx(expected)
    mean_grade = float(u @ [1, 2, 3, 4, 5])
    assert utility_of_grade(mean_grade) == pytest.approx(utility_score(use))


def test_weights() -> None:
    score = SegmentScore(0.5, 0.5, 0.5, 0.5)
    assert score.total(SegmentWeights(relevance=2, support=4, utility=8)) == 0.5 + 1 + 2 + 4


def test_an_unknown_term_is_left_out_and_named() -> None:
    score = SegmentScore(sequence=None, relevance=0.5, support=None, utility=1.0)
    assert score.total(SegmentWeights()) == 1.0
    assert (score.unknown, score.known) == (["sequence", "support"], {"relevance": 0.5, "utility": 1.0})


@pytest.mark.parametrize("wrong", [None, math.nan, math.inf, -0.1])
def test_what_is_no_probability_makes_its_term_unknown(wrong: Any) -> None:
    assert relevance_score(wrong, 0.5) is relevance_score(0.5, wrong) is None
    assert support_score(0.5, wrong, 0.5) is None
    assert utility_score([0.5, 0.5, wrong, 0.5, 0.5]) is None
    assert known_probability(wrong) is utility_of_grade(wrong) is None


def test_without_any_weight_nothing_is_known() -> None:
    assert relevance_score(0.0, 0.0) is support_score(0.0, 0.0, 0.0) is utility_score([0.0] * 5) is None
    assert utility_score([1.0]) is None
    assert known_probability("much") is utility_of_grade("good") is utility_of_grade(0.9) is None


@given(st.floats(0.001, 0.999))
def test_the_official_ratio_is_the_rule_turned_round(yes: float) -> None:
    no = 1 - yes
    official = retrieve_ratio(yes, no, "official_logratio")
    assert official == pytest.approx(math.log(yes) / (math.log(yes) + math.log(no)))
    assert retrieve_ratio(yes, no) == pytest.approx(yes)
    higher = retrieve_ratio(min(0.9999, yes + 0.0005), 1 - min(0.9999, yes + 0.0005), "official_logratio")
    assert higher is not None
    assert higher < official  # surer that it wants retrieval, and less likely to get it


def test_where_the_official_rule_turns() -> None:
    """With delta 0.2 and two competing tokens it retrieves where p(yes) is below about 0.72."""

    def retrieves(yes: float, mode: Any) -> bool:
        return wants_retrieval(retrieve_ratio(yes, 1 - yes, mode), 0.2)

    assert [retrieves(p, "official_logratio") for p in (0.05, 0.5, 0.71, 0.74, 0.95)] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert [retrieves(p, "probability") for p in (0.05, 0.5, 0.71, 0.74, 0.95)] == [False, True, True, True, True]


def test_tokens_that_are_both_unlikely_are_retrieved_for_by_the_official_rule() -> None:
    assert retrieve_ratio(1e-6, 3e-6, "official_logratio") == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("mode", ["probability", "official_logratio"])
@pytest.mark.parametrize(("yes", "no"), [(None, 0.5), (0.5, None), (0.0, 0.0), (math.nan, 0.5)])
def test_an_unknown_need_retrieves(yes: Any, no: Any, mode: Any) -> None:
    assert retrieve_ratio(yes, no, mode) is None
    assert wants_retrieval(None, 0.99)


@pytest.mark.parametrize(
    ("logprob", "probability"),
    [
        (-0.5, math.exp(-0.5)),
        (1e-9, 1.0),
        (-math.inf, 0.0),
        (math.inf, None),
        (math.nan, None),
        (1.0, None),
        ("x", None),
    ],
)
def test_probabilities_of_logarithms(logprob: Any, probability: float | None) -> None:
    assert probability_of(logprob) == probability


# -- the beam ----------------------------------------------------------------------------------------------------------


def segment(text: str, score: float, *, supported: bool = False) -> Segment:
    citations: Any = [{"sentence": text}] if supported else []
    return Segment(text=text, written=text, passage="p", citations=citations, score=score, terms={})


def path(*segments: Segment, ended: bool = False) -> Path:
    return Path(segments=list(segments), ended=ended)


def test_a_path_is_worth_the_mean_of_its_segments() -> None:
    assert path_score(path(segment("a", 1.0), segment("b", 2.0))) == 1.5
    assert path_score(path()) == 0.0


def test_of_paths_with_the_same_words_the_best_stays() -> None:
    low, high, other = path(segment("A b.", 1)), path(segment("a B", 3)), path(segment("c", 2))
    assert kept([low, high, other], 5) == [high, other]
    assert kept([low, high, other], 1) == [high]


def test_the_shown_path_holds_a_supported_sentence_where_one_does() -> None:
    bare, cited = path(segment("a", 9)), path(segment("b", 1, supported=True))
    assert best_path([bare, cited]) is cited
    assert best_path([bare]) is bare
    assert best_path([]) is None


def test_repeats() -> None:
    begun = path(segment("Leave is 25 days.", 1))
    assert repeats(begun, "leave is 25 days!")
    assert repeats(None, " ... ")
    assert not repeats(begun, "Leave is 26 days.")


@given(
    table=st.lists(st.lists(st.integers(-30, 30), min_size=3, max_size=3), min_size=9, max_size=9),
    depth=st.integers(1, 3),
    beam=st.integers(1, 3),
)
def test_the_beam_against_another_implementation(table: list[list[int]], depth: int, beam: int) -> None:
    """Scores are drawn by (depth, last choice): the beam of another implementation, and brute force for a wide one."""

    def score(depth_: int, last: int, choice: int) -> float:
        return table[depth_ * 3 + last][choice] + choice / 1000 + last / 7919 + depth_ / 104729  # hardly any ties

    def grow(width: int) -> list[tuple[str, float]]:
        paths: list[Path] = [path()]
        for level in range(depth):
            grown = []
            for each in paths:
                last = int(each["segments"][-1]["text"][-1]) if each["segments"] else 0
                for choice in range(3):
                    step = segment(f"{level}{choice}", score(level, last, choice))
                    grown.append(extended(each, step, ended=False))
            paths = kept(grown, width)
        return [(path_text(each), path_score(each)) for each in paths]

    def other(width: int) -> list[tuple[str, float]]:
        frontier: list[tuple[tuple[int, ...], list[float]]] = [((), [])]
        for level in range(depth):
            grown = [
                ((*chosen, choice), [*values, score(level, chosen[-1] if chosen else 0, choice)])
                for chosen, values in frontier
                for choice in range(3)
            ]
            frontier = sorted(grown, key=lambda one: -(sum(one[1]) / len(one[1])))[:width]
        return [
            (" ".join(f"{level}{choice}" for level, choice in enumerate(chosen)), sum(values) / len(values))
            for chosen, values in frontier
        ]

    assert grow(beam) == other(beam)
    every = [
        sum(score(level, ([0, *chosen])[level], choice) for level, choice in enumerate(chosen)) / depth
        for chosen in itertools.product(range(3), repeat=depth)
    ]
    assert grow(27)[0][1] == pytest.approx(max(every))
