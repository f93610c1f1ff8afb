"""What a training tells: records that it cannot use, its settings, all that it was trained on; and new thresholds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pair_kit import made_rows
from tiny_bert import make_tiny_bert

from ragloom.errors import UsageError
from ragloom.finetune import finetune
from ragloom.finetune.data.rows import write_rows
from ragloom.models.artifacts import base_of, open_artifact
from ragloom.models.pair_classifier import load_pair_classifier

Cli = Callable[..., Any]
FAST: dict[str, Any] = {"device": "cpu", "precision": "float32", "batch_size": 8, "max_tokens": 48, "max_steps": 3}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("tiny") / "bert")


def test_what_is_left_out_is_named_with_file_and_line(base: Path, tmp_path: Path, cli: Cli) -> None:
    data = tmp_path / "mine.jsonl"
    write_rows(data, made_rows("retrieve", 80))
    lines = data.read_text().splitlines()
    data.write_text("\n".join([*lines[:4], '{"question": "w1"}', "{broken", *lines[4:]]) + "\n")
    options = [item for name, value in FAST.items() for item in (f"--{name.replace('_', '-')}", value)]
    done = cli("finetune", "retrieve", "--data", data, "--out", tmp_path / "o", "--base", f"st:{base}", *options)
    assert done.code == 0, done.err
    assert "mine.jsonl:5: column 'label' is missing: left out" in done.err
    assert "mine.jsonl:6: " in done.err
    card = (tmp_path / "o" / "README.md").read_text()
    assert "mine.jsonl:5: column 'label' is missing: left out" in card and str(tmp_path) not in card


def test_a_manifest_names_the_settings_of_its_role(base: Path, tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    write_rows(data, made_rows("reranker", 60))
    made = finetune("reranker", [data], tmp_path / "o", base=f"st:{base}", made=0.25, most_weight=0.5, **FAST)
    told = made.manifest.settings
    assert (told["made"], told["most_weight"], told["architecture"]) == (0.25, 0.5, "cross-encoder")


def test_what_is_replayed_is_named_and_hashed(base: Path, tmp_path: Path) -> None:
    data, other = tmp_path / "mine.jsonl", tmp_path / "other"
    rows = [{"query": f"w{n}", "positive": f"w{n} w{n + 1}", "negatives": [], "document": f"d{n}"} for n in range(120)]
    write_rows(data, rows)
    other.mkdir()
    corpus = [{"id": f"c{n}", "title": f"w{n}", "text": f"w{n} w{n + 7} w3"} for n in range(60)]
    (other / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (other / "README.md").write_text("# Other\n\nLicence: CC BY-NC 4.0\n")
    given = {"base": f"st:{base}", "replay_data": (other,), **FAST}
    made = finetune("embedder", [data], tmp_path / "o", **given)
    [source] = [each for each in made.manifest.data if "replayed" in each.name]
    assert (source.name, source.licence) == ("other (replayed)", "CC BY-NC 4.0") and source.rows > 10
    assert "CC BY-NC 4.0" in made.manifest.licence
    (other / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus[:50]))
    with pytest.raises(UsageError, match="holds another training: named"):
        finetune("embedder", [data], tmp_path / "o", **given)


def test_thresholds_are_fitted_anew_by_the_command(base: Path, tmp_path: Path, cli: Cli) -> None:
    data, out = tmp_path / "mine.jsonl", tmp_path / "o"
    write_rows(data, made_rows("evaluator", 120))
    before = finetune("evaluator", [data], out, base=f"st:{base}", **FAST)
    other = tmp_path / "others.jsonl"
    rows = [row for row in made_rows("evaluator", 200) if int(row["origin"]["id"]) >= 60]
    write_rows(other, rows)
    done = cli("finetune", "fit-thresholds", f"evaluator:{out}", "--data", other, "--write", "--json")
    assert done.code == 0, done.err
    after = open_artifact(f"evaluator:{out}", "evaluator").manifest
    assert after.thresholds == {"lower": done.json["lower"], "upper": done.json["upper"]}
    assert after.metrics["thresholds"]["dev"]["questions"] == done.json["dev"]["questions"] > 0
    assert sum(done.json["test"]["mix"].values()) == pytest.approx(1, abs=1e-3)
    assert after.files == before.manifest.files


def test_a_calibration_is_fitted_anew_and_no_action_changes(base: Path, tmp_path: Path, cli: Cli) -> None:
    data, out = tmp_path / "mine.jsonl", tmp_path / "o"
    write_rows(data, made_rows("evaluator", 120))
    finetune("evaluator", [data], out, base=f"st:{base}", **FAST)
    other = tmp_path / "others.jsonl"
    write_rows(other, [row for row in made_rows("evaluator", 200) if int(row["origin"]["id"]) >= 60])
    pairs = [(row["question"], row["passage"]) for row in made_rows("evaluator", 200)]

    def scored() -> tuple[list[float], dict[str, float], Any]:
        critic = load_pair_classifier(f"evaluator:{out}", "evaluator")
        told = critic.artifact.manifest
        return critic.probabilities(pairs)[:, 0].tolist(), dict(told.thresholds), told.calibration

    scores, thresholds, old = scored()
    done = cli("finetune", "calibrate", f"evaluator:{out}", "--data", other, "--write", "--json")
    assert done.code == 0, done.err
    assert done.json["dev"]["rows"] > 0 and 0 <= done.json["test"]["after"] <= 1
    after, moved, new = scored()
    assert (new.scale, list(new.shift)) == (done.json["scale"], done.json["shift"]) and new != old
    card = (out / "README.md").read_text()
    assert f"`{new.scale:.4g} * logits" in card and f"{old.scale:.4g} * logits" not in card
    assert card.index("## What it is worth") < card.index("### Calibration") < card.index("## Data")
    for name in ("lower", "upper"):
        assert [score >= thresholds[name] for score in scores] == [score >= moved[name] for score in after]
    assert cli("finetune", "calibrate", "support:bundled", "--data", other).code == 2


def test_the_weights_of_a_base_may_lie_in_several_files(base: Path, tmp_path: Path) -> None:
    from transformers import AutoModel

    folder = tmp_path / "sharded"
    AutoModel.from_pretrained(str(base)).save_pretrained(str(folder), max_shard_size="20KB")
    assert not (folder / "model.safetensors").exists()
    first = base_of(f"hf:{folder}")[1]
    assert first == base_of(f"hf:{folder}")[1]
    shard = sorted(folder.glob("model-*.safetensors"))[1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert base_of(f"hf:{folder}")[1].sha256 != first.sha256
    shard.unlink()
    with pytest.raises(UsageError, match=f"{shard.name}.* is missing"):
        base_of(f"hf:{folder}")
