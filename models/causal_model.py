"""Causal language models in transformers: folders of their weights, and models loaded from them with their adapters.

A GGUF model, `bundled:smollm2` among them, is dequantised once into a folder of float32 weights in ragloom's cache: the
numbers that llama.cpp computes with, so that what is trained or scored on them fits the file that llama.cpp runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ArtifactError, MissingExtraError, ModelError, RagloomError, UsageError
from .artifacts import base_of, open_artifact
from .gguf import read_header
from .registry import bundled_model
from .trunk import Dtype, resolve_device, resolve_dtype
from .weights import Progress, cache_folder

if TYPE_CHECKING:
    import torch

__all__ = ("CAUSAL_ROLES", "CausalModel", "causal_folder", "load_causal_model", "open_causal_model")

CAUSAL_ROLES: tuple[Literal["drafter", "reflective"], ...] = ("drafter", "reflective")
"""Trained roles whose artifact is a causal language model."""

_VERSION = 1  # of the conversion: raise it when the folder's content changes

_loaded: dict[tuple[str, str, str], CausalModel] = {}
_loaded_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class CausalModel:
    """A loaded model and its tokenizer; hold `lock` for a forward pass."""

    model: Any
    tokenizer: Any
    device: str
    name: str
    lock: threading.Lock = field(default_factory=threading.Lock)


def causal_folder(spec: str, progress: Progress | None = None) -> Path:
    """The transformers folder (config, weights, tokenizer) of a causal model.

    `hf:PATH` is that folder; `bundled:NAME` and `gguf:PATH` are dequantised to float32 on first use (four bytes a
    parameter of disk) and kept in the cache under the hash of the file. Raises `UsageError` for a model that is no chat
    model or no local one, `MissingExtraError` without the `gguf` library, `ModelError` for a file that transformers
    cannot read.
    """
    provider, _, name = spec.strip().partition(":")
    if provider not in ("bundled", "gguf", "hf") or not name:
        raise UsageError(
            f"{spec!r} is no local causal model",
            hint="use bundled:smollm2, gguf:PATH or hf:PATH (a transformers folder)",
        )
    if provider == "bundled" and bundled_model(name).role != "chat":
        raise UsageError(f"{spec!r} is an {bundled_model(name).role}, no causal model", hint="use bundled:smollm2")
    if provider == "hf":
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file():
            raise UsageError(f"{spec!r} is no folder of a transformers model", hint="it has no config.json")
        return folder
    if provider == "gguf":
        read_header(Path(name).expanduser())  # says what is wrong with a bad file
    file, base = base_of(spec, progress=progress)
    target = cache_folder("bases") / f"{base.sha256[:16]}-{_VERSION}"
    if (target / "config.json").is_file():
        return target
    from filelock import FileLock

    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / f".{target.name}.lock"):
            if not (target / "config.json").is_file():
                staging = target.parent / f".{target.name}.partial"
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir()
                _dequantise(file, staging)
                os.replace(staging, target)  # whole or not at all
    except OSError as error:
        raise ModelError(
            f"cannot keep the weights of {spec} in {str(target.parent)!r}: {error.strerror or error}",
            hint="free some space there or name another folder in RAGLOOM_CACHE",
        ) from error
    return target


def load_causal_model(
    spec: str, *, device: str | None = None, dtype: Dtype = "float32", progress: Progress | None = None
) -> CausalModel:
    """As `open_causal_model`, loaded once per process and shared."""
    place = resolve_device(device)
    folder, adapter, identity = _locate(spec, progress)
    key = (identity, place, str(resolve_dtype(dtype, place)))
    with _loaded_lock:
        if key not in _loaded:
            _loaded[key] = _load(folder, adapter, spec, place, resolve_dtype(dtype, place))
        return _loaded[key]


def open_causal_model(
    spec: str, *, device: str | None = None, dtype: Dtype = "float32", progress: Progress | None = None
) -> CausalModel:
    """The model that `spec` names, for the caller alone: `bundled:smollm2`, `gguf:PATH`, `hf:PATH`, `drafter:PATH` ...

    Errors as in `causal_folder` and `open_artifact`; `ArtifactError` for an adapter that does not fit its base.
    """
    place = resolve_device(device)
    folder, adapter, _ = _locate(spec, progress)
    return _load(folder, adapter, spec, place, resolve_dtype(dtype, place))


def _locate(spec: str, progress: Progress | None) -> tuple[Path, Path | None, str]:
    """Folder of the weights, folder of the adapter, and what tells this model from another."""
    provider, _, _ = spec.strip().partition(":")
    for role in CAUSAL_ROLES:
        if provider == role:
            artifact = open_artifact(spec, role)
            artifact.base_path(progress)  # refuses another base than the one it was trained on
            if (artifact.folder / "adapter_config.json").is_file():
                return causal_folder(artifact.manifest.base.spec, progress), artifact.folder, artifact.fingerprint
            return artifact.folder, None, artifact.fingerprint
    folder = causal_folder(spec, progress)
    return folder, None, str(folder.resolve())


def _load(folder: Path, adapter: Path | None, name: str, device: str, dtype: torch.dtype) -> CausalModel:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    words = adapter if adapter is not None and (adapter / "tokenizer.json").is_file() else folder
    given: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}  # else it would ask on the terminal
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(str(words), **given)
        model: Any = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=dtype, **given)
        if adapter is not None:
            model = _with_adapter(model, tokenizer, adapter)
    except RagloomError:
        raise
    except Exception as error:  # safetensors, tokenizers, PEFT and transformers each raise their own for a damaged file
        reason = " ".join(str(error).split())[:300]
        failure = ModelError if adapter is None else ArtifactError
        raise failure(f"cannot load {name!r}: {type(error).__name__}: {reason}") from error
    if not tokenizer.is_fast:
        raise UsageError(f"{name!r} has no fast tokenizer", hint="the folder needs tokenizer.json")
    return CausalModel(model.to(device).eval().requires_grad_(False), tokenizer, device, name)


def _with_adapter(model: Any, tokenizer: Any, adapter: Path) -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("this adapter", "finetune") from error
    from .bottleneck import register_bottleneck

    register_bottleneck()
    if len(tokenizer) > model.get_input_embeddings().num_embeddings:  # tokens were added in training
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    return peft.PeftModel.from_pretrained(model, str(adapter))


def _dequantise(file: Path, folder: Path) -> None:
    """Write `file` as a transformers folder: float32 weights, tokenizer, chat template."""
    try:
        import gguf
    except ImportError as error:
        raise MissingExtraError("reading a GGUF model in transformers", "finetune") from error
    import torch
    import transformers
    from safetensors.torch import save_file

    transformers.utils.logging.disable_progress_bar()
    where, name = str(file.parent), file.name
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # its progress bar has no switch
            tokenizer = transformers.AutoTokenizer.from_pretrained(where, gguf_file=name, local_files_only=True)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                where, gguf_file=name, dtype=torch.float32, local_files_only=True
            )
        field_ = gguf.GGUFReader(str(file)).get_field("tokenizer.ggml.pre")
    except (OSError, ValueError, RuntimeError, KeyError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"transformers cannot read {str(file)!r}: {type(error).__name__}: {reason}") from error
    _repair_tokenizer(tokenizer, str(field_.contents()) if field_ is not None else "")
    tokenizer.save_pretrained(str(folder))
    weights = model.state_dict()
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    save_file(
        {key: value.contiguous() for key, value in weights.items()}, str(folder / "model.safetensors"), {"format": "pt"}
    )
    model.generation_config.save_pretrained(str(folder))
    config = {key: value for key, value in model.config.to_dict().items() if key != "quantization_config"}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _repair_tokenizer(tokenizer: Any, pre: str) -> None:
    """SmolLM cuts texts at every digit before it cuts words, which transformers' conversion leaves out.

    Without it two spaces before a number come out as other tokens than the model was trained on.
    """
    if pre != "smollm":
        return
    from tokenizers import pre_tokenizers

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True, use_regex=True),
        ]
    )
