"""Bootstrap intervals: what they cover, and what they do with samples that hold little.

`python tests/evals/test_statistics.py 4000` prints the coverage table of docs/metrics.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.evals.statistics import SMALL, mean_interval, paired_difference, small_sample_note

Draw = Callable[[np.random.Generator, int], Any]
shares = st.floats(0, 1)
scores = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.none() | shares, max_size=20)


# -- what the intervals cover -----------------------------------------------------------------------------------------


def binary_pairs(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Right or wrong, 0.61 and 0.57: both 50 %, only the left 11 %, only the right 7 %."""
    drawn = rng.random(n)
    return (drawn < 0.61).astype(float), ((drawn < 0.50) | (drawn >= 0.93)).astype(float)


def graded_pairs(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Shares like F1: many near 0 and 1 by the question's ease, which both have; 0.4 and 0.375 on average."""
    ease = rng.beta(0.5, 0.5, n)
    return ease * rng.beta(4, 1, n), ease * rng.beta(3, 1, n)


def rare_pairs(rng: np.random.Generator, n: int) -> tuple[Any, Any]:
    """Almost the same system twice: 4 % only the left, 1 % only the right."""
    drawn = rng.random(n)
    return (drawn < 0.04).astype(float), (drawn > 0.99).astype(float)


PAIRS = {"binary": (binary_pairs, 0.04), "graded": (graded_pairs, 0.025), "rare": (rare_pairs, 0.03)}


def covered(draw: Draw, truth: float, *, n: int, times: int, interval: Callable[..., Any], seed: int = 0) -> float:
    """The share of simulated evaluations whose interval holds the truth, each with a seed of its own."""
    rng = np.random.default_rng(seed)
    hits = 0
    for number in range(times):
        low, high = interval(draw(rng, n), seed=number)
        hits += low - 1e-12 <= truth <= high + 1e-12
    return hits / times


def paired(pair: tuple[Any, Any], *, seed: int) -> tuple[float, float]:
    left, right = (dict(enumerate(side.tolist())) for side in pair)
    found = paired_difference(left, right, seed=seed)  # type: ignore[arg-type]
    return found["low"], found["high"]


def unpaired(pair: tuple[Any, Any], *, seed: int) -> tuple[float, float]:
    """The usual mistake: the right strategy's questions are not the left one's."""
    left, right = pair
    return paired((left, np.random.default_rng(seed).permutation(right)), seed=seed)


@pytest.mark.parametrize("kind", ["binary", "graded"])
def test_95_percent_intervals_of_paired_differences_hold_the_truth_in_93_to_97(kind: str) -> None:
    draw, truth = PAIRS[kind]
    assert 0.93 <= covered(draw, truth, n=200, times=1000, interval=paired) <= 0.97


def test_what_is_not_paired_would_be_told() -> None:
    draw, truth = PAIRS["binary"]
    assert covered(draw, truth, n=200, times=300, interval=unpaired) > 0.99


def test_a_90_percent_interval_would_be_told() -> None:
    def narrow(pair: tuple[Any, Any], *, seed: int) -> tuple[float, float]:
        low, high = paired(pair, seed=seed)
        middle, half = (low + high) / 2, (high - low) / 2 * 1.645 / 1.960
        return middle - half, middle + half

    draw, truth = PAIRS["graded"]
    assert covered(draw, truth, n=200, times=500, interval=narrow) < 0.925


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_intervals_of_small_samples_hold_the_truth_too(share: float) -> None:
    def draw(rng: np.random.Generator, n: int) -> Any:
        return (rng.random(n) < share).astype(float)

    assert 0.92 <= covered(draw, share, n=30, times=400, interval=mean_interval) <= 0.98


# -- laws -------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.lists(shares, min_size=1, max_size=40), st.integers(0, 3))
def test_an_interval_lies_among_the_values_around_their_mean(values: list[float], seed: int) -> None:
    low, high = mean_interval(values, seed=seed)
    mean = float(np.mean(values))
    assert min(values) - 1e-12 <= low <= mean + 1e-12
    assert mean - 1e-12 <= high <= max(values) + 1e-12
    assert mean_interval(values, seed=seed) == (low, high)


@settings(deadline=None)
@given(scores, scores)
def test_the_difference_the_other_way_round_is_the_same_with_the_other_sign(left: Any, right: Any) -> None:
    one, other = paired_difference(left, right), paired_difference(right, left)
    assert one["n"] == other["n"] == sum(left[key] is not None and right.get(key) is not None for key in left)
    assert one["mean"] == pytest.approx(-other["mean"], abs=1e-12)
    # The same resamples, so only the interpolation between two of them differs.
    assert (one["low"], one["high"]) == pytest.approx((-other["high"], -other["low"]), abs=1e-9)
    assert all(math.isfinite(value) for value in one.values())
    assert one["low"] - 1e-12 <= one["mean"] <= one["high"] + 1e-12


def test_a_constant_gain_is_certain_however_the_questions_vary() -> None:
    right = {f"q{number}": number % 7 / 10 for number in range(50)}
    left = {key: value + 0.25 for key, value in right.items()}
    found = paired_difference(left, right)
    assert found["mean"] == pytest.approx(0.25)
    assert found["high"] - found["low"] < 1e-9


def test_the_order_of_questions_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    left, right = ({f"q{number}": float(rng.random()) for number in range(50)} for _ in range(2))
    assert paired_difference(left, right) == paired_difference(dict(reversed(left.items())), right)


def test_more_questions_make_it_narrower() -> None:
    def width(n: int) -> float:
        low, high = mean_interval([0.0, 1.0] * n)
        return high - low

    assert width(400) == pytest.approx(width(100) / 2, rel=0.1)


# -- samples that hold little -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "interval"),
    [([], (0.0, 0.0)), ([0.3], (0.3, 0.3)), ([1.0] * 50, (1.0, 1.0)), ([0.1] * 3, (0.1, 0.1))],
)
def test_degenerate_samples_give_points(values: list[float], interval: tuple[float, float]) -> None:
    assert mean_interval(values) == interval


