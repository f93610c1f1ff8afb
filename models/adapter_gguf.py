"""Trained chat models for llama.cpp: a PEFT LoRA as a GGUF adapter, anything else merged into a whole GGUF.

A LoRA stays beside its base file: the adapter is a few megabytes and the base keeps its 4 bits. What llama.cpp has no
adapter for (added tokens, IA3, DoRA, whole models) is merged by peft and written as one file. The rows of Llama's
queries and keys stand in another order in GGUF than in transformers: https://github.com/ggml-org/llama.cpp,
convert_hf_to_gguf.py and convert_lora_to_gguf.py.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..errors import ArtifactError, MissingExtraError, ModelError, UsageError
from .artifacts import Artifact
from .gguf import Value, read_header
from .weights import Progress, cache_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ("GgufDtype", "read_peft_config", "served_files", "to_gguf_rows", "write_lora", "write_merged")

GgufDtype = Literal["f32", "f16", "q8_0"]

_ARCHITECTURES = ("llama", "qwen2", "qwen3")  # whose tensors are transformers' own, but for the row order of llama
_VERSION = 1  # of the conversion: raise it when the files' content changes
_MERGEABLE = ("ADALORA", "BOFT", "IA3", "LOHA", "LOKR", "LORA", "OFT", "TRAINABLE_TOKENS", "VERA")  # into the weights


def served_files(artifact: Artifact, progress: Progress | None = None) -> tuple[Path, Path | None]:
    """What llama.cpp loads for a drafter or a reflective model: a model file, and a LoRA adapter file or None.

    Converted on first use and kept in ragloom's cache under the artifact's fingerprint. Raises `UsageError` for an
    artifact that llama.cpp cannot run, saying what can; `ArtifactError` for one that does not fit its base.
    """
    base = artifact.base_path(progress)
    if not base.is_file():
        raise UsageError(
            f"{str(artifact.folder)!r} was trained on {artifact.manifest.base.spec}, a transformers folder, which "
            "llama.cpp cannot run",
            hint="train on bundled:smollm2 or gguf:PATH, or serve it with vLLM and name it openai:NAME",
        )
    config = read_peft_config(artifact.folder)
    key = f"{artifact.fingerprint.rpartition('@')[2]}-{_VERSION}"
    if config is not None and _is_lora(config):
        file = cache_folder("adapters") / f"{key}.lora.gguf"
        return base, _made(file, lambda out: write_lora(artifact.folder, read_header(base), out))
    _check_mergeable(artifact, config)
    file = cache_folder("adapters") / f"{key}.gguf"
    return _made(file, lambda out: write_merged(artifact, out, dtype="q8_0", progress=progress)), None


def read_peft_config(folder: Path) -> dict[str, Any] | None:
    """`adapter_config.json` of an artifact; None where a whole model was saved. Raises `ArtifactError`."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        return None
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{str(path)!r} is damaged: {error}") from error
    return config


def write_lora(folder: Path, base: dict[str, Value], out: Path, *, dtype: Literal["f32", "f16"] = "f16") -> None:
    """Write the PEFT LoRA in `folder` as a llama.cpp adapter; `base` is the header of the GGUF that it will run on.

    Raises `UsageError` for another base architecture, `ArtifactError` for an adapter that is not plain LoRA or changes
    what the base does not have.
    """
    gguf = _gguf()
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    config = read_peft_config(folder)
    if config is None or not _is_lora(config):
        raise ArtifactError(f"{str(folder)!r} is no plain LoRA adapter", hint="merge it into a whole GGUF instead")
    try:
        weights = load_file(str(folder / "adapter_model.safetensors"))
    except (OSError, SafetensorError) as error:
        raise ArtifactError(f"the adapter in {str(folder)!r} does not load: {error}") from error
    named = _names(base)
    alpha = float(config["lora_alpha"])
    writer = gguf.GGUFWriter(path=None, arch=str(base["general.architecture"]))
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    kind = np.float16 if dtype == "f16" else np.float32
    other_form = sorted(key for key in weights if not key.endswith((".lora_A.weight", ".lora_B.weight")))
    if other_form or not weights:
        what = f"holds {other_form[0]}, which llama.cpp's adapters have no form for" if other_form else "is empty"
        raise ArtifactError(f"the adapter in {str(folder)!r} {what}", hint="merge it into a whole GGUF instead")
    for key in sorted(key for key in weights if key.endswith(".lora_A.weight")):
        module = key.removesuffix(".lora_A.weight").removeprefix("base_model.model.")
        other = weights.get(key.replace(".lora_A.", ".lora_B."))
        name = named(module)
        if other is None or name is None:
            what = (
                f"changes {module}, which its base does not have" if name is None else f"has no B matrix for {module}"
            )
            raise ArtifactError(f"the adapter in {str(folder)!r} {what}")
        down, up = weights[key].float().numpy(), other.float().numpy()
        # llama.cpp scales every pair by alpha / rows of A: a pair that PEFT scales otherwise carries the rest in B.
        up = up * (_scale(config, module) * len(down) / alpha)
        writer.add_tensor(f"{name}.weight.lora_a", down.astype(kind))
        writer.add_tensor(f"{name}.weight.lora_b", to_gguf_rows(up, f"{name}.weight", base).astype(kind))
    _write(writer, out)


