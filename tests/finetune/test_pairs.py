"""Recipes of pair classifiers, a few steps each on a tiny BERT; calibration and thresholds by their laws."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from tiny_bert import make_tiny_bert

from ragloom.errors import UsageError
from ragloom.finetune.calibration import expected_calibration_error, fit_calibration, reliability
from ragloom.finetune.data.parts import PARTS, Part, part_of
from ragloom.finetune.data.rows import COLUMNS, write_rows
from ragloom.finetune.options import TrainOptions, no_tell
from ragloom.finetune.pair_metrics import (
    LEAST,
    auroc,
    balanced_accuracy,
    by_set,
    mean_ndcg,
    set_weights,
    threshold_of,
)
from ragloom.finetune.pair_rows import Examples, read_examples, some
from ragloom.finetune.recipe import Built, Outcome, recipe_of
from ragloom.finetune.thresholds import Costs, action_of, fit_thresholds, measure_thresholds
from ragloom.models.artifacts import MANIFEST, Calibration, Manifest, base_of, file_hash
from ragloom.models.pair_classifier import load_pair_classifier, probabilities_of

ROLES = ("evaluator", "support", "utility", "retrieve", "reranker")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


def made_rows(role: str, count: int = 40) -> list[dict[str, Any]]:
    """Rows whose label a word tells: passages with a word of the question are relevant."""
    draw = random.Random(0)
    rows = []
    for number in range(count):
        words = [f"w{draw.randrange(100)}" for _ in range(5)]
        question, right = " ".join(words), " ".join([*words[:3], f"w{draw.randrange(100, 200)}"])
        wrong = " ".join(f"w{draw.randrange(100, 200)}" for _ in range(draw.randrange(3, 70)))
        name = f"set{number % 2}"
        origin = {"set": name, "id": str(number), "document": f"{name}:{number}", "licence": "CC0-1.0"}
        pairs = {
            "evaluator": [
                {"passage": right, "label": 1},
                *({"passage": f"{wrong} w{n}", "label": 0} for n in range(3)),
            ],
            "support": [
                {"claim": question, "passage": right, "label": "fully"},
                {"claim": question, "passage": f"{words[0]} {wrong}", "label": "partially"},
                {"claim": question, "passage": wrong, "label": "none"},
            ],
            "utility": [{"answer": " ".join([right] * n), "label": n} for n in range(1, 6)],
            "retrieve": [{"label": "yes"}, {"question": wrong, "label": "no"}],
        }
        pairs["reranker"] = [
            {**row, "first_stage": draw.random() + 0.3 * row["label"], "teacher": 3.0 * row["label"]}
            for row in pairs["evaluator"]
        ]
        rows += [{"question": question, **row, "origin": origin} for row in pairs[role]]
    return rows


def built_of(role: Any, folder: Path, rows: list[dict[str, Any]] | None = None) -> Built:
    files: dict[Part, Path] = {part: folder / "rows" / f"{part}.jsonl" for part in PARTS}
    chosen = made_rows(role) if rows is None else rows
    counts = {
        part: write_rows(path, [row for row in chosen if part_of(row["origin"]["document"]) == part])
        for part, path in files.items()
    }
    return Built(files, counts, ())


def few(base: Path, **given: Any) -> TrainOptions:
    settings: dict[str, Any] = {"max_steps": 4, "batch_size": 8, "max_tokens": 48, "rank": 4, "evaluations": 2}
    return TrainOptions(base=f"st:{base}", precision="float32", device="cpu", **{**settings, **given})


def train(role: Any, out: Path, options: TrainOptions, rows: list[dict[str, Any]] | None = None) -> Outcome:
    """The recipe, and the manifest as the run writes it."""
    outcome = recipe_of(role).train(built_of(role, out, rows), out, options, no_tell)
    manifest = Manifest(
        role=role,
        name=out.name,
        base=base_of(options.base)[1],
        method=options.method,
        files={name: file_hash(out / name) for name in outcome.files},
        labels=outcome.labels,
        max_tokens=options.max_tokens,
        calibration=Calibration(scale=outcome.scale, shift=outcome.shift),
        thresholds=outcome.thresholds,
        metrics=outcome.metrics,
        settings=outcome.settings,
    )
    (out / MANIFEST).write_text(manifest.model_dump_json())
    return outcome


def loaded(role: Any, out: Path) -> Any:
    return load_pair_classifier(f"{role}:{out}", role, device="cpu", dtype="float32")


@pytest.mark.parametrize("role", ROLES)
def test_a_recipe_gives_an_artifact_whose_probabilities_were_measured(base: Path, tmp_path: Path, role: Any) -> None:
    recipe = recipe_of(role)
    outcome = train(role, tmp_path / "out", few(base))
    critic = loaded(role, tmp_path / "out")
    test = read_examples(built_of(role, tmp_path / "again"), recipe.TASK, "test")
    found = critic.probabilities(test.pairs)
    again = recipe.measure(test, critic.logits(test.pairs) if role == "reranker" else found)
    assert {name: outcome.metrics[name] for name in again} == again
    assert outcome.metrics["ece"] == pytest.approx(expected_calibration_error(found, test.targets), abs=1e-4)
    assert outcome.settings["steps"] == 4
    assert outcome.curves
    assert outcome.labels == recipe.TASK.labels
    json.dumps([outcome.metrics, outcome.settings, outcome.thresholds, outcome.curves], allow_nan=False)
    assert json.loads((tmp_path / "out" / "adapter_config.json").read_text())["base_model_name_or_path"] == f"st:{base}"


def test_thresholds_and_actions_of_the_evaluator_are_those_of_its_probabilities(base: Path, tmp_path: Path) -> None:
    outcome = train("evaluator", tmp_path / "out", few(base))
    lower, upper = outcome.thresholds["lower"], outcome.thresholds["upper"]
    assert lower <= upper
    test = read_examples(built_of("evaluator", tmp_path / "again"), recipe_of("evaluator").TASK, "test")  # type: ignore[attr-defined]
    scores = loaded("evaluator", tmp_path / "out").probabilities(test.pairs)[:, 0]
    questions: dict[str, list[tuple[float, bool]]] = {}
    for key, score, target in zip(test.questions, scores, test.targets, strict=True):
        questions.setdefault(str(key), []).append((float(score), bool(target)))
    assert outcome.metrics["actions"] == measure_thresholds(questions, lower, upper).report()


@pytest.mark.parametrize("method", ["full", "freeze", "prefix", "prompt", "ia3", "bottleneck"])
def test_every_method_trains_and_loads(base: Path, tmp_path: Path, method: Any) -> None:
    outcome = train("evaluator", tmp_path / "out", few(base, method=method, max_tokens=40, max_steps=2))
    test = read_examples(built_of("evaluator", tmp_path / "again"), recipe_of("evaluator").TASK, "test")  # type: ignore[attr-defined]
    found = loaded("evaluator", tmp_path / "out").probabilities(test.pairs)
    assert auroc(found[:, 0], test.targets) == outcome.metrics["auroc"]


def test_training_learns(base: Path, tmp_path: Path) -> None:
    rows = made_rows("evaluator", 120)
    options = few(base, max_steps=120, method="full", learning_rate=3e-3, batch_size=16)
    assert train("evaluator", tmp_path / "out", options, rows).metrics["auroc"] > 0.9


def test_one_seed_one_result_another_seed_another(base: Path, tmp_path: Path) -> None:
    def weights(name: str, seed: int) -> str:
        train("support", tmp_path / name, few(base, seed=seed, max_steps=2, evaluations=1))
        return file_hash(tmp_path / name / "adapter_model.safetensors")

    first = weights("a", 1)
    assert first == weights("b", 1)
    assert first != weights("c", 2)


@pytest.mark.parametrize(
    "given", [{"loss": "lambda"}, {"loss": "listnet"}, {"teacher": "column:teacher"}], ids=lambda each: str(each)
)
def test_other_losses_of_the_reranker(base: Path, tmp_path: Path, given: dict[str, Any]) -> None:
    outcome = train("reranker", tmp_path / "out", few(base, **given))
    assert outcome.settings["loss"] == given.get("loss", "margin")
    assert 0 <= outcome.metrics["ndcg@10"] <= 1


def test_a_reranker_teaches_another(base: Path, tmp_path: Path) -> None:
    train("reranker", tmp_path / "teacher", few(base))
    found = train("reranker", tmp_path / "out", few(base, teacher=f"reranker:{tmp_path / 'teacher'}"))
    assert found.settings["loss"] == "margin"


def test_the_mixture_is_the_one_that_reranking_uses(base: Path, tmp_path: Path) -> None:
    from llama_index.core.schema import NodeWithScore, TextNode

    from ragloom.models.reranker import load_reranker

    outcome = train("reranker", tmp_path / "out", few(base))
    mixture = outcome.settings["mixture"]
    assert mixture["weight_model"] + mixture["weight_first"] == pytest.approx(1)
    reranker = load_reranker(f"reranker:{tmp_path / 'out'}", device="cpu", dtype="float32")
    test = read_examples(built_of("reranker", tmp_path / "again"), recipe_of("reranker").TASK, "test")  # type: ignore[attr-defined]
    gained: dict[Any, dict[str, float]] = {}
    for question in dict.fromkeys(test.questions):
        rows = [row for row, key in zip(test.rows, test.questions, strict=True) if key == question]
        nodes = [
            NodeWithScore(node=TextNode(text=row["passage"], id_=str(at)), score=row["first_stage"])
            for at, row in enumerate(rows)
        ]
        order = [int(item.node.node_id) for item in reranker.postprocess_nodes(nodes, query_str=rows[0]["question"])]
        gained[question] = {
            "gain": 1 / math.log2(2 + next(at for at, row in enumerate(order) if rows[row]["label"] == 1))
        }
    assert np.mean([each["gain"] for each in gained.values()]) == pytest.approx(
        outcome.metrics["ndcg@10_mixed"], abs=1e-4
    )


def test_training_that_was_cut_off_goes_on(base: Path, tmp_path: Path) -> None:
    whole = train("evaluator", tmp_path / "whole", few(base, max_steps=6, evaluations=3))

    class Cut(Exception):
        pass

    def cut(text: str, done: int, total: int | None) -> None:
        if done == 5:
            raise Cut

    out = tmp_path / "cut"
    options = few(base, max_steps=6, evaluations=3)
    with pytest.raises(Cut):
        recipe_of("evaluator").train(built_of("evaluator", out), out, options, cut)
    assert sorted(path.name for path in (out / "checkpoints").glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-4"]
    outcome = train("evaluator", out, options)
    assert outcome.settings["steps"] == 6
    assert outcome.metrics["auroc"] == pytest.approx(whole.metrics["auroc"], abs=1e-3)


def one_class(role: str) -> list[dict[str, Any]]:
    return [row for row in made_rows(role) if row["label"] in (0, "none", 1 if role == "utility" else 0, "no")]


@pytest.mark.parametrize("role", ROLES)
def test_one_class_is_refused_before_training(base: Path, tmp_path: Path, role: Any) -> None:
    with pytest.raises(UsageError, match="have the label"):
        train(role, tmp_path / "out", few(base), one_class(role))
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_other_things_that_cannot_be_trained_are_named(base: Path, tmp_path: Path) -> None:
    rows = [row for row in made_rows("evaluator") if part_of(row["origin"]["document"]) == "train"]
    with pytest.raises(UsageError, match="the dev part has no rows"):
        train("evaluator", tmp_path / "a", few(base), rows)
    with pytest.raises(UsageError, match="reads 64 tokens, not 80"):
        train("evaluator", tmp_path / "b", few(base, max_tokens=80))
    with pytest.raises(UsageError, match="unknown loss 'lambada'"):
        train("reranker", tmp_path / "c", few(base, loss="lambada"))
    with pytest.raises(UsageError, match="unknown teacher 'nobody'"):
        train("reranker", tmp_path / "d", few(base, teacher="nobody"))
    with pytest.raises(UsageError, match="has no number 'score'"):
        train("reranker", tmp_path / "e", few(base, teacher="column:score"))
    with pytest.raises(UsageError, match="teacher 'column:teacher' does not apply to evaluator"):
        train("evaluator", tmp_path / "g", few(base, teacher="column:teacher"))
    with pytest.raises(UsageError, match="there is no base model"):
        train("evaluator", tmp_path / "f", few(tmp_path / "nowhere"))


@pytest.mark.parametrize("role", ROLES)
def test_a_file_of_rows_is_data(base: Path, tmp_path: Path, role: Any) -> None:
    rows = [{name: value for name, value in row.items() if name != "first_stage"} for row in made_rows(role)]
    assert all(set(COLUMNS[role]) <= row.keys() for row in rows)
    write_rows(tmp_path / "mine.jsonl", rows)
    recipe = recipe_of(role)
    built = recipe.build([tmp_path / "mine.jsonl"], tmp_path / "out", few(base), no_tell)
    assert all(built.counts[part] for part in PARTS)
    outcome = recipe.train(built, tmp_path / "out", few(base, max_steps=1), no_tell)
    assert outcome.metrics["rows"] == built.counts["test"]


# Calibration


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


def test_actions() -> None:
    assert action_of([0.5, 0.5], 0.5, 0.5) == "ambiguous"
    assert action_of([0.4, 0.1], 0.5, 0.6) == "incorrect"
    assert action_of([0.1, 0.7], 0.5, 0.6) == "correct"


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