def test_two_values_give_their_range() -> None:
    assert mean_interval([0.0, 1.0]) == (0.0, 1.0)


def test_nothing_in_common_is_no_difference_over_no_question() -> None:
    nothing = {"mean": 0.0, "low": 0.0, "high": 0.0, "n": 0}
    assert paired_difference({"a": 1.0}, {"b": 0.0}) == nothing
    assert paired_difference({"a": 1.0}, {"a": None}) == nothing
    assert paired_difference({}, {}) == nothing


def test_small_samples_are_marked() -> None:
    assert "n = 199" in (small_sample_note(SMALL - 1) or "")
    assert small_sample_note(SMALL) is None
    assert small_sample_note(0)


# -- the table of docs/metrics.md -------------------------------------------------------------------------------------


def coverage(draw: Draw, truth: float, *, n: int, times: int) -> dict[str, float]:
    """What `mean_interval` and scipy's own methods cover. One call for 50 samples: one a call would take an hour."""
    from scipy.stats import bootstrap, norm, t

    rng = np.random.default_rng(0)
    tail = norm.cdf(math.sqrt(n / (n - 1)) * t.ppf(0.025, n - 1))
    methods = {"expanded": ("percentile", 1 - 2 * tail), "percentile": ("percentile", 0.95), "BCa": ("BCa", 0.95)}
    hits = dict.fromkeys(methods, 0)
    for _ in range(times // 50):
        samples = np.array([draw(rng, n) for _ in range(50)])
        same = np.ptp(samples, axis=1) == 0
        for name, (method, level) in methods.items():
            found = bootstrap(
                (samples,),
                np.mean,
                axis=1,
                n_resamples=2000,
                batch=100,
                method=method,
                confidence_level=level,
                rng=rng.integers(2**32),
            ).confidence_interval
            low, high = (np.where(same, samples[:, 0], end) for end in found)
            hits[name] += int(((low - 1e-12 <= truth) & (truth <= high + 1e-12)).sum())
    return {name: count / (times // 50 * 50) for name, count in hits.items()}


def difference(draw: Draw) -> Draw:
    return lambda rng, n: np.subtract(*draw(rng, n))


def print_table(times: int) -> None:
    kinds: dict[str, tuple[Draw, float]] = {
        f"0 or 1, mean {p}": (lambda rng, n, p=p: (rng.random(n) < p).astype(float), p)  # type: ignore[misc]
        for p in (0.1, 0.3, 0.5)
    }
    kinds["skewed, Beta(0.3, 1.5)"] = (lambda rng, n: rng.beta(0.3, 1.5, n), 0.3 / 1.8)
    kinds |= {f"difference, {kind}": (difference(draw), truth) for kind, (draw, truth) in PAIRS.items()}
    print("| values | n | expanded | percentile | BCa |\n| --- | ---: | ---: | ---: | ---: |")
    for label, (draw, truth) in kinds.items():
        for n in (30, 60, 200):
            found = coverage(draw, truth, n=n, times=times)
            print(f"| {label} | {n} |", " | ".join(f"{share:.1%}" for share in found.values()), "|", flush=True)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # BCa of a sample with one other value
    print_table(int(sys.argv[1]))