def write_merged(artifact: Artifact, out: Path, *, dtype: GgufDtype = "f16", progress: Progress | None = None) -> None:
    """Write base and adapter as one GGUF: tensors of the base replaced by trained ones, tokens added, metadata kept.

    Vectors (norms, biases) stay float32, as llama.cpp wants them. Raises `UsageError` for a base that is no GGUF or of
    an architecture that is not known, `MissingExtraError` without peft or gguf.
    """
    if dtype not in get_args(GgufDtype):
        raise UsageError(f"unknown type {dtype!r}", hint=f"use one of {', '.join(get_args(GgufDtype))}")
    gguf = _gguf()
    from .causal_model import open_causal_model

    _check_mergeable(artifact, read_peft_config(artifact.folder))
    base = artifact.base_path(progress)
    if not base.is_file():
        raise UsageError(f"{artifact.manifest.base.spec} is no GGUF file", hint="only a GGUF base can be rewritten")
    header = read_header(base)
    named = _names(header)
    trained = open_causal_model(f"{artifact.manifest.role}:{artifact.folder}", device="cpu", progress=progress)
    model = trained.model.merge_and_unload() if hasattr(trained.model, "merge_and_unload") else trained.model
    weights: dict[str, NDArray[np.float32]] = {}
    for key, value in model.state_dict().items():
        module, _, suffix = key.rpartition(".")
        name = named(module)
        if name is not None:
            weights[f"{name}.{suffix}"] = to_gguf_rows(value.float().numpy(), f"{name}.{suffix}", header)
    reader = gguf.GGUFReader(str(base))
    # Rewritten in the base's own tensors only: of a tied model, lm_head is the embedding again.
    chosen = [(tensor, weights.get(tensor.name)) for tensor in reader.tensors]
    if not any(value is not None for _, value in chosen):
        raise ArtifactError(f"{str(artifact.folder)!r} has no tensor of its base {artifact.manifest.base.spec}")
    writer = gguf.GGUFWriter(path=None, arch=str(header["general.architecture"]))
    rows = next((len(value) for tensor, value in chosen if tensor.name == "token_embd.weight" and value is not None), 0)
    _copy_metadata(gguf, reader, writer, _new_tokens(gguf, reader, trained.tokenizer, rows), dtype)
    for tensor, value in chosen:
        data = gguf.quants.dequantize(tensor.data, tensor.tensor_type) if value is None else value
        packed, kind = _packed(gguf, data, dtype)
        writer.add_tensor(tensor.name, packed, raw_dtype=kind)
    _write(writer, out)


def to_gguf_rows(rows: NDArray[np.float32], name: str, base: dict[str, Value]) -> NDArray[np.float32]:
    """Rows of a tensor in GGUF's order: in Llama models the two halves of a query or key head are interleaved."""
    architecture = base["general.architecture"]
    part = name.rsplit(".", 2)[-2]
    if architecture != "llama" or part not in ("attn_q", "attn_k"):
        return rows
    heads = int(base[f"{architecture}.attention.head_count"])
    if part == "attn_k":
        heads = int(base.get(f"{architecture}.attention.head_count_kv", heads))
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _check_mergeable(artifact: Artifact, config: dict[str, Any] | None) -> None:
    if config is not None and config.get("peft_type") not in _MERGEABLE:
        raise UsageError(
            f"{str(artifact.folder)!r} was trained with {config.get('peft_type')}, which llama.cpp cannot run",
            hint="train it with --method lora; load_scorer and transformers do run it",
        )


def _is_lora(config: dict[str, Any]) -> bool:
    """Whether llama.cpp's adapters hold all of it."""
    extras = ("use_dora", "modules_to_save", "trainable_token_indices", "fan_in_fan_out", "target_parameters")
    plain = config.get("peft_type") == "LORA" and config.get("bias", "none") == "none" and not config.get("lora_bias")
    return plain and not any(config.get(name) for name in extras)


