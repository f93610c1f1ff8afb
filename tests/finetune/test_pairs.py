"""Recipes of pair classifiers, a few steps each on a tiny BERT."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_kit import built_of, few, made_rows, train
from tiny_bert import make_tiny_bert

from ragloom.errors import UsageError
from ragloom.finetune.calibration import expected_calibration_error
from ragloom.finetune.data.parts import PARTS, part_of
from ragloom.finetune.data.rows import COLUMNS, write_rows
from ragloom.finetune.options import no_tell
from ragloom.finetune.pair_metrics import (
    auroc,
)
from ragloom.finetune.pair_rows import read_examples
from ragloom.finetune.recipe import recipe_of
from ragloom.finetune.thresholds import measure_thresholds
from ragloom.models.artifacts import file_hash
from ragloom.models.pair_classifier import load_pair_classifier

ROLES = ("evaluator", "support", "utility", "retrieve", "reranker")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


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
