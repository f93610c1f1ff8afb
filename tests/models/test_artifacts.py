"""Artifacts load as their manifest says, from their own folder, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from artifact_kit import make_artifact, make_base, with_manifest
from safetensors.torch import save_file

from ragloom.errors import ArtifactError
from ragloom.models.adapter_gguf import write_lora
from ragloom.models.artifacts import file_hash, loadable_files, open_artifact


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    return make_artifact(folder / "support", make_base(folder / "bert"), "support")


@pytest.mark.parametrize(
    "name", ["../outside.json", "/etc/hostname", "a/../../outside.json", "..\\outside.json", ".", ""]
)
def test_no_file_outside_of_the_folder_is_read(artifact: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    files = open_artifact(f"support:{artifact}", "support").manifest.files
    folder = with_manifest(tmp_path / "copy", artifact, files={**files, name: file_hash(outside)})
    with pytest.raises(ArtifactError, match="is no file within the folder"):
        open_artifact(f"support:{folder}", "support")


@pytest.mark.parametrize("name", ["tokenizer.json", "adapter_model.bin", "model.safetensors", "config.json"])
def test_what_would_be_loaded_is_named_or_refused(artifact: Path, tmp_path: Path, name: str) -> None:
    folder = with_manifest(tmp_path / "copy", artifact)
    for harmless in ("notes.txt", "README.md", "mine.json", "run.json"):
        (folder / harmless).write_text("{}")
    assert open_artifact(f"support:{folder}", "support").manifest.name == "copy"
    (folder / name).write_text("{}")
    with pytest.raises(ArtifactError, match=f"holds {name}, which its manifest.json does not name"):
        open_artifact(f"support:{folder}", "support")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = file_hash(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert set(open_artifact(f"support:{folder}", "support").manifest.files) == set(loadable_files(folder))


@pytest.mark.parametrize("extra", ["lora_embedding_A", "lora_magnitude_vector.weight", "bias"])
def test_what_llama_cpp_has_no_form_for_is_not_left_out_in_silence(tmp_path: Path, extra: str) -> None:
    module = "base_model.model.model.layers.0.self_attn.v_proj"
    weights = {f"{module}.lora_A.weight": torch.ones(2, 8), f"{module}.lora_B.weight": torch.ones(8, 2)}
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    base = {"general.architecture": "llama", "llama.block_count": 1, "llama.attention.head_count": 2}
    save_file(weights, tmp_path / "adapter_model.safetensors")
    write_lora(tmp_path, base, tmp_path / "plain.gguf")
    save_file({**weights, f"{module}.{extra}": torch.ones(2)}, tmp_path / "adapter_model.safetensors")
    with pytest.raises(ArtifactError, match=f"v_proj.{extra}, which llama.cpp's adapters have no form for"):
        write_lora(tmp_path, base, tmp_path / "other.gguf")
