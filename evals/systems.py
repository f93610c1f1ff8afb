"""What is evaluated: a strategy by name, or a Python function that builds one.

A system takes {"question": ...} and gives a dictionary as strategies do (`answer`, `abstained`, `citations`,
`documents`, `steps`, `usage`; whatever is missing counts as empty), or just the answer's text.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from ..graphs import STRATEGIES, build_strategy

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from llama_index.core.base.base_retriever import BaseRetriever

__all__ = ("BASELINES", "Factory", "System", "load_factory")

BASELINES = ("closed-book", "naive")
"""Rows that stand in every table: the model alone, and plain retrieve-(rerank-)read."""

Factory = Callable[..., Any]
"""`function(retriever, llm)` returning a graph, a runnable, or a plain function of {"question": ...}."""


class System:
    """A named strategy, built once for each corpus.

    >>> System("naive", {"prompt": "short"}).name
    'naive'
    """

    def __init__(self, name: str, options: Mapping[str, Any] | None = None, *, factory: Factory | None = None) -> None:
        """`options` go to the strategy; `factory` builds it where it is none of ours."""
        self.name = name
        self.options = dict(options or {})
        self.factory = factory or (load_factory(name) if ":" in name else None)
        if self.factory is None and name not in STRATEGIES:
            build_strategy(name)  # raises, and says which ones there are

    def build(self, retriever: BaseRetriever, llm: BaseChatModel) -> Callable[[dict[str, Any]], Any]:
        """What is asked: a function of {"question": ...}."""
        if self.factory is None:
            return build_strategy(self.name, retriever, llm, **self.options).invoke
        built = self.factory(retriever, llm, **self.options)
        ask = getattr(built, "invoke", built)
        if not callable(ask):
            raise UsageError(f"{self.name!r} returned {type(built).__name__}", hint="return a graph, or a function")
        asked: Callable[[dict[str, Any]], Any] = ask
        return asked


def load_factory(name: str) -> Factory:
    """The function that `module:function` names; modules of the working folder are found too.

    Raises `UsageError` where there is no such module or function, or importing it fails.
    """
    if not re.fullmatch(r"[\w.]+:\w+", name):
        raise UsageError(f"{name!r} names no function", hint="write package.module:function")
    module_name, _, function_name = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except AttributeError as error:
        raise UsageError(f"module {module_name!r} has no {function_name!r}") from error
    except Exception as error:  # whatever the user's module raises
        raise UsageError(f"cannot import {module_name!r}: {type(error).__name__}: {error}") from error
    if not callable(function):
        raise UsageError(f"{name!r} is no function, but {type(function).__name__}")
    factory: Factory = function
    return factory
