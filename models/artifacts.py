"""Artifacts: what `ragloom finetune` makes, one folder each, loaded by role.

    manifest.json               role, base model and its hash, hashes of the files, labels, calibration, metrics, data
    adapter_config.json         PEFT's; or a whole model's config.json
    adapter_model.safetensors
    README.md, *.png            the model card and its plots; not needed to load

`support:bundled` names the artifact that ships with ragloom, `support:PATH` any other. What loads is what the manifest
describes, or nothing: a wrong role, a changed file or another base model is refused.

    >>> open_artifact("support:bundled", "support").manifest.labels  # doctest: +SKIP
    ('fully', 'partially', 'none')
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import ArtifactError, UnknownModelError, UsageError
from .registry import BUNDLED, bundled_model
from .specs import TrainedRole, suggest
from .weights import Progress, ensure_weights

__all__ = (
    "MANIFEST",
    "Artifact",
    "Base",
    "Calibration",
    "DataSource",
    "Manifest",
    "base_of",
    "bundled_artifacts",
    "file_hash",
    "loadable_files",
    "open_artifact",
)

MANIFEST = "manifest.json"
FORMAT: Literal[1] = 1

_LOADABLE = frozenset(
    {
        *("adapter_config.json", "adapter_model.bin", "adapter_model.safetensors", "head.safetensors"),
        "prefilter.safetensors",
        *("config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json"),
        *("pytorch_model.bin", "pytorch_model.bin.index.json", "modules.json", "config_sentence_transformers.json"),
        *("sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
        *("special_tokens_map.json", "added_tokens.json", "merges.txt", "vocab.json", "vocab.txt", "tokenizer.model"),
    }
)
"""Files that our loaders and the libraries below them read where they are there."""

_Method = Literal["lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full", "linear"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Base(_Strict):
    """The model that was trained further: its name and the SHA-256 of its weights."""

    spec: str
    sha256: str


class Calibration(_Strict):
    """Probabilities are softmax (one label: the sigmoid) of `scale * logits + shift`, fitted on held-out documents."""

    scale: float = Field(default=1.0, gt=0)
    shift: tuple[float, ...] = ()
    """One number per logit; empty: zeros."""


class DataSource(_Strict):
    """What it was trained on."""

    name: str
    licence: str
    rows: int
    sha256: str


class Manifest(_Strict):
    """`manifest.json`."""

    format: Literal[1] = FORMAT
    role: TrainedRole
    name: str
    base: Base
    method: _Method
    files: dict[str, str]
    """Name to SHA-256 of every file that is needed to load it."""
    labels: tuple[str, ...] = ()
    """Names of the classes, in the order of the logits; one name where the logit is of yes against no."""
    inputs: str = ""
    """What stands before and after the separator, such as `question [SEP] passage`; of a chat model its prompt."""
    max_tokens: int = Field(default=256, ge=8)
    calibration: Calibration = Calibration()
    thresholds: dict[str, float] = {}
    metrics: dict[str, Any] = {}
    """Measured on documents that were not trained on."""
    settings: dict[str, Any] = {}
    """Of the training: steps, learning rate, seed ..."""
    data: tuple[DataSource, ...] = ()
    licence: str = ""
    command: str = ""
    """What makes it anew."""
    versions: dict[str, str] = {}

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name or name == ".":
                raise ValueError(f"{name!r} is no file within the folder")
        return files


@dataclass(frozen=True, slots=True)
class Artifact:
    """A checked artifact: its folder and what its manifest says."""

    folder: Path
    manifest: Manifest

    @property
    def fingerprint(self) -> str:
        """Changes when the artifact or its base does."""
        told = self.manifest.model_dump(
            include={"base", "files", "calibration", "thresholds", "settings", "max_tokens"}
        )
        text = json.dumps(told, sort_keys=True)
        return f"{self.manifest.role}:{self.manifest.name}@{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def base_path(self, progress: Progress | None = None) -> Path:
        """Where the base model is: a file (GGUF) or a folder; a bundled one is fetched on first use.

        Raises `ArtifactError` where it is not the model that the artifact was trained on.
        """
        base = self.manifest.base
        path, found = base_of(base.spec, progress=progress)
        if found.sha256 != base.sha256:
            raise ArtifactError(
                f"{str(self.folder)!r} was trained on {base.spec} with SHA-256 {base.sha256[:16]}…, "
                f"but that model has {found.sha256[:16]}… now",
                hint="train it anew on this base, or bring back the old one",
            )
        return path


def open_artifact(spec: str, role: TrainedRole) -> Artifact:
    """The artifact that `spec` names, `ROLE:bundled` or `ROLE:PATH`, checked to its last file.

    Raises `UnknownModelError` for a name of another form and a role that ships with no artifact, `ArtifactError` for a
    folder that is no artifact, is of another role, or is damaged.
    """
    provider, _, name = spec.strip().partition(":")
    if provider != role or not name:
        near = suggest(provider, get_args(TrainedRole))
        raise UnknownModelError(f"{spec!r} names no {role}", hint=f"{near}use {role}:bundled or {role}:PATH")
    if name != "bundled":
        return _read(Path(name).expanduser(), role)
    shipped = bundled_artifacts()
    if role not in shipped:
        known = f"shipped: {', '.join(f'{item}:bundled' for item in sorted(shipped))}; " if shipped else ""
        raise UnknownModelError(
            f"ragloom ships no {role}", hint=f"{known}train one with 'ragloom finetune {role}' and name it {role}:PATH"
        )
    return _read(shipped[role], role)


def bundled_artifacts() -> dict[str, Path]:
    """Role to folder of the artifacts that ship with ragloom."""
    root = Path(str(files(__package__).joinpath("adapters")))
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def base_of(spec: str, *, progress: Progress | None = None) -> tuple[Path, Base]:
    """A base model by `bundled:NAME`, `st:PATH`, `hf:PATH` or `gguf:PATH`: where it is, and its identity."""
    provider, _, name = spec.partition(":")
    if provider == "bundled":
        return ensure_weights(name, progress=progress), Base(spec=spec, sha256=bundled_model(name).files[0].sha256)
    path = Path(name).expanduser()
    weights = path if path.is_file() else path / "model.safetensors"
    if not weights.is_file() and (index := path / "model.safetensors.index.json").is_file():
        return path, Base(spec=spec, sha256=_sharded_hash(index))
    if not weights.is_file():
        raise UsageError(
            f"there is no base model {spec!r}",
            hint=f"use {', '.join(item.spec for item in BUNDLED.values())}, or st:PATH, hf:PATH, gguf:PATH of a local "
            "model; a folder needs model.safetensors",
        )
    return path, Base(spec=spec, sha256=file_hash(weights))


def loadable_files(folder: Path) -> list[str]:
    """Names of the files of a folder that loading it as an artifact would read, named by a manifest or not."""
    return sorted(name for name in _LOADABLE if (folder / name).is_file())


def file_hash(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sharded_hash(index: Path) -> str:
    """SHA-256 over the index of a large model's weights and the files that it names, in the order of their names."""
    try:
        names = sorted({*json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()})
        hashes = [file_hash(index), *(file_hash(index.with_name(name)) for name in names)]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{str(index)!r} is damaged: {error}", hint="fetch the base model anew") from error
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename!r} is missing, which {index.name} names") from error
    return hashlib.sha256("\0".join(hashes).encode()).hexdigest()


