"""Embedders by name: `bundled:minilm`, `st:PATH_OR_ID` (alias `hf:`), `embedder:PATH` (fine-tuned)."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError, WeightsError
from .artifacts import open_artifact
from .registry import bundled_model
from .specs import ModelSpec, parse_spec
from .weights import Progress, ensure_weights

if TYPE_CHECKING:
    from .sentence_embedding import SentenceTransformerEmbedding
    from .trunk import Dtype

__all__ = ("embedder_fingerprint", "load_embedder")


def load_embedder(
    spec: str = "bundled:minilm",
    *,
    device: str | None = None,
    dtype: Dtype = "auto",
    batch_tokens: int | None = None,
    progress: Progress | None = None,
) -> SentenceTransformerEmbedding:
    """The embedder that `spec` names, ready to use; weights of a bundled one are fetched on first use.

    `device` is torch's (`cpu`, `cuda:1`; default CUDA where there is one), `dtype` `auto` means bfloat16 where the
    hardware has it, `batch_tokens` bounds one forward pass. Raises `UnknownModelError` for an unknown name,
    `WeightsError` when the weights cannot be fetched, `ModelError` when they do not load.

        >>> load_embedder("bundled:minilm").dimension  # doctest: +SKIP
        384
    """
    parsed = parse_spec(spec, role="embedder")
    if batch_tokens is not None and batch_tokens < 1:
        raise UsageError(f"batch_tokens is {batch_tokens}", hint="use a positive number of tokens")
    folder, fingerprint, adapter_folder = _resolve(parsed, progress)

    from .lora import LoraAdapter
    from .sentence_embedding import SentenceTransformerEmbedding
    from .trunk import load_trunk

    trunk = load_trunk(folder, device=device, dtype=dtype)
    adapter = LoraAdapter(adapter_folder, device=trunk.device, dtype=trunk.dtype) if adapter_folder else None
    return SentenceTransformerEmbedding(
        trunk, spec=spec, fingerprint=fingerprint, batch_tokens=batch_tokens, adapter=adapter
    )


def embedder_fingerprint(spec: str, *, progress: Progress | None = None) -> str:
    """What `load_embedder(spec).fingerprint` will be, without loading the model (no torch is imported)."""
    return _resolve(parse_spec(spec, role="embedder"), progress)[1]


def _resolve(spec: ModelSpec, progress: Progress | None) -> tuple[Path, str, Path | None]:
    """The model's folder on disk, its fingerprint, and the folder of the adapter on it, if there is one."""
    if spec.provider == "embedder":
        artifact = open_artifact(str(spec), "embedder")
        if (artifact.folder / "modules.json").is_file():  # trained whole: a sentence-transformers folder of its own
            return artifact.folder, artifact.fingerprint, None
        return artifact.base_path(progress), artifact.fingerprint, artifact.folder
    if spec.provider == "bundled":
        model = bundled_model(spec.name)
        if model.role != "embedder":
            raise UsageError(f"{str(spec)!r} is a {model.role} model, not an embedder", hint="use bundled:minilm")
        return ensure_weights(spec.name, progress=progress), f"{spec}@{model.files[0].sha256[:16]}", None
    folder = Path(spec.name).expanduser()
    if folder.is_dir():
        return folder, f"st:{folder.resolve().name}@{_folder_stamp(folder)}", None
    if spec.name.startswith((".", "/", "~")) or spec.name.count("/") > 1:
        raise UsageError(f"there is no folder {spec.name!r}", hint="st: takes a folder or a hub id such as org/name")
    snapshot = _snapshot(spec.name)
    return snapshot, f"st:{spec.name}@{snapshot.name[:16]}", None


def _folder_stamp(folder: Path) -> str:
    """Names, sizes and modification times of a local model's files, hashed: cheap, and changes when the model does."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".safetensors", ".bin", ".txt", ".model"} and path.is_file():
            stat = path.stat()
            digest.update(f"{path.relative_to(folder)} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _snapshot(repository: str) -> Path:
    """A hub model's folder in the Hugging Face cache; its name is the commit, which is what a fingerprint needs."""
    import huggingface_hub

    unused = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf"]
    try:
        return Path(huggingface_hub.snapshot_download(repository, ignore_patterns=unused, etag_timeout=5))
    except Exception as error:  # the hub's client raises its own, httpx's and OS errors
        reason = next(iter(str(error).splitlines()), "")
        raise WeightsError(
            f"cannot fetch the embedder {repository!r} from the hub: {type(error).__name__}: {reason}",
            hint="check the id, or download the model's folder and name it as st:PATH",
        ) from error
