"""Reranker, evaluator and the two small critics, on tiny artifacts: what they do with what their classifier says."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifact_kit import make_artifact, make_base, with_manifest
from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import NodeWithScore, TextNode

from ragloom.errors import ArtifactError, UnknownModelError, UsageError
from ragloom.models import load_evaluator, load_reranker, load_retrieval_need_critic, load_utility_critic
from ragloom.models.evaluator import action_of
from ragloom.models.pair_classifier import load_pair_classifier
from ragloom.models.pair_text import passage_text
from ragloom.models.reranker import mixed_scores
from ragloom.models.windows import pack_windows, word_spans

QUESTION = "w1 w2 w3"
TEXTS = [f"w{n} w{n + 3} w{2 * n}" for n in range(10, 24)]
CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("base") / "bert")


@pytest.fixture(scope="module")
def reranker_spec(base: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"reranker:{make_artifact(tmp_path_factory.mktemp('reranker'), base, 'reranker')}"


@pytest.fixture(scope="module")
def mixing_spec(base: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    weights = {"mixture": {"weight_model": 0.3, "weight_first": 0.7}}
    return f"reranker:{make_artifact(tmp_path_factory.mktemp('mixing'), base, 'reranker', settings=weights)}"


def nodes(texts: list[str], scores: list[float | None] | None = None) -> list[NodeWithScore]:
    scores = scores or [1.0 / (rank + 1) for rank in range(len(texts))]
    return [
        NodeWithScore(node=TextNode(id_=str(n), text=text, metadata={"score_kind": "bm25", "title": ""}), score=score)
        for n, (text, score) in enumerate(zip(texts, scores, strict=True))
    ]


def ids(found: list[NodeWithScore]) -> list[str]:
    return [item.node.node_id for item in found]


def test_passages_are_ordered_by_the_classifier(reranker_spec: str) -> None:
    found = load_reranker(reranker_spec, **CPU).postprocess_nodes(nodes(TEXTS), query_str=QUESTION)
    classifier = load_pair_classifier(reranker_spec, "reranker", **CPU)
    said = classifier.probabilities([(QUESTION, text) for text in TEXTS])[:, 0]
    assert said.std() > 0.001
    assert ids(found) == [str(n) for n in np.argsort(-said, kind="stable")]
    assert [item.score for item in found] == pytest.approx(sorted(said, reverse=True), abs=1e-6)
    assert {item.node.metadata["score_kind"] for item in found} == {"reranker"}
    assert {item.node.metadata["first_score_kind"] for item in found} == {"bm25"}
    assert [item.node.metadata["first_score"] for item in found] == [1.0 / (int(name) + 1) for name in ids(found)]


def test_the_nodes_of_the_caller_stay_as_they_are(reranker_spec: str) -> None:
    given_nodes = nodes(TEXTS)
    load_reranker(reranker_spec, **CPU).postprocess_nodes(given_nodes, query_str=QUESTION)
    assert [item.score for item in given_nodes] == [1.0 / (rank + 1) for rank in range(len(TEXTS))]
    assert {item.node.metadata["score_kind"] for item in given_nodes} == {"bm25"}
    assert given_nodes[0].node.metadata.keys() == {"score_kind", "title"}


def test_asynchronously_and_only_the_first(reranker_spec: str) -> None:
    reranker = load_reranker(reranker_spec, top_n=3, **CPU)
    whole = load_reranker(reranker_spec, **CPU).postprocess_nodes(nodes(TEXTS), query_str=QUESTION)
    found = asyncio.run(reranker.apostprocess_nodes(nodes(TEXTS), query_str=QUESTION))
    assert ids(found) == ids(whole)[:3]


def test_equal_scores_keep_their_order_and_blank_passages_come_last(reranker_spec: str) -> None:
    found = load_reranker(reranker_spec, **CPU).postprocess_nodes(
        nodes(["w5", "  ", "w5", "w5", ""], [None, 0.9, None, 0.1, 0.8]), query_str=QUESTION
    )
    assert ids(found) == ["0", "2", "3", "1", "4"]
    assert [item.score is None for item in found] == [False, False, False, True, True]
    assert load_reranker(reranker_spec, **CPU).postprocess_nodes([], query_str=QUESTION) == []


def test_what_stands_above_a_passage_is_read_with_it(reranker_spec: str) -> None:
    reranker = load_reranker(reranker_spec, **CPU)
    titled = NodeWithScore(node=TextNode(text="w5 w6", metadata={"title": "w7 w8"}), score=1.0)
    plain = NodeWithScore(node=TextNode(text="w7 w8: w5 w6"), score=1.0)
    scores = [reranker.postprocess_nodes([item], query_str=QUESTION)[0].score for item in (titled, plain)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)
    assert scores[0] != reranker.postprocess_nodes(nodes(["w5 w6"]), query_str=QUESTION)[0].score
    assert passage_text("w7  w8 w5", "W7 w8") == "w7  w8 w5"


def test_a_mixture_weighs_both_scores(mixing_spec: str) -> None:
    first: list[float | None] = [0.1 * n for n in range(len(TEXTS))]
    found = load_reranker(mixing_spec, **CPU).postprocess_nodes(nodes(TEXTS, first), query_str=QUESTION)
    logits = load_pair_classifier(mixing_spec, "reranker", **CPU).logits([(QUESTION, text) for text in TEXTS])[:, 0]
    z = (logits - logits.mean()) / logits.std()
    one = (np.array(first) - np.mean(first)) / np.std(first)
    wanted = 0.3 * z + 0.7 * one
    assert ids(found) == [str(n) for n in np.argsort(-wanted, kind="stable")]
    assert [item.score for item in found] == pytest.approx(sorted(wanted, reverse=True), abs=1e-5)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-9, 9), st.one_of(st.none(), st.floats(-9, 9))), min_size=1, max_size=12),
    st.floats(0.1, 100),
    st.floats(-50, 50),
)
def test_a_mixture_does_not_depend_on_the_scale_of_the_first_stage(
    pairs: list[tuple[float, float | None]], scale: float, shift: float
) -> None:
    model = [round(left, 3) for left, _ in pairs]
    first = [None if right is None else round(right, 3) for _, right in pairs]
    scaled = [None if value is None else value * scale + shift for value in first]
    weights = {"weight_model": 0.6, "weight_first": 0.4}
    found = mixed_scores(model, first, **weights)
    assert np.isfinite(found).all()
    assert found == pytest.approx(mixed_scores(model, scaled, **weights), abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "error"),
    [("reranker:nowhere", ArtifactError), ("reranker:", UnknownModelError), ("cohere:x", UnknownModelError)],
)
def test_wrong_names(spec: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        load_reranker(spec)


def test_wrong_artifacts_and_settings(base: Path, tmp_path: Path, reranker_spec: str) -> None:
    three = make_artifact(tmp_path / "three", base, "reranker", labels=("a", "b", "c"))
    with pytest.raises(ArtifactError, match="has 3 labels"):
        load_reranker(f"reranker:{three}", **CPU)
    good = Path(reranker_spec.partition(":")[2])
    bad = with_manifest(tmp_path / "bad", good, settings={"mixture": {"weight_model": 1}})
    with pytest.raises(ArtifactError, match="damaged mixture"):
        load_reranker(f"reranker:{bad}", **CPU)
    with pytest.raises(UsageError, match="top_n is 0"):
        load_reranker(reranker_spec, top_n=0)
    with pytest.raises(UsageError, match="needs the question"):
        load_reranker(reranker_spec, **CPU).postprocess_nodes(nodes(TEXTS))
    with pytest.raises(ArtifactError, match="was trained as reranker"):
        load_evaluator(f"evaluator:{reranker_spec.partition(':')[2]}")


# -- evaluator ---------------------------------------------------------------------------------------------------------


def test_grades_are_calibrated_probabilities(base: Path, tmp_path: Path) -> None:
    thresholds = {"upper": 0.8, "lower": 0.1}
    made = make_artifact(tmp_path / "e", base, "evaluator", thresholds=thresholds, calibration={"scale": 2.0})
    evaluator = load_evaluator(f"evaluator:{made}", **CPU)
    assert (evaluator.upper, evaluator.lower) == (0.8, 0.1)
    classifier = load_pair_classifier(f"evaluator:{made}", "evaluator", **CPU)
    logits = classifier.logits([(QUESTION, text) for text in TEXTS])[:, 0]
    grades = evaluator.grade(QUESTION, [*TEXTS, " "])
    assert grades[:-1] == pytest.approx(1 / (1 + np.exp(-2 * logits)), abs=1e-5)
    assert grades[-1] == 0.0
    assert evaluator.grade(QUESTION, []) == []
    assert evaluator.action([0.81, 0.0]) == "correct"
    with pytest.raises(UsageError, match=r"lower threshold 0.9"):
        load_evaluator(f"evaluator:{made}", lower=0.9, **CPU)


def test_of_a_long_passage_the_best_window_counts(base: Path, tmp_path: Path) -> None:
    spec = f"evaluator:{make_artifact(tmp_path / 'e', base, 'evaluator', max_tokens=24)}"
    evaluator = load_evaluator(spec, **CPU)
    draw = np.random.default_rng(0)
    passage = " ".join(f"w{n}" for n in draw.integers(0, 200, size=120))
    words = word_spans(passage)
    windows = pack_windows(words, [1] * len(words), 24 - 4 - 3)
    assert len(windows) > 5
    alone = evaluator.grade(QUESTION, [passage[start:end] for start, end in windows])
    assert np.std(alone) > 0.001
    assert evaluator.grade(QUESTION, [passage]) == pytest.approx([max(alone)], abs=1e-6)


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 12))
def test_windows_cover_everything_and_fit(sizes: list[int], room: int) -> None:
    units = [(10 * n, 10 * n + 5) for n in range(len(sizes))]
    found = pack_windows(units, sizes, room)
    covered = {n for start, end in found for n, unit in enumerate(units) if start <= unit[0] and unit[1] <= end}
    assert covered == set(range(len(units)))
    for start, end in found:
        inside = [size for unit, size in zip(units, sizes, strict=True) if start <= unit[0] and unit[1] <= end]
        assert sum(inside) <= room or len(inside) == 1
    assert found == sorted(set(found))


@given(st.lists(st.floats(0, 1)), st.floats(0, 1), st.floats(0, 1))
def test_actions_are_those_of_the_paper(scores: list[float], one: float, other: float) -> None:
    lower, upper = sorted((one, other))
    found = action_of(scores, upper=upper, lower=lower)
    if max(scores, default=-1.0) > upper:
        assert found == "correct"
    elif not scores or max(scores) < lower:
        assert found == "incorrect"
    else:
        assert found == "ambiguous"


# -- utility and retrieval need ----------------------------------------------------------------------------------------


def test_utility_is_the_mean_grade(base: Path, tmp_path: Path) -> None:
    made = make_artifact(tmp_path / "u", base, "utility")
    critic = load_utility_critic(f"utility:{made}", **CPU)
    shares = load_pair_classifier(f"utility:{made}", "utility", **CPU).probabilities([("w1", "w2")])[0]
    assert critic.expected("w1", "w2") == pytest.approx(float(shares @ np.arange(1, 6)), abs=1e-6)
    assert 1 <= critic.expected("w1", "w9") <= 5
    assert critic.expected_of([]) == []
    other = make_artifact(tmp_path / "other", base, "utility", labels=("good", "bad"))
    with pytest.raises(ArtifactError, match="is no utility critic"):
        load_utility_critic(f"utility:{other}", **CPU)


def test_retrieval_need_is_the_probability_of_yes(base: Path, tmp_path: Path) -> None:
    made = make_artifact(tmp_path / "r", base, "retrieve", thresholds={"yes": 0.0})
    critic = load_retrieval_need_critic(f"retrieve:{made}", **CPU)
    shares = load_pair_classifier(f"retrieve:{made}", "retrieve", **CPU).probabilities([("w1 w2", "")])[0]
    assert critic.probability("w1 w2") == pytest.approx(float(shares[1]), abs=1e-6)
    assert critic.needed("w1 w2")
    assert critic.probabilities([]) == []
