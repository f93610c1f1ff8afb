"""Small artifacts for tests: PEFT's own LoRA files, random weights, on a tiny BERT; and a manifest that fits them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from tiny_bert import make_tiny_bert

from ragloom.models.artifacts import MANIFEST, Base, Manifest, file_hash

LABELS: dict[str, tuple[str, ...]] = {
    "evaluator": ("relevant",),
    "reranker": ("relevant",),
    "support": ("fully", "partially", "none"),
    "utility": ("1", "2", "3", "4", "5"),
    "retrieve": ("no", "yes"),
}
FILES = ("adapter_config.json", "adapter_model.safetensors")
TARGETS = ["query", "key", "value", "attention.output.dense", "intermediate.dense"]


def make_base(folder: Path, *, words: str = "", seed: int = 0) -> Path:
    """A tiny BERT that knows the words of a text beside w0 to w199 (they take the places of the last ones)."""
    make_tiny_bert(folder, seed=seed)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    vocabulary = tokenizer["model"]["vocab"]
    for number, word in enumerate(dict.fromkeys(words.lower().split())):
        vocabulary[word] = vocabulary.pop(f"w{199 - number}")
    path.write_text(json.dumps(tokenizer))
    return folder


def make_artifact(folder: Path, base: Path, role: str, *, seed: int = 0, **manifest: Any) -> Path:
    """An artifact of a pair classifier (or an embedder) with random weights; `manifest` adds to its manifest."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # a head that is newly initialised is what is wanted here
    labels = manifest.pop("labels", LABELS.get(role, ()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if labels:
            load = transformers.AutoModelForSequenceClassification.from_pretrained
            whole = load(str(base), num_labels=len(labels))
            given: dict[str, Any] = {"task_type": "SEQ_CLS", "modules_to_save": ["classifier", "pooler"]}
        else:
            whole = transformers.AutoModel.from_pretrained(str(base))
            given = {"task_type": "FEATURE_EXTRACTION"}
        model = get_peft_model(whole, LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS, **given))
        for _, value in model.named_parameters():
            if value.requires_grad:
                value.data += 0.2 * torch.randn_like(value)
        model.save_pretrained(str(folder), save_embedding_layers=False)
    write_manifest(folder, base, role, FILES, labels=labels, **manifest)
    return folder


def make_span_artifact(folder: Path, base: Path, *, seed: int = 0, **manifest: Any) -> Path:
    """An artifact of an extractive reader with random weights."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        whole = transformers.AutoModelForQuestionAnswering.from_pretrained(str(base))
        given: dict[str, Any] = {"modules_to_save": ["qa_outputs"]}
        model = get_peft_model(whole, LoraConfig(r=4, lora_alpha=16, target_modules=TARGETS, **given))
        for _, value in model.named_parameters():
            if value.requires_grad:
                value.data += 0.2 * torch.randn_like(value)
        model.save_pretrained(str(folder), save_embedding_layers=False)
    write_manifest(folder, base, "reader", FILES, **manifest)
    return folder


def with_manifest(folder: Path, artifact: Path, **changes: Any) -> Path:
    """A copy of an artifact whose manifest says something else: made at once, without peft."""
    shutil.copytree(artifact, folder)
    manifest = json.loads((folder / MANIFEST).read_text()) | {"name": folder.name} | changes
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def write_manifest(folder: Path, base: Path, role: str, files: tuple[str, ...], **given: Any) -> None:
    """The manifest of what stands in `folder`."""
    manifest = Manifest(
        role=role,  # type: ignore[arg-type]
        name=given.pop("name", folder.name),
        base=Base(spec=f"st:{base}", sha256=file_hash(base / "model.safetensors")),
        method="lora",
        files={name: file_hash(folder / name) for name in files},
        max_tokens=given.pop("max_tokens", 48),
        **given,
    )
    (folder / MANIFEST).write_text(manifest.model_dump_json())
