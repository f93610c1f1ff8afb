"""Calibration, thresholds and measures of pairs: laws that hold for any scores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ragloom.errors import UsageError
from ragloom.finetune.calibration import expected_calibration_error, fit_calibration, reliability
from ragloom.finetune.pair_metrics import (
    LEAST,
    auroc,
    balanced_accuracy,
    by_set,
    mean_ndcg,
    set_weights,
    threshold_of,
)
from ragloom.finetune.pair_rows import Examples, some
from ragloom.finetune.thresholds import Costs, fit_thresholds, measure_thresholds
from ragloom.models.artifacts import Calibration
from ragloom.models.pair_classifier import probabilities_of


def draws(seed: int, labels: int, count: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels that are drawn by them: calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, labels)) * 2
    shares = probabilities_of(logits, Calibration())
    if labels == 1:
        return logits, (rng.random(count) < shares[:, 0]).astype(float)
    return logits, np.array([rng.choice(labels, p=row / row.sum()) for row in shares.astype(float)])


@given(st.integers(0, 10_000), st.integers(1, 40))
@settings(max_examples=15, deadline=None)
def test_the_calibration_error_is_that_of_torchmetrics(seed: int, bins: int) -> None:
    import torch
    from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

    logits, labels = draws(seed, 1)
    shares = probabilities_of(logits, Calibration())
    wanted = BinaryCalibrationError(n_bins=bins)(torch.tensor(shares[:, 0]), torch.tensor(labels).long())
    found = expected_calibration_error(shares, labels, bins=bins)
    assert found == pytest.approx(float(wanted), abs=2e-4)
    assert 0 <= found <= 1
    logits, labels = draws(seed, 4)
    shares = probabilities_of(logits, Calibration())
    wanted = MulticlassCalibrationError(4, n_bins=bins)(torch.tensor(shares), torch.tensor(labels))
    assert expected_calibration_error(shares, labels, bins=bins) == pytest.approx(float(wanted), abs=2e-4)


@given(st.integers(0, 10_000), st.floats(0.1, 10), st.floats(-3, 3))
@settings(max_examples=15, deadline=None)
def test_platt_scaling_keeps_the_order_and_undoes_a_wrong_scale(seed: int, scale: float, shift: float) -> None:
    logits, labels = draws(seed, 1)
    fitted = fit_calibration(logits * scale + shift, labels)
    right = fit_calibration(logits, labels)
    before, after = (
        probabilities_of(values, how) for values, how in ((logits, right), (logits * scale + shift, fitted))
    )
    np.testing.assert_allclose(after, before, atol=0.02)
    assert np.all(np.diff(after[np.argsort(logits[:, 0]), 0]) >= 0)
    assert fitted.scale > 0


@given(st.integers(0, 10_000), st.sampled_from([1, 3, 5]))
@settings(max_examples=10, deadline=None)
def test_what_is_calibrated_stays_about_as_it_is(seed: int, labels: int) -> None:
    logits, targets = draws(seed, labels, count=3000)
    fitted = fit_calibration(logits, targets)
    assert fitted.scale == pytest.approx(1, abs=0.2)
    before, after = probabilities_of(logits, Calibration()), probabilities_of(logits, fitted)
    assert np.abs(after - before).mean() < 0.03
    assert expected_calibration_error(after, targets) < 0.05


def test_calibration_of_hard_cases() -> None:
    apart = np.linspace(-3, 3, 20)[:, None]
    fitted = fit_calibration(apart, (apart[:, 0] > 0).astype(float))
    assert 1 < fitted.scale < 100  # separable: not infinite
    upside_down = fit_calibration(-apart, (apart[:, 0] > 0).astype(float))
    assert 0 < upside_down.scale < 0.1  # the order is kept, and nothing is believed
    soft = fit_calibration(apart, np.full(20, 0.25))
    assert probabilities_of(apart, soft).mean() == pytest.approx(0.25, abs=0.05)
    with pytest.raises(UsageError, match="no row to calibrate on"):
        fit_calibration(np.zeros((0, 1)), np.zeros(0))


def test_reliability_counts_every_row() -> None:
    bins = reliability(np.array([0.0, 0.5, 1.0, 1.0]), np.array([0, 1, 1, 0]), bins=2)
    assert [each["rows"] for each in bins] == [1, 3]
    assert bins[1] == {"from": 0.5, "to": 1.0, "rows": 3, "said": pytest.approx(2.5 / 3), "seen": pytest.approx(2 / 3)}


# Thresholds

SCORES = st.integers(0, 1000).map(lambda value: value / 1000)
QUESTIONS = st.dictionaries(
    st.text(max_size=3), st.lists(st.tuples(SCORES, st.booleans()), min_size=1, max_size=3), min_size=1, max_size=6
)


@given(QUESTIONS, st.floats(0, 1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_no_pair_of_thresholds_is_cheaper(questions: Any, ambiguous: float, without_gold: bool) -> None:
    costs = Costs(ambiguous=ambiguous, wrong_correct=0.7)
    found = fit_thresholds(questions, costs=costs, without_gold=without_gold)
    assert found.lower <= found.upper
    assert sum(found.mix.values()) == pytest.approx(1)
    grid = sorted({score for case in questions.values() for score, _ in case})
    tried = [-1.0, 2.0, *grid, *((low + high) / 2 for low, high in zip(grid, grid[1:], strict=False))]
    for lower in tried:
        for upper in tried:
            if lower <= upper:
                other = measure_thresholds(questions, lower, upper, costs=costs, without_gold=without_gold)
                assert found.cost <= other.cost + 1e-9


@given(st.lists(st.floats(0.6, 1), min_size=1), st.lists(st.floats(0, 0.4), min_size=1))
def test_thresholds_separate_what_is_separable(good: list[float], bad: list[float]) -> None:
    questions = {f"+{at}": [(score, True)] for at, score in enumerate(good)}
    questions |= {f"-{at}": [(score, False)] for at, score in enumerate(bad)}
    found = fit_thresholds(questions)
    assert max(bad) < found.lower <= found.upper < min(good)
    assert (found.cost, found.agreement, found.mix["ambiguous"]) == (0, 1, 0)


def test_thresholds_warn_of_an_evaluator_that_tells_nothing_apart() -> None:
    same = {str(at): [(0.5, at % 2 == 0)] for at in range(20)}
    found = fit_thresholds(same)
    assert found.mix["ambiguous"] == 1
    assert "100% of the questions are ambiguous" in found.warnings[0]
    one_kind = fit_thresholds({"a": [(0.9, True)], "b": [(0.8, True)]})
    assert any("all questions ask for the same action" in warning for warning in one_kind.warnings)
    with pytest.raises(UsageError, match="no question with passages"):
        fit_thresholds({})


def test_taking_gold_passages_away_gives_questions_without_an_answer() -> None:
    questions = {"a": [(0.9, True), (0.2, False)], "b": [(0.8, True), (0.3, False)]}
    found = fit_thresholds(questions)
    assert found.questions == 4
    assert 0.3 < found.lower <= found.upper < 0.8
    assert fit_thresholds(questions, without_gold=False).questions == 2


# Measures


@given(st.lists(st.tuples(SCORES, st.booleans()), min_size=2, max_size=30))
@settings(max_examples=40, deadline=None)
def test_the_threshold_has_the_best_balanced_accuracy(rows: list[tuple[float, bool]]) -> None:
    scores, truth = np.array([score for score, _ in rows]), np.array([right for _, right in rows])
    found = threshold_of(scores, truth)
    if truth.all() or not truth.any():
        assert found == 0.5
        return
    best = max(balanced_accuracy(scores >= cut, truth) or 0 for cut in [*scores, 2.0])
    assert balanced_accuracy(scores >= found, truth) == best
    assert auroc(scores, truth) == pytest.approx(roc_auc_score(truth, scores), abs=1e-4)


@given(st.lists(st.tuples(SCORES, st.booleans(), st.sampled_from("ab")), min_size=2, max_size=20))
@settings(max_examples=40, deadline=None)
def test_the_threshold_by_sets_has_the_best_mean_of_their_balanced_accuracies(rows: list[tuple[Any, ...]]) -> None:
    # Each row as often as makes a set that counts, the second set five times as large.
    rows = [row for row in rows for _ in range(LEAST * (5 if row[2] == "b" else 1))]
    scores, truth = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    sets = [row[2] for row in rows]

    def mean(cut: float) -> float:
        return by_set(balanced_accuracy, sets, scores >= cut, truth)[1] or 0

    found = threshold_of(scores, truth, weights=set_weights(sets, truth))
    if mean(found):  # else no set has both classes
        assert mean(found) == pytest.approx(max(map(mean, [*scores, 2.0])), abs=1e-4)


def test_a_handful_of_rows_does_not_decide_a_mean_over_sets() -> None:
    sets = ["big"] * 40 + ["few"] * 2
    scores, truth = np.array([*np.linspace(0, 1, 40), 0.9, 0.1]), np.array([0] * 20 + [1] * 20 + [0, 1])
    found, macro = by_set(auroc, sets, scores, truth)
    assert found == {"big": 1.0, "few": 0.0} and macro == 1.0
    assert not set_weights(sets, truth)[-2:].any()


@given(st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(5, 100))
@settings(max_examples=25, deadline=None)
def test_what_is_looked_at_in_training_is_drawn_from_each_set_alike(sizes: list[int], count: int) -> None:
    rows = [
        {"question": f"{name} {at}", "origin": {"set": f"s{name}", "id": str(at)}}
        for name, size in enumerate(sizes)
        for at in range(size)
    ]
    examples = Examples(rows, [("", "")] * len(rows), np.zeros(len(rows)))
    chosen = some(examples, count)
    found = [chosen.sets.count(f"s{name}") for name in range(len(sizes))]
    assert len({str(row) for row in chosen.rows}) == len(chosen.rows) <= max(count, len(sizes))
    assert len(chosen.rows) >= min(count, len(rows)) - 1
    largest = max(found)
    assert all(own == size or own >= largest - 1 for own, size in zip(found, sizes, strict=True))
    assert [row["origin"] for row in some(examples, count).rows] == [row["origin"] for row in chosen.rows]


def test_two_questions_of_one_wording_are_two() -> None:
    rows = [{"question": "What then?", "query": name, "origin": {"set": "s"}} for name in ("s:1", "s:2", "s:1")]
    first, second, third = Examples(rows, [("", "")] * 3, np.zeros(3)).questions
    assert first == third != second


def test_measures_of_each_set() -> None:
    sets = ["a", "a", "b", "b", "c"]
    found, macro = by_set(auroc, sets, np.array([0.9, 0.1, 0.4, 0.6, 0.5]), np.array([1, 0, 1, 0, 1]))
    assert found == {"a": 1.0, "b": 0.0}
    assert macro == 0.5
    assert mean_ndcg([3, 2, 1], np.array([0, 1, 0]), ["q", "q", "q"]) == pytest.approx(1 / math.log2(3), abs=1e-4)
    assert mean_ndcg([3], np.array([0]), ["q"]) is None
