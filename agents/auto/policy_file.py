"""A fitted policy as a JSON file."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

from ...errors import ArtifactError, RagloomError, UsageError
from .fitting import Fitted

__all__ = ("load_policy", "save_policy")


def save_policy(fitted: Fitted, path: str | Path) -> None:
    """Writes it, whole or not at all. Rules are saved, signals are code: `Weakness(signals, load_policy(path).rules)`.

    Raises `UsageError` where the file cannot be written.
    """
    target = Path(path)
    draft = target.with_name(f"{target.name}.draft")
    try:
        draft.write_text(json.dumps(dataclasses.asdict(fitted), indent=1) + "\n", encoding="utf-8")
        os.replace(draft, target)
    except OSError as error:
        raise UsageError(f"cannot write {str(path)!r}: {error.strerror}") from error


def load_policy(path: str | Path) -> Fitted:
    """The policy of a file. `UsageError` where there is none, `ArtifactError` where it is damaged."""
    from pydantic import TypeAdapter, ValidationError

    try:
        text = Path(path).read_bytes()
    except OSError as error:
        hint = "make one with fit_thresholds and save_policy"
        raise UsageError(f"cannot read the policy {str(path)!r}: {error.strerror}", hint=hint) from error
    try:
        return TypeAdapter(Fitted).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        why = f"{where}: {first['msg']}" if where else first["msg"]
    except RagloomError as error:  # a rule that is none
        why = error.message
    raise ArtifactError(f"{str(path)!r} is no fitted policy: {why}", hint="fit it anew, and save it with save_policy")
