"""Prompts are Jinja files beside the strategy that uses them; a missing variable is an error, never an empty string.

A file holds one chat message after another, each under a line `--- system` or `--- user`.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ("render_prompt",)

_ROLES = {"system": SystemMessage, "user": HumanMessage}
_MARK = re.compile(r"^--- (system|user)$\n?", re.MULTILINE)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, StrictUndefined

    # Prompts are plain text, not HTML: nothing is to be escaped.
    return Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False)


@cache
def _source(package: str, name: str) -> list[tuple[str, str]]:
    text = files(package).joinpath("prompts", f"{name}.jinja").read_text(encoding="utf-8")
    parts = _MARK.split(text)[1:]
    return list(zip(parts[::2], parts[1::2], strict=True))


def render_prompt(package: str, name: str, **variables: Any) -> list[BaseMessage]:
    """The messages of `prompts/NAME.jinja` in `package`. Raises `jinja2.UndefinedError` for a missing variable.

    The file is split into messages before it is rendered, so no passage can open a message of its own.
    """
    environment = _environment()
    return [
        _ROLES[role](environment.from_string(template).render(**variables).strip())
        for role, template in _source(package, name)
    ]