def _scale(config: dict[str, Any], module: str) -> float:
    """What PEFT multiplies `B A x` with in one module."""
    ranks, alphas = config.get("rank_pattern") or {}, config.get("alpha_pattern") or {}
    rank, alpha = config["r"], config["lora_alpha"]
    if ranks or alphas:
        try:
            from peft.utils.other import get_pattern_key
        except ImportError as error:
            raise MissingExtraError("an adapter with ranks of its own for some layers", "finetune") from error
        rank = ranks.get(get_pattern_key(list(ranks), module), rank)
        alpha = alphas.get(get_pattern_key(list(alphas), module), alpha)
    return float(alpha) / (float(rank) ** 0.5 if config.get("use_rslora") else float(rank))


def _names(base: dict[str, Value]) -> Callable[[str], str | None]:
    """Transformers' name of a module to GGUF's name of its tensor, None where there is none."""
    architecture = str(base.get("general.architecture"))
    if architecture not in _ARCHITECTURES:
        raise UsageError(
            f"the base model is of the architecture {architecture!r}", hint=f"known are {', '.join(_ARCHITECTURES)}"
        )
    gguf = _gguf()
    kind = next(kind for kind, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(kind, int(base[f"{architecture}.block_count"]))
    found: Callable[[str], str | None] = names.get_name
    return found


def _packed(gguf: Any, data: NDArray[np.float32], dtype: GgufDtype) -> tuple[NDArray[Any], Any]:
    import numpy as np

    kinds = gguf.GGMLQuantizationType
    if data.ndim < 2 or dtype == "f32":
        return data.astype(np.float32), kinds.F32
    if dtype == "q8_0" and data.shape[-1] % 32 == 0:
        return gguf.quants.quantize(data.astype(np.float32), kinds.Q8_0), kinds.Q8_0
    return data.astype(np.float16), kinds.F16


def _new_tokens(gguf: Any, reader: Any, tokenizer: Any, rows: int) -> dict[str, list[Any]]:
    """The token list of the trained tokenizer, where it differs from the base's.

    An added token is user-defined, not control: llama.cpp then shows it in its output, which is what it is for.
    """
    field = reader.get_field("tokenizer.ggml.tokens")
    types = reader.get_field("tokenizer.ggml.token_type")
    if field is None or types is None:
        return {}
    tokens, kinds = list(field.contents()), list(types.contents())
    tokens += [f"[UNUSED_{i}]" for i in range(len(tokens), rows)]
    kinds += [int(gguf.TokenType.UNUSED)] * (len(tokens) - len(kinds))
    for text, i in tokenizer.get_added_vocab().items():
        if i < len(tokens) and tokens[i] != text:
            tokens[i], kinds[i] = text, int(gguf.TokenType.USER_DEFINED)
    return {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": kinds}


def _copy_metadata(gguf: Any, reader: Any, writer: Any, changed: dict[str, list[Any]], dtype: GgufDtype) -> None:
    types = gguf.LlamaFileType
    file_type = {"f32": types.ALL_F32, "f16": types.MOSTLY_F16, "q8_0": types.MOSTLY_Q8_0}[dtype]
    architecture = str(reader.get_field("general.architecture").contents())
    sizes = {"general.file_type": int(file_type)}
    if changed:
        sizes[f"{architecture}.vocab_size"] = len(changed["tokenizer.ggml.tokens"])
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue  # the writer's own
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = changed.get(field.name, sizes.get(field.name, field.contents()))
        writer.add_key_value(field.name, value, kind, sub_type=inner)


def _write(writer: Any, out: Path) -> None:
    try:
        writer.write_header_to_file(path=out)
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except OSError as error:
        raise ModelError(f"cannot write {str(out)!r}: {error.strerror or error}") from error
    finally:
        writer.close()


def _made(file: Path, make: Callable[[Path], None]) -> Path:
    """`file`, made if need be, whole or not at all; two processes do not make it twice."""
    if file.is_file():
        return file
    from filelock import FileLock

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.with_name(f".{file.name}.lock")):
            if not file.is_file():
                partial = file.with_name(f".{file.name}.partial")
                make(partial)
                os.replace(partial, file)
    except OSError as error:
        raise ModelError(
            f"cannot keep {file.name} in {str(file.parent)!r}: {error.strerror or error}",
            hint="free some space there or name another folder in RAGLOOM_CACHE",
        ) from error
    return file


def _gguf() -> Any:
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("converting a trained model for llama.cpp", "finetune") from error
    return gguf
