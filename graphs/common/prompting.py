"""Prompts are Jinja files beside the strategy that uses them; a missing variable is an error, never an empty string.

A file holds one chat message after another, each under a line `--- system` or `--- user`.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from ...errors import UsageError

if TYPE_CHECKING:
    from jinja2 import Environment, Template

__all__ = ("prompt_name", "render_prompt")

_ROLES = {"system": SystemMessage, "user": HumanMessage}
_MARK = re.compile(r"^--- (system|user)$\n?", re.MULTILINE)


@cache
def _environment() -> Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # A ragloom.toml in a folder from anywhere may name a prompt file: it must not run code.
    # Prompts are plain text, not HTML: nothing is to be escaped.
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )


@lru_cache(maxsize=256)
def _template(text: str) -> Template:
    """Compiled once: packing renders a prompt for every passage."""
    return _environment().from_string(text)


@cache
def _packaged(package: str, name: str) -> str:
    return files(package).joinpath("prompts", f"{name}.jinja").read_text(encoding="utf-8")


def _source(package: str, name: str | Path) -> list[tuple[str, str]]:
    try:  # a file of the user's own is read anew each time: it may have been edited
        text = name.read_text(encoding="utf-8") if isinstance(name, Path) else _packaged(package, name)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the prompt {str(name)!r}: {error}") from error
    parts = _MARK.split(text)[1:]
    if not parts:
        hint = "each stands under a line '--- system' or '--- user'"
        raise UsageError(f"the prompt {str(name)!r} has no message", hint=hint)
    return list(zip(parts[::2], parts[1::2], strict=True))


def prompt_name(package: str, given: str) -> str | Path:
    """What a setting means: the name of a prompt in `package`, else a path. `UsageError` where it is neither."""
    if files(package).joinpath("prompts", f"{given}.jinja").is_file():
        return given
    path = Path(given).expanduser()
    if path.is_file():
        return path
    known = sorted(each.name.removesuffix(".jinja") for each in files(package).joinpath("prompts").iterdir())
    raise UsageError(f"there is no prompt {given!r}", hint=f"use {', '.join(known)}, or the path of a .jinja file")


def render_prompt(package: str, name: str | Path, **variables: Any) -> list[BaseMessage]:
    """The messages of `prompts/NAME.jinja` in `package`, or of the file at a path.

    Raises `jinja2.UndefinedError` for a missing variable (`UsageError` in a file of the user's own).

    The file is split into messages before it is rendered, so no passage can open a message of its own. Jinja's
    sandbox renders it: a prompt from anywhere cannot reach Python code.
    """
    parts = _source(package, name)
    try:
        return [_ROLES[role](_template(text).render(**variables).strip()) for role, text in parts]
    except Exception as error:  # Jinja's own, or what an expression raises: {{ 1 / 0 }}
        if not isinstance(name, Path):
            raise
        known = ", ".join(variables)
        raise UsageError(f"the prompt {str(name)!r} is wrong: {error}", hint=f"variables: {known}") from error
