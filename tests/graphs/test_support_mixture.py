"""The mixture of a trained support critic with the words: its laws, and what the graphs do with it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.graphs.common.support import held_share
from ragloom.graphs.common.support_mixture import SupportMixture

shares = st.floats(0, 1)
weights = st.floats(0, 10)
WORDS = st.lists(st.sampled_from(["leave", "Vienna", "25", "days", "staff", "the", "not", "pay"]), max_size=8).map(
    " ".join
)


@given(weights, weights, st.floats(-5, 5), shares, shares)
def test_scores_are_those_of_the_formula(model: float, words: float, shift: float, odds: float, share: float) -> None:
    found = SupportMixture(model, words, shift).scores([odds], [share])[0]
    kept = min(max(odds, 1e-6), 1 - 1e-6)
    wanted = 1 / (1 + math.exp(-(model * math.log(kept / (1 - kept)) + words * share + shift)))
    assert found == pytest.approx(wanted, abs=1e-9)
    assert 0 <= found <= 1


@given(st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_what_is_fitted_is_never_turned_round(seed: int) -> None:
    rng = np.random.default_rng(seed)
    odds, share = rng.random(60), rng.random(60)
    truth = rng.random(60) < 0.5
    truth[:2] = [True, False]
    mixture = SupportMixture.fitted(odds, share, truth)
    assert min(mixture.weight_model, mixture.weight_words) >= 0
    assert SupportMixture(**mixture.settings()) == mixture
    clear = SupportMixture.fitted(odds, share, share > 0.5)
    assert clear.weight_words > clear.weight_model


@given(WORDS, WORDS, WORDS, WORDS)
def test_the_share_of_words_grows_with_the_text(sentence: str, question: str, text: str, more: str) -> None:
    found = held_share(sentence, question, text)
    assert 0 <= found <= held_share(sentence, question, f"{text} {more}") <= 1
    assert held_share(sentence, question, "", above=text) == found
    assert held_share(sentence, question, f"{text} {sentence.lower()} {question}") == 1


def test_numbers_and_names_weigh_double() -> None:
    assert held_share("Staff get 25 days.", "", "Staff get days.") == pytest.approx(3 / 5)
