"""`kb.json`: what a knowledge base was made with."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import StoreError
from .chunkers import ChunkSettings

__all__ = ("FORMAT", "Manifest", "manifest_stamp", "read_manifest", "write_manifest")

FORMAT = 1
_NAME = "kb.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The fields of the file."""

    format: int
    embedder: str
    fingerprint: str
    """Of the embedder."""
    dimension: int
    table: str
    """In use; another one takes its place when the embedder changes."""
    chunk_strategy: str = "structure"
    chunk_size: int = 0
    chunk_overlap: int = 0
    chunk_context: bool = True
    requires_scope: bool = False

    @property
    def chunking(self) -> ChunkSettings:
        """How documents are cut."""
        return ChunkSettings(
            strategy=self.chunk_strategy,  # type: ignore[arg-type]  # checked by ChunkSettings
            size=self.chunk_size,
            overlap=self.chunk_overlap,
            context=self.chunk_context,
        )


def manifest_stamp(folder: Path) -> int | None:
    """When the manifest was last written (nanoseconds); None where there is none."""
    try:
        return (folder / _NAME).stat().st_mtime_ns
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(folder, error) from error


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a knowledge base; `StoreError` where it is damaged, or of another version."""
    try:
        values = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TypeError("it holds no JSON object")
        if values.get("format") != FORMAT:
            raise StoreError(
                f"the knowledge base at {str(folder)!r} has format {values.get('format')!r}, not {FORMAT}",
                hint="it was made by another version of ragloom: ingest into a new folder",
            )
        return Manifest(**values)
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(folder, error) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replaces the manifest: a reader sees the old one or the new one, whole."""
    path = folder / _NAME
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(asdict(manifest), stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _unreadable(folder: Path, error: Exception) -> StoreError:
    return StoreError(f"cannot read {str(folder / _NAME)!r}: {error}", hint="is it a knowledge base?")
