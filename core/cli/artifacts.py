"""What the commands on artifacts share: opening one by its name or its folder, and telling how far a work has come."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..models.specs import TRAINED_ROLES
from .output import note

if TYPE_CHECKING:
    from ..models.artifacts import Artifact

__all__ = ("open_named", "teller")

SECONDS_BETWEEN_LINES = 30
"""Of progress, where stderr is no terminal."""


def open_named(name: str) -> Artifact:
    """An artifact by `ROLE:bundled`, `ROLE:PATH` or the folder alone."""
    from ..models.artifacts import MANIFEST, open_artifact

    provider, _, rest = name.partition(":")
    if provider in TRAINED_ROLES and rest:
        return open_artifact(name, provider)
    path = Path(name) / MANIFEST
    try:
        role = json.loads(path.read_text(encoding="utf-8"))["role"]
    except (OSError, ValueError, KeyError, TypeError):
        role = None
    if role not in TRAINED_ROLES:
        hint = "name the --out folder of 'ragloom finetune', or ROLE:bundled"
        raise UsageError(f"{name!r} is no artifact", hint=hint)
    return open_artifact(f"{role}:{name}", role)


def teller(bar: Any) -> Callable[[str, int, int | None], None]:
    """A bar; where stderr is no terminal, a line now and then and whenever something else begins."""
    from ..finetune.processes import is_main

    if not is_main():
        return lambda text, done, total: None
    terminal = sys.stderr.isatty()
    last: list[Any] = ["", 0.0]

    def tell(text: str, done: int, total: int | None) -> None:
        bar.show(text, done, total)
        kind = "".join(letter for letter in text if letter.isalpha() or letter == " ").split(" ", 2)[:2]
        if not terminal and (kind != last[0] or time.monotonic() - last[1] > SECONDS_BETWEEN_LINES):
            last[:] = [kind, time.monotonic()]
            note(text if total is None or "step " in text else f"{text}: {done} of {total}")

    return tell
