"""Trainings that go on from another artifact's adapter, on a tiny BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pair_kit import made_rows
from tiny_bert import make_tiny_bert

from ragloom.errors import ArtifactError, UsageError
from ragloom.finetune.data.rows import write_rows
from ragloom.finetune.run import finetune, resolve_options
from ragloom.models.artifacts import Artifact

FEW: dict[str, Any] = {"batch_size": 8, "max_tokens": 48, "rank": 4, "evaluations": 1, "precision": "float32"}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


@pytest.fixture(scope="module")
def train(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("data")

    def trained(role: Any, out: Path, **given: Any) -> Artifact:
        data = folder / f"{role} rows.jsonl"
        rows = [{name: value for name, value in row.items() if name != "first_stage"} for row in made_rows(role)]
        named = [{**row, "origin": {**row["origin"], "set": f"{role} set"}} for row in rows]
        write_rows(data, named)
        settings = {"max_steps": 2, **FEW, "base": f"st:{base}", "device": "cpu", **given}
        return finetune(role, [data], out, **settings)

    return trained


@pytest.fixture(scope="module")
def first(train: Any, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return train("evaluator", tmp_path_factory.mktemp("first") / "evaluator", max_steps=20, learning_rate=1e-2)


def weights(artifact: Artifact) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(str(artifact.folder / "adapter_model.safetensors"))


def far(one: dict[str, Any], other: dict[str, Any]) -> float:
    """How far the weights of two adapters are apart, heads aside, as a share of the first."""
    names = [name for name in one if ".lora_" in name]
    assert names and set(names) == {name for name in other if ".lora_" in name}
    change = sum(float((one[name].float() - other[name].float()).pow(2).sum()) for name in names)
    return change / sum(float(one[name].float().pow(2).sum()) for name in names)


def test_it_begins_where_the_other_one_ended(train: Any, first: Artifact, tmp_path: Path) -> None:
    spec = f"evaluator:{first.folder}"
    still = train("support", tmp_path / "still", start=spec, max_steps=1, learning_rate=1e-9)
    anew = train("support", tmp_path / "anew", max_steps=1, learning_rate=1e-9)
    assert far(weights(first), weights(still)) < 1e-6 < far(weights(first), weights(anew))
    moved = train("support", tmp_path / "moved", start=spec, max_steps=20, learning_rate=1e-2)
    assert far(weights(first), weights(moved)) > 1e-3


def test_the_manifest_says_where_it_began_and_on_what_data(train: Any, first: Artifact, tmp_path: Path) -> None:
    manifest = train("support", tmp_path / "out", start=f"evaluator:{first.folder}", max_steps=1).manifest
    assert manifest.settings["start"] == first.fingerprint
    assert {source.name for source in manifest.data} >= {source.name for source in first.manifest.data}
    assert str(tmp_path) not in manifest.model_dump_json()


def test_what_cannot_be_gone_on_from_is_refused(train: Any, first: Artifact, tmp_path: Path) -> None:
    spec = f"evaluator:{first.folder}"
    for number, (given, error, said) in enumerate(
        (
            ({"start": "evaluator"}, UsageError, "start is 'evaluator'"),
            ({"start": f"evaluator:{tmp_path / 'nowhere'}"}, UsageError, "the start does not load"),
            ({"start": f"support:{first.folder}"}, UsageError, "was trained as evaluator"),
            ({"start": spec, "method": "full"}, UsageError, "has no start"),
            ({"start": spec, "rank": 2}, ArtifactError, "another shape"),
            ({"start": spec, "base": f"st:{make_tiny_bert(tmp_path / 'other', seed=1)}"}, UsageError, "the start"),
        )
    ):
        with pytest.raises(error, match=said):
            train("support", tmp_path / str(number), **given)
    with pytest.raises(UsageError, match="late interaction has no start"):
        train("reranker", tmp_path / "late", start=spec, architecture="late-interaction")
    with pytest.raises(UsageError, match="unknown training option 'start'"):
        resolve_options("embedder", {"start": spec})
