"""Writing what was chosen into a `ragloom.toml`: other settings, comments and order stay."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import MissingExtraError, UsageError
from ..files import write_whole

__all__ = ("TUNED", "read_settings", "write_settings")

TUNED = ("chunk_strategy", "chunk_size", "chunk_overlap", "mode", "alpha", "fusion", "top_k", "prompt")
"""The settings that tuning may write; every other one is none of its business."""
MARK = "tuned: "
"""Begins the comments that tuning writes, so that the next tuning takes them away again."""


def read_settings(path: Path) -> dict[str, Any]:
    """The settings of a file; none where it does not exist. `UsageError` where it is no TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{str(path)!r} is not valid TOML: {error}", hint="mend it, or use another --out") from error
    except OSError as error:
        raise UsageError(f"cannot read {str(path)!r}: {error.strerror}") from error


def write_settings(path: Path, chosen: Mapping[str, Any], *, scope: tuple[str, ...], comment: str) -> bool:
    """Makes the settings in `scope` what was chosen; False where nothing had to change.

    A setting in `scope` that is not in `chosen` is taken out: it goes back to what is built in. The file as it was is
    kept beside, as `ragloom.toml.bak`.
    """
    before = read_settings(path)
    if all(before.get(name) == chosen.get(name) for name in scope):
        return False
    try:
        import tomlkit
    except ImportError as error:
        raise MissingExtraError("writing ragloom.toml", "evals") from error
    document = tomlkit.parse(path.read_text(encoding="utf-8")) if path.exists() else tomlkit.document()
    for name in scope:
        if name in chosen:
            if document.get(name) != chosen[name]:
                # At the top level, in front of any [table]: TOML would put it into the table otherwise.
                document[name] = chosen[name]
                document[name].comment(f"{MARK}{comment}")
        elif name in document:
            del document[name]
    if path.exists():
        shutil.copyfile(path, path.with_name(f"{path.name}.bak"))
    try:
        write_whole(path, tomlkit.dumps(document))
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error
    return True
