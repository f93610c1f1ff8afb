"""Text metrics against the reference implementations, and the laws they keep."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ragloom.errors import MissingExtraError
from ragloom.evals.text_metrics import bleu, contains, exact_match, f1, normalize, rouge_l

DATA = Path(os.environ.get("RAGLOOM_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
SQUAD = DATA / "squad" / "questions.jsonl"
METRICS = (exact_match, f1, contains, rouge_l, bleu)

WORDS = ["The", "a", "an", "cat", "Cats", "sat,", "U.S.", "25", "3.5%", "!", "-", "naïve", "東京", "\n"]
pieces = st.sampled_from(WORDS)
phrases = st.one_of(st.text(max_size=30), st.lists(pieces, max_size=8).map(" ".join))
right_answers = st.lists(phrases, min_size=1, max_size=4)


# -- SQuAD ------------------------------------------------------------------------------------------------------------


def official(answer: str, right: list[str]) -> tuple[float, float]:
    """(exact match, F1) by torchmetrics' port of the official script, 0 to 1.

    evaluate-v2.0.py leaves out right answers without a token in normal form and then takes "" for the right one; the
    port does not, so that is done here.
    """
    squad = pytest.importorskip("torchmetrics.functional.text", reason="torchmetrics is the reference").squad
    kept = [text for text in right if squad_tokens(text)] or [""]
    target = {"answers": {"answer_start": [0] * len(kept), "text": kept}, "id": "1"}
    found = squad({"prediction_text": answer, "id": "1"}, target)
    return float(found["exact_match"]) / 100, float(found["f1"]) / 100


def squad_tokens(text: str) -> list[str]:
    from torchmetrics.functional.text.squad import _get_tokens

    return _get_tokens(text)


def predictions(rng: random.Random, right: list[str], question: str) -> list[str]:
    """What models say for a question: the answer itself, in a sentence, cut, in other letters, or something else."""
    known = rng.choice(right)
    words = known.split()
    start = rng.randrange(len(words))
    return [
        known,
        f"The answer is {known}.",
        " ".join(words[start : start + rng.randint(1, len(words))]),
        known.upper() + "!",
        f"{question.rstrip('?')}: {' '.join(reversed(words))}",
        question,
        "",
    ]


def test_exact_match_and_f1_are_squads_on_squad() -> None:
    if not SQUAD.exists():
        pytest.skip(f"{SQUAD} is not there")
    rng = random.Random(0)
    questions = [json.loads(line) for line in SQUAD.open(encoding="utf-8")]
    answerable = [item for item in questions if item["answers"]]
    scores = []
    for item in rng.sample(answerable, 300):
        for said in predictions(rng, item["answers"], item["question"]):
            mine = exact_match(said, item["answers"]), f1(said, item["answers"])
            assert mine == pytest.approx(official(said, item["answers"]), abs=5e-5), (said, item["answers"])
            scores.append(mine)
    assert len({round(score, 2) for _, score in scores}) > 30  # the pairs are not all right or all wrong


@settings(max_examples=300, deadline=None)
@given(phrases, right_answers)
@example("the", ["a!"])
@example("", ["a", "cat"])
@example("İstanbul", ["i̇stanbul"])
@example("x\x85the\u2028y", ["X Y"])
def test_exact_match_and_f1_are_squads_on_any_text(answer: str, right: list[str]) -> None:
    assert (exact_match(answer, right), f1(answer, right)) == pytest.approx(official(answer, right), abs=5e-5)


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("The U.S.", ["us"], 1.0),
        ("nine nations", ["nine"], 2 / 3),
        ("nine nine", ["nine"], 2 / 3),
        ("cat", ["dog", "a cat"], 1.0),
        ("", ["cat"], 0.0),
        ("the", ["!"], 1.0),  # both are empty in normal form
        ("", [], 1.0),  # an unanswerable question in SQuAD 2.0
        ("cat", [], 0.0),
    ],
)
def test_f1(answer: str, right: list[str], score: float) -> None:
    assert f1(answer, right) == pytest.approx(score)
    assert exact_match(answer, right) == float(score == 1.0)


# -- containment ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "right", "held"),
    [
        ("It is in nine nations.", ["nine"], True),
        ("It is in ninety nations.", ["nine"], False),
        ("The Amazon, a jungle", ["Amazon jungle"], True),  # punctuation and articles do not count
        ("Jungle of the Amazon", ["Amazon jungle"], False),
        ("on 31 March 2016", ["March 2016", "2017"], True),
        ("nothing", ["A"], False),  # empty in normal form: it would stand anywhere
    ],
)
def test_contains_whole_tokens_in_one_run(answer: str, right: list[str], held: bool) -> None:
    assert contains(answer, right) == float(held)


# -- laws -------------------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(phrases, right_answers, st.randoms(use_true_random=False))
def test_every_metric_is_a_share_and_takes_right_answers_in_any_order(
    answer: str, right: list[str], rng: random.Random
) -> None:
    shuffled = rng.sample(right, len(right))
    for metric in METRICS:
        assert 0.0 <= metric(answer, right) <= 1.0
        assert metric(answer, right) == pytest.approx(metric(answer, shuffled)), metric.__name__


@given(phrases, right_answers)
def test_an_exact_match_has_f1_1_and_is_contained(answer: str, right: list[str]) -> None:
    for said in (answer, *right):
        if exact_match(said, right):
            assert f1(said, right) == contains(said, right) == 1.0
        else:
            assert not normalize(said) or normalize(said) not in map(normalize, right)


@given(phrases, phrases)
def test_f1_is_symmetric(one: str, other: str) -> None:
    assert f1(one, [other]) == pytest.approx(f1(other, [one]))


@given(phrases, right_answers, phrases)
def test_one_more_right_answer_never_costs(answer: str, right: list[str], more: str) -> None:
    right = [text for text in right if normalize(text)] or ["cat"]
    for metric in (exact_match, f1, contains, rouge_l):
        assert metric(answer, [*right, more]) >= metric(answer, right)


@given(st.text())
def test_a_normal_form_has_single_spaces_and_no_articles(text: str) -> None:
    once = normalize(text)
    assert once == once.strip() and "  " not in once
    assert not {"a", "an", "the"} & set(once.split())


# -- ROUGE and BLEU ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "right", "score"),
    [
        ("the cat sat", ["the cat sat"], 1.0),
        ("the cats sat", ["the cat sat"], 1.0),  # stemmed
        ("cat the sat", ["the cat sat"], 2 / 3),  # the longest common subsequence has 2 of 3
        ("dog", ["cat", "dogs"], 1.0),
        ("東京", ["東京"], 0.0),  # rouge-score's tokenizer knows no such letters
        ("cat", [], 0.0),
    ],
)
def test_rouge_l(answer: str, right: list[str], score: float) -> None:
    assert rouge_l(answer, right) == pytest.approx(score)


def test_bleu_by_hand() -> None:
    # 3 of 4 words, 2 of 3 pairs, 1 of 2 triples, no run of four (smoothed to 1 / 2 of 1); as long as its reference.
    assert bleu("the cat sat here", ["the cat sat down"]) == pytest.approx((3 / 4 * 2 / 3 * 1 / 2 * 1 / 2) ** 0.25)
    # Only words and pairs exist in two words; brevity 1 - 3 / 2.
    assert bleu("the cat", ["the cat sat"]) == pytest.approx(2.718281828 ** (1 - 3 / 2))
    assert bleu("nine", ["nine", "nine big nations"]) == 1.0  # the closest reference counts for length
    assert bleu("cat sat", ["the cat", "a sat"]) == pytest.approx((2 / 2 * 1 / 2) ** 0.5)  # all references together
    assert bleu("", ["cat"]) == bleu("cat", []) == 0.0


@pytest.mark.parametrize(("module", "metric"), [("rouge_score.rouge_scorer", rouge_l), ("sacrebleu.metrics", bleu)])
def test_without_the_extra_the_error_says_what_to_install(
    module: str, metric: Callable[[str, list[str]], float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ragloom\[evals\]'"):
        metric("cat", ["cat"])


def test_importing_loads_neither() -> None:
    code = "import sys, ragloom.evals.text_metrics; print(*{n.split('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not set(done.stdout.split()) & {"rouge_score", "sacrebleu", "nltk", "numpy", "torch"}
