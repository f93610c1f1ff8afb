"""An artifact's files: its manifest, its model card, its weights in half their size."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ArtifactError, UsageError
from ..evals.files import write_whole
from ..models.artifacts import MANIFEST, Artifact, Base, Calibration, DataSource, Manifest, file_hash, open_artifact
from ..models.specs import TrainedRole
from .arguments import CHECKPOINTS
from .options import TrainOptions
from .recipe import Built, Outcome
from .warm_start import open_start

__all__ = (
    "check_writable",
    "describe_licences",
    "shown_command",
    "shown_name",
    "store_half",
    "update_manifest",
    "write_artifact",
    "write_manifest",
)

WEIGHTS = "adapter_model.safetensors"
_NOT_TOLD = {"base", "method", "max_tokens", "device", "general"}
"""Options that a manifest has elsewhere, or that are of the machine."""
_LIBRARIES = ("torch", "transformers", "peft", "sentence-transformers", "trl", "accelerate", "datasets", "ragloom")


def write_artifact(
    role: TrainedRole,
    out: Path,
    outcome: Outcome,
    built: Built,
    options: TrainOptions,
    *,
    base: Base,
    command: str = "",
    keep_checkpoints: bool = False,
) -> Artifact:
    """Makes an artifact of what a training left in `out`: card, plots, and last the manifest, which makes it loadable.

    Checkpoints go, unless they are to be kept; the rows stay. Raises `ArtifactError` where a file that the outcome
    names is missing.
    """
    missing = [name for name in outcome.files if not (out / name).is_file()]
    if missing or not outcome.files:
        raise ArtifactError(f"the training of {role} left no {missing[0] if missing else 'files'} in {str(out)!r}")
    _name_base(out / "adapter_config.json", base)
    start = open_start(options)
    began = (*outcome.data, *(start.manifest.data if start else ()))
    sources = (*built.sources, *(each for each in began if each.name not in {known.name for known in built.sources}))
    manifest = Manifest(
        role=role,
        name=out.resolve().name,
        base=base,
        method=options.method,
        files={name: file_hash(out / name) for name in sorted(outcome.files)},
        labels=outcome.labels,
        inputs=outcome.inputs,
        max_tokens=options.max_tokens,
        calibration=Calibration(scale=outcome.scale, shift=outcome.shift),
        thresholds=outcome.thresholds,
        metrics=_plain(outcome.metrics),
        settings=_plain(
            {
                **_told(options),
                **({"start": start.fingerprint} if start else {}),
                "rows": dict(built.counts),
                **outcome.settings,
            }
        ),
        data=sources,
        licence=describe_licences(sources),
        command=shown_command(command),
        versions=_versions(),
    )
    from .card import write_card

    write_card(out, manifest, outcome, built, base=shown_name(base.spec))
    write_manifest(out, manifest)
    if not keep_checkpoints:
        shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return open_artifact(f"{role}:{out}", role)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """`manifest.json`, whole or not at all."""
    write_whole(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n")


def update_manifest(artifact: Artifact, update: dict[str, Any]) -> None:
    """Writes fields of an artifact's manifest, and its card. Raises `UsageError` where its folder is not writable."""
    from .card import refresh_card

    manifest = artifact.manifest.model_copy(update=update)
    try:
        write_manifest(artifact.folder, manifest)
        refresh_card(artifact.folder, manifest)
    except OSError as error:
        raise UsageError(f"cannot write to {str(artifact.folder)!r}: {error.strerror or error}") from error


def store_half(folder: Path) -> bool:
    """Stores an adapter's float32 weights in float16, which halves the file; loading casts them up again.

    False, and nothing changed, where there is nothing to gain or a weight does not fit into float16 (beyond 65504, or
    so small that a whole tensor would become zeros).
    """
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    path = folder / WEIGHTS
    with safe_open(str(path), framework="pt") as stored:
        metadata = stored.metadata() or {"format": "pt"}
        weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (no mapping)
    wide = {name: value for name, value in weights.items() if value.dtype == torch.float32}
    half = {name: value.half().contiguous() for name, value in wide.items()}
    lost = any(
        not torch.isfinite(half[name]).all() or bool(wide[name].any()) != bool(half[name].any()) for name in wide
    )
    if not wide or lost:
        return False
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        save_file({**weights, **half}, str(draft), metadata=metadata)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return True


def shown_command(command: str) -> str:
    """A command with the names of files instead of their paths: where they lie is nobody's business.

    >>> shown_command("ragloom finetune support --data /home/me/wice --out out/support --base gguf:/m/a.gguf")
    'ragloom finetune support --data wice --out support --base gguf:a.gguf'
    """
    try:
        words = shlex.split(command)
    except ValueError:
        words = command.split()
    return shlex.join(shown_name(word) for word in words)


def describe_licences(sources: Iterable[DataSource]) -> str:
    """The licences of the data, each once."""
    return "; ".join(sorted({source.licence or "not stated" for source in sources}))


def check_writable(out: Path) -> None:
    """Makes the out folder; raises `UsageError` where that, or writing there, is impossible."""
    probe = out / f".probe.{os.getpid()}"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"0")
        probe.unlink()
    except OSError as error:
        raise UsageError(
            f"cannot write to {str(out)!r}: {error.strerror or error}", hint="name another folder with --out"
        ) from error


def _name_base(config: Path, base: Base) -> None:
    """PEFT writes down where the base lay; what counts is in the manifest, and paths of this machine are nobody's."""
    if config.is_file():
        told = json.loads(config.read_text(encoding="utf-8"))
        told["base_model_name_or_path"] = shown_name(base.spec)
        write_whole(config, json.dumps(told, indent=2, sort_keys=True) + "\n")


def shown_name(word: str) -> str:
    """One word of a command, or a model's name, with a file's name instead of its path."""
    head, separator, path = "", "", word
    for mark in ("=", ":"):
        if mark in word and os.sep not in word.partition(mark)[0]:
            head, separator, path = word.partition(mark)
            break
    if os.sep not in path or (head and not Path(path).expanduser().exists() and not Path(path).is_absolute()):
        return word  # `hf:owner/name` is a name, not a path
    if head == "" and path.startswith("-"):
        return word
    return f"{head}{separator}{Path(path).name or Path(path).parent.name}"


def _told(options: TrainOptions) -> dict[str, Any]:
    """The options, with names of files instead of their paths."""

    def shown(value: Any) -> Any:
        if isinstance(value, tuple):
            return [shown(each) for each in value]
        return shown_name(str(value)) if isinstance(value, str | Path) else value

    names = [each.name for each in dataclasses.fields(options) if each.name not in _NOT_TOLD]
    return {name: shown(value) for name in names if (value := getattr(options, name)) is not None}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _plain(value: Any) -> Any:
    """Numbers of NumPy and tuples as JSON has them; a number that is none (nan, inf) as null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if hasattr(value, "tolist"):  # NumPy's arrays and numbers
        return _plain(value.tolist())
    if isinstance(value, Sequence):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return str(value)