def _read(folder: Path, role: TrainedRole) -> Artifact:
    path = folder / MANIFEST
    if not path.is_file():
        what = f"{str(folder)!r} has no {MANIFEST}" if folder.is_dir() else f"there is no folder {str(folder)!r}"
        raise ArtifactError(what, hint=f"an artifact is the --out folder of 'ragloom finetune {role}'")
    try:
        manifest = Manifest.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise ArtifactError(f"{str(path)!r} is damaged: {where}: {first['msg']}") from error
    if manifest.role != role:
        raise ArtifactError(
            f"{str(folder)!r} was trained as {manifest.role}, not as {role}", hint=f"use it as {manifest.role}:{folder}"
        )
    for name, wanted in manifest.files.items():
        if not (folder / name).is_file():
            raise ArtifactError(f"{str(folder)!r} is not whole: {name} is missing")
        if file_hash(folder / name) != wanted:
            raise ArtifactError(f"{str(folder / name)!r} is damaged: its SHA-256 is not the one in {MANIFEST}")
    for name in loadable_files(folder):
        if name not in manifest.files:
            raise ArtifactError(
                f"{str(folder)!r} holds {name}, which its {MANIFEST} does not name",
                hint="it is left from something else, and would be loaded: move it away",
            )
    return Artifact(folder, manifest)
