"""Which files an ingestion covers: given files, and everything under given folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ("FoundFiles", "find_files", "is_under")


@dataclass(slots=True)
class FoundFiles:
    """Files to read, each once, in a stable order; and given paths that are neither file nor folder."""

    files: list[Path] = field(default_factory=list)
    """Absolute paths."""
    missing: list[tuple[str, str]] = field(default_factory=list)
    """(path, reason) of what was given or found and cannot even be listed."""


def find_files(paths: Iterable[Path], *, excluded: Path | None = None) -> FoundFiles:
    """Lists files. Hidden files and folders are left out unless given by name; so is `excluded` (the knowledge base
    itself may lie under the folder). Links to folders are followed once, so a loop ends.
    """
    found = FoundFiles()
    seen: set[Path] = set()
    for given in paths:
        path = Path(os.path.abspath(given.expanduser()))
        if path.is_dir():
            for file in _walk(path, found, excluded and Path(os.path.abspath(excluded)), set()):
                if file not in seen:
                    seen.add(file)
                    found.files.append(file)
        elif os.path.lexists(path):
            if path not in seen:
                seen.add(path)
                found.files.append(path)
        else:
            found.missing.append((str(given), "no such file or folder"))
    return found


def _walk(folder: Path, found: FoundFiles, excluded: Path | None, visited: set[Path]) -> Iterator[Path]:
    try:
        real = folder.resolve()
        if real in visited or folder == excluded:
            return
        visited.add(real)
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except (OSError, RuntimeError) as error:
        reason = os.strerror(error.errno).lower() if isinstance(error, OSError) and error.errno else str(error)
        found.missing.append((str(folder), reason))
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        try:
            is_folder = entry.is_dir()
        except OSError as error:
            found.missing.append((entry.path, os.strerror(error.errno or 0).lower()))
            continue
        if is_folder:
            yield from _walk(Path(entry.path), found, excluded, visited)
        else:
            yield Path(entry.path)


def is_under(path: str, roots: Iterable[Path]) -> bool:
    """Whether an absolute path is one of `roots` or lies below one."""
    return any(Path(path).is_relative_to(os.path.abspath(root.expanduser())) for root in roots)
