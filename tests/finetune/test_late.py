"""The reranker's recipe by late interaction, on a tiny BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pair_kit as kit
import pytest
from tiny_bert import make_tiny_bert

from ragloom.errors import UsageError
from ragloom.finetune.pair_rows import read_examples
from ragloom.finetune.recipe import recipe_of
from ragloom.finetune.recipes.reranker import RerankerOptions
from ragloom.models import load_reranker


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


CPU: dict[str, Any] = {"device": "cpu", "dtype": "float32"}


def late(base: Path, **given: Any) -> RerankerOptions:
    settings = {"max_steps": 4, "batch_size": 8, "max_tokens": 48, "rank": 4, "evaluations": 2, "negatives": 1}
    common: dict[str, Any] = {"precision": "float32", "device": "cpu", "architecture": "late-interaction"}
    return RerankerOptions(base=f"st:{base}", **{**common, **settings, **given})


@pytest.mark.parametrize("method", ["lora", "full", "freeze"])
def test_what_was_measured_is_what_is_loaded(base: Path, tmp_path: Path, method: Any) -> None:
    outcome = kit.train("reranker", tmp_path / "out", late(base, method=method))
    assert outcome.settings["architecture"] == "late-interaction"
    assert outcome.settings["steps"] == 4
    assert outcome.curves
    recipe: Any = recipe_of("reranker")
    test = read_examples(kit.built_of("reranker", tmp_path / "again"), recipe.TASK, "test")
    reranker = load_reranker(f"reranker:{tmp_path / 'out'}", **CPU)
    scores = np.zeros((len(test.rows), 1))
    for question in dict.fromkeys(test.questions):
        rows = [at for at, key in enumerate(test.questions) if key == question]
        scores[rows, 0] = reranker.score(test.pairs[rows[0]][0], [test.pairs[at][1] for at in rows])
    again = recipe.measure(test, scores)
    assert {name: outcome.metrics[name] for name in again} == pytest.approx(again)


def test_it_learns(base: Path, tmp_path: Path) -> None:
    rows = kit.made_rows("reranker", 120)
    before = kit.train("reranker", tmp_path / "before", late(base, max_steps=1, learning_rate=1e-9), rows)
    after = kit.train(
        "reranker", tmp_path / "after", late(base, epochs=30.0, max_steps=60, learning_rate=1e-2, batch_size=16), rows
    )
    assert after.metrics["auroc"] > before.metrics["auroc"] + 0.05


def test_a_training_that_was_cut_off_goes_on(base: Path, tmp_path: Path) -> None:
    whole = kit.train("reranker", tmp_path / "whole", late(base, max_steps=6, evaluations=3))

    class Cut(Exception):
        pass

    def stop(text: str, done: int, total: int | None) -> None:
        if text.startswith("step 5"):
            raise Cut

    built = kit.built_of("reranker", tmp_path / "cut")
    options = late(base, max_steps=6, evaluations=3)
    with pytest.raises(Cut):
        recipe_of("reranker").train(built, tmp_path / "cut", options, stop)
    again = kit.train("reranker", tmp_path / "cut", options)
    assert again.metrics == whole.metrics


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "prefix"}, "late interaction is not trained with 'prefix'"),
        ({"loss": "lambda"}, "loss 'lambda' is of cross-encoders"),
        ({"teacher": "column:teacher"}, "is of cross-encoders"),
    ],
)
def test_what_late_interaction_has_not(base: Path, tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        kit.train("reranker", tmp_path / "out", late(base, **given))


@pytest.mark.parametrize(
    "given", [{"architecture": "bi"}, {"negatives": 9}, {"strengths": ()}, {"strengths": (0.0,)}, {"made": -1.0}]
)
def test_wrong_options(base: Path, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        late(base, **given)
