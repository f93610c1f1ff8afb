"""The router's recipe: both kinds of artifact, out-of-scope texts, baselines, silver labels."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragloom.errors import ArtifactError, UsageError
from ragloom.finetune import finetune
from ragloom.finetune.linear_baseline import figures, fit_scale, fit_threshold, majority, tfidf_svm
from ragloom.finetune.recipes.router import silver_labels
from ragloom.models import load_embedder
from ragloom.models.router import Router, load_router

_spec = importlib.util.spec_from_file_location("tiny_bert", Path(__file__).parents[1] / "tiny_bert.py")
assert _spec and _spec.loader
tiny_bert = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(tiny_bert)

FAST = {"batch_size": 8, "device": "cpu", "precision": "float32", "max_tokens": 16}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_bert.make_tiny_bert(tmp_path_factory.mktemp("base") / "tiny")


def write_texts(path: Path, *, classes: int = 3, each: int = 100, outside: int = 0) -> Path:
    """Texts whose class is told by their words, 8 for each class; those that are out of scope mix them."""
    dice = np.random.default_rng(0)
    rows = []
    for number in range(classes * each + outside):
        inside = number < classes * each
        owners = [number % classes] * 6 if inside else [*range(classes)] * 2
        words = " ".join(f"w{owner * 30 + dice.choice(8)}" for owner in owners)
        rows.append({"id": str(number), "text": words, "label": f"class{number % classes}" if inside else "oos"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_part(out: Path, part: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "rows" / f"{part}.jsonl").read_text().splitlines()]


def decided(router: Router, texts: list[str]) -> list[str]:
    return ["oos" if route.abstained else route.label for route in router.route(texts)]


@pytest.fixture(scope="module")
def linear(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("linear")
    data = write_texts(folder / "texts.jsonl", outside=60)
    finetune("router", [data], folder / "out", base=f"st:{base}", method="linear", **FAST)
    return folder / "out"


@pytest.fixture(scope="module")
def lora(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora")
    data = write_texts(folder / "texts.jsonl", outside=40)
    options = {**FAST, "max_steps": 4, "evaluations": 2, "rank": 4, "learning_rate": 5e-3}
    finetune("router", [data], folder / "out", base=f"st:{base}", method="lora", **options)
    return folder / "out"


@pytest.mark.parametrize("kind", ["linear", "lora"])
def test_loaded_router_decides_as_measured(kind: str, request: pytest.FixtureRequest) -> None:
    out: Path = request.getfixturevalue(kind)
    router = load_router(f"router:{out}", device="cpu", dtype="float32")
    rows = read_part(out, "test")
    told = figures([row["label"] for row in rows], decided(router, [row["text"] for row in rows]), outside="oos")
    measured = router.artifact.manifest.metrics["test"]
    assert told == measured
    assert measured["n"] == len(rows) > 20
    assert {"macro_f1", "accuracy", "out_of_scope_recall", "classes"} <= measured.keys()


def test_linear_router_learns_and_abstains(linear: Path) -> None:
    router = load_router(f"router:{linear}", device="cpu", dtype="float32")
    metrics = router.artifact.manifest.metrics
    assert metrics["test"]["in_scope_accuracy"] > metrics["baselines"]["majority"]["in_scope_accuracy"] + 0.3
    rows = [(row["text"], row["label"] == "oos") for row in read_part(linear, "test")]
    sure, unsure = (router.probabilities([text for text, out in rows if out == kind]).max(1) for kind in (False, True))
    assert unsure.mean() < sure.mean()
    assert 0.34 < router.threshold < 1
    assert set(metrics["baselines"]) == {"majority", "tfidf_svm", "linear"}
    assert metrics["baselines"]["linear"]["accuracy"] == metrics["test"]["accuracy"]


def test_linear_artifact_holds_numbers_alone(linear: Path) -> None:
    from safetensors.numpy import load_file

    weights = load_file(str(linear / "head.safetensors"))
    assert {name: value.shape for name, value in weights.items()} == {"weight": (3, 32), "bias": (3,)}
    router = load_router(f"router:{linear}", device="cpu", dtype="float32")
    assert set(router.artifact.manifest.files) == {"head.safetensors"}
    assert router.labels == ("class0", "class1", "class2")


def test_linear_router_shares_the_vector_of_a_question(linear: Path, base: Path) -> None:
    embedder = load_embedder(f"st:{base}", device="cpu", dtype="float32")
    router = load_router(f"router:{linear}", embedder=embedder)
    alone = load_router(f"router:{linear}", device="cpu", dtype="float32")
    texts = ["w1 w2", "w31 w32", "w61"]
    assert np.abs(router.probabilities(texts) - alone.probabilities(texts)).max() < 1e-6
    assert router.probabilities(texts).sum(axis=1) == pytest.approx(1)
    assert router.route([]) == []
    assert list(embedder._queries) == texts


@pytest.mark.parametrize("size", [32, 64])
def test_head_of_another_embedder_is_refused(linear: Path, size: int) -> None:
    from ragloom.testing import HashEmbedding

    with pytest.raises(ArtifactError, match="was trained on vectors of st:"):
        load_router(f"router:{linear}", embedder=HashEmbedding(size=size))


def test_lora_router_equals_transformers_and_peft(lora: Path, base: Path) -> None:
    import peft
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    texts = ["w1 w2 w3", "w40", "w70 w71 w72 w73 w74"]
    model = AutoModelForSequenceClassification.from_pretrained(str(base), num_labels=3)
    model = peft.PeftModel.from_pretrained(model, str(lora)).eval()
    tokenizer = AutoTokenizer.from_pretrained(str(base))
    with torch.inference_mode():
        wanted = torch.cat([model(**tokenizer([[text, ""]], return_tensors="pt")).logits for text in texts])
    router = load_router(f"router:{lora}", device="cpu", dtype="float32")
    scale = router.artifact.manifest.calibration.scale
    assert np.abs(router.probabilities(texts) - torch.softmax(wanted * scale, dim=1).numpy()).max() < 1e-5


def test_no_text_is_in_two_parts(linear: Path) -> None:
    texts = {part: {row["text"] for row in read_part(linear, part)} for part in ("train", "dev", "test")}
    assert all(texts.values())
    assert not texts["train"] & texts["test"] and not texts["train"] & texts["dev"]


def test_one_class_only_is_refused(base: Path, tmp_path: Path) -> None:
    data = write_texts(tmp_path / "texts.jsonl", classes=1)
    with pytest.raises(UsageError, match=r"label|class"):
        finetune("router", [data], tmp_path / "out", base=f"st:{base}", method="linear", **FAST)


def test_killed_and_resumed_is_the_same(base: Path, tmp_path: Path) -> None:
    data = write_texts(tmp_path / "texts.jsonl", each=20)
    options = {**FAST, "method": "lora", "max_steps": 4, "evaluations": 4, "rank": 2, "learning_rate": 5e-3}

    class Killed(BaseException):
        pass

    def kill(text: str, done: int, total: int | None) -> None:
        if "left" in text and done >= 3:
            raise Killed

    finetune("router", [data], tmp_path / "whole", base=f"st:{base}", **options)
    with pytest.raises(Killed):
        finetune("router", [data], tmp_path / "cut", base=f"st:{base}", tell=kill, **options)
    assert list((tmp_path / "cut" / "checkpoints").glob("checkpoint-*"))
    finetune("router", [data], tmp_path / "cut", base=f"st:{base}", **options)
    left, right = (load_router(f"router:{tmp_path / name}", device="cpu", dtype="float32") for name in ("whole", "cut"))
    texts = ["w1 w2", "w31", "w61 w62"]
    assert np.abs(left.probabilities(texts) - right.probabilities(texts)).max() < 1e-4


def record(strategy: str, key: str, right: float, *, abstained: bool = False, **more: Any) -> dict[str, Any]:
    asked = {"set": "squad", "strategy": strategy, "id": key, "question": f"Question {key}?", "failed": None}
    read = {"answer": "w1", "answers": ["w1"], "documents": [], "citations": [], "answerable": True, "steps": []}
    return {**asked, **read, "abstained": abstained, "metrics": {"contains": right}, **more}


def test_silver_label_is_the_simplest_strategy_that_was_right() -> None:
    runs = {
        "closed-book": [
            record("a", "1", 1),
            record("a", "2", 0),
            record("a", "3", 0),
            record("a", "4", 1, abstained=True),
        ],
        "naive": [record("b", "1", 1), record("b", "2", 1), record("b", "3", 0), record("b", "4", 0)],
        "corrective": [record("c", str(n), 1 if n != 3 else 0) for n in range(1, 6)],
    }
    rows = {row["text"]: row["label"] for row in silver_labels(runs)}
    assert rows == {"Question 1?": "closed-book", "Question 2?": "naive", "Question 4?": "corrective"}
    with pytest.raises(UsageError, match="two strategies"):
        list(silver_labels({"naive": runs["naive"]}))


@pytest.mark.parametrize("runs", [1, 2])
def test_router_of_evaluation_runs(base: Path, tmp_path: Path, runs: int) -> None:
    """records.jsonl of `ragloom eval answers`, whichever order its strategies stand in: of one run, or one of each."""
    lines: list[dict[str, Any]] = []
    for number in range(80):
        easy = number % 2 == 0
        words = f"w{number % 30 + (0 if easy else 100)} w{number // 2 % 30 + (0 if easy else 100)} {number}"
        for name, calls in (("naive", 2), ("closed-book", 1)):
            right = 1.0 if name == "naive" or easy else 0.0
            lines.append(record(name, str(number), right, calls=calls, tokens_in=10) | {"question": words})
    lines.append(record("naive", "damaged", 1.0) | {"question": "What?", "metrics": None})
    folders = [tmp_path / f"run{number}" for number in range(runs)]
    for number, folder in enumerate(folders):
        folder.mkdir()
        own = [line for line in lines if runs == 1 or (line["strategy"] == "naive") == (number == 0)]
        (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in own))
    artifact = finetune("router", folders, tmp_path / "out", base=f"st:{base}", method="linear", **FAST)
    assert artifact.manifest.labels == ("closed-book", "naive")
    counts = [row["label"] for part in ("train", "dev", "test") for row in read_part(tmp_path / "out", part)]
    assert counts.count("closed-book") == counts.count("naive") == 40


def test_baselines() -> None:
    texts = ["red apple", "green apple", "fast car", "slow car"] * 3
    labels = ["fruit", "fruit", "traffic", "traffic"] * 3
    assert tfidf_svm(texts, labels, ["apple", "car"]) == ["fruit", "traffic"]
    assert majority(["b", "a", "b", "a", "c"]) == "a"
    told = figures(["a", "a", "b", "oos"], ["a", "b", "b", "oos"], outside="oos")
    assert told["accuracy"] == 0.75
    assert told["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3, abs=1e-4)
    assert told["in_scope_accuracy"] == pytest.approx(2 / 3, abs=1e-4)


@given(seed=st.integers(0, 10_000), sharpness=st.floats(0.2, 5))
@settings(max_examples=25, deadline=None)
def test_calibration_undoes_a_factor_on_the_logits(seed: int, sharpness: float) -> None:
    dice = np.random.default_rng(seed)
    logits = dice.normal(size=(400, 3)).astype(np.float32) * 2
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    classes = ("a", "b", "c")
    labels = [classes[dice.choice(3, p=row / row.sum())] for row in chances]
    found = fit_scale(logits * np.float32(sharpness), labels, classes)
    assert found * sharpness == pytest.approx(1, rel=0.35)


@given(cut=st.floats(0.4, 0.95))
@settings(max_examples=25, deadline=None)
def test_threshold_parts_what_can_be_parted(cut: float) -> None:
    inside = np.array([[top, 1 - top] for top in np.linspace(cut + 0.02, 0.99, 20)], dtype=np.float32)
    outside = np.array([[top, 1 - top] for top in np.linspace(0.34, cut - 0.02, 20)], dtype=np.float32)
    outside = np.where(outside.max(axis=1, keepdims=True) < cut, outside, cut - 0.02)
    found = fit_threshold(inside, ["a"] * 20, ("a", "b"), outside)
    assert outside.max() < found <= inside.max(axis=1).min()
