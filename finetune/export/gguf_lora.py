"""Trained chat models as files for llama.cpp: a LoRA adapter beside its base, or both merged into one GGUF.

    llama-server -m SmolLM2-135M-Instruct.Q4_1.gguf --lora drafter.lora.gguf

ragloom itself converts on first use (`drafter:PATH`); these files are for llama.cpp, Ollama and others.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from ...errors import UsageError
from ...models.adapter_gguf import GgufDtype, write_lora, write_merged
from ...models.artifacts import Artifact
from ...models.gguf import Value, read_header

__all__ = ("export_lora", "merge_and_export")

_ARCHITECTURES = {"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}


def export_lora(adapter: Path, base: Path, out: Path, *, dtype: Literal["f32", "f16"] = "f16") -> Path:
    """Write a folder of PEFT's as a llama.cpp LoRA adapter for `base`: its GGUF file, or its transformers folder.

    Raises `UsageError` for a base of an unknown architecture or an existing `out`, `ArtifactError` for an adapter that
    llama.cpp has no form for (added tokens, DoRA, weights trained whole): use `merge_and_export` for those.
    """
    header = read_header(base) if base.is_file() else _header(base)
    with _new(out) as draft:
        write_lora(adapter, header, draft, dtype=dtype)
    return out


def merge_and_export(artifact: Artifact, out: Path, *, dtype: GgufDtype = "f16") -> Path:
    """Write base and adapter of an artifact as one GGUF; the artifact's base must be a GGUF file (or bundled).

    `f32` is exact; `f16` and `q8_0` round the weights to 11 and 8 bits. Raises as `export_lora` does.
    """
    with _new(out) as draft:
        write_merged(artifact, draft, dtype=dtype)
    return out


@contextmanager
def _new(out: Path) -> Iterator[Path]:
    """A file beside `out` that takes its name when it is whole."""
    if out.exists():
        raise UsageError(f"{str(out)!r} exists already", hint="name another file, or remove it")
    if not out.parent.is_dir():
        raise UsageError(f"there is no folder {str(out.parent)!r}")
    draft = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        yield draft
        draft.replace(out)
    finally:
        draft.unlink(missing_ok=True)


def _header(folder: Path) -> dict[str, Value]:
    """What a GGUF header would say, from `config.json`."""
    path = folder / "config.json"
    if not path.is_file():
        raise UsageError(f"{str(folder)!r} is neither a GGUF file nor a folder with a config.json")
    config = json.loads(path.read_text(encoding="utf-8"))
    kind = str(config.get("model_type"))
    if kind not in _ARCHITECTURES:
        raise UsageError(f"{str(folder)!r} is a model of type {kind!r}", hint=f"known are {', '.join(_ARCHITECTURES)}")
    name = _ARCHITECTURES[kind]
    heads = int(config["num_attention_heads"])
    return {
        "general.architecture": name,
        f"{name}.block_count": int(config["num_hidden_layers"]),
        f"{name}.attention.head_count": heads,
        f"{name}.attention.head_count_kv": int(config.get("num_key_value_heads") or heads),
    }
