"""Writing a file as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ("write_whole",)


def write_whole(path: Path, text: str | Iterable[str]) -> None:
    """Writes the whole file, and its folder; if that fails or the process dies on the way, what was there stays.

    Half a surrogate pair cannot be encoded: a question mark stands for it. Raises `OSError`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with draft.open("w", encoding="utf-8", errors="replace", newline="\n") as stream:
            stream.writelines([text] if isinstance(text, str) else text)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
