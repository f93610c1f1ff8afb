"""What is evaluated: a strategy by name, or a Python function that builds one.

A system takes {"question": ...} and gives a dictionary as strategies do (`answer`, `abstained`, `citations`,
`documents`, `steps`, `usage`; whatever is missing counts as empty), or just the answer's text.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..agents import STRATEGIES, build_strategy
from ..errors import UsageError

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from llama_index.core.base.base_retriever import BaseRetriever
    from llama_index.core.postprocessor.types import BaseNodePostprocessor

__all__ = ("BASELINES", "Factory", "System", "load_factory", "reranking")

BASELINES = ("closed-book", "naive")
"""Rows that stand in every table: the model alone, and plain retrieve-(rerank-)read."""

Factory = Callable[..., Any]
"""`function(retriever, llm)` returning a graph, a runnable, or a plain function of {"question": ...}."""


class System:
    """A strategy with its options, built once for each corpus.

    `name` is what tables and records call it, `kind` is the strategy.

    >>> short = System("naive", {"prompt": "short"}, label="naive short")
    >>> short.name, short.kind
    ('naive short', 'naive')
    """

    def __init__(
        self,
        name: str,
        options: Mapping[str, Any] | None = None,
        *,
        factory: Factory | None = None,
        label: str | None = None,
    ) -> None:
        """`options` go to the strategy; `factory` builds it where it is none of ours; `label` is its name in tables."""
        self.kind = name
        self.name = label or name
        self.options = dict(options or {})
        self.factory = factory or (load_factory(name) if ":" in name else None)
        if self.factory is None and name not in STRATEGIES:
            build_strategy(name)  # raises, and says which ones there are

    def build(self, retriever: BaseRetriever, llm: BaseChatModel) -> Callable[[dict[str, Any]], Any]:
        """What is asked: a function of {"question": ...}."""
        if self.factory is None:
            return build_strategy(self.kind, retriever, llm, **self.options).invoke
        built = self.factory(retriever, llm, **self.options)
        ask = getattr(built, "invoke", built)
        if not callable(ask):
            raise UsageError(f"{self.name!r} returned {type(built).__name__}", hint="return a graph, or a function")
        asked: Callable[[dict[str, Any]], Any] = ask
        return asked

    def check(self, llm: BaseChatModel) -> None:
        """Raises what building it raises: wrong options come up now, not after the strategies before it."""
        from llama_index.core.base.base_retriever import BaseRetriever

        class Nothing(BaseRetriever):
            def _retrieve(self, query_bundle: Any) -> list[Any]:
                return []

        if self.factory is None:
            build_strategy(self.kind, Nothing(), llm, **self.options)

    def identity(self) -> dict[str, Any]:
        """What decides its answers, as plain JSON without secrets: two systems of one identity can share their records.

        Of a factory the file that it stands in is hashed, not what that file imports; of an object without a
        fingerprint or fields only the type is known.

        >>> System("naive", {"prompt": "short", "api_key": "sk-1"}).identity()
        {'strategy': 'naive', 'options': {'api_key': '***', 'prompt': 'short'}}
        """
        told: dict[str, Any] = {"strategy": self.kind, "options": _plain(self.options)}
        if self.factory is not None:
            told["factory"] = _plain(self.factory)
        return told


def load_factory(name: str) -> Factory:
    """The function that `module:function` names; modules of the working folder are found too.

    Raises `UsageError` where there is no such module or function, or importing it fails.
    """
    if not re.fullmatch(r"[\w.]+:\w+", name):
        raise UsageError(f"{name!r} names no function", hint="write package.module:function")
    module_name, _, function_name = name.partition(":")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.append(folder)  # last: a datasets.py of the user's must not stand in for the library
    importlib.invalidate_caches()
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


def reranking(name: str, reranker: BaseNodePostprocessor) -> Factory:
    """The function that `module:function` names, given a retriever whose passages are reranked."""
    return functools.partial(_build_reranking, factory=load_factory(name), reranker=reranker)


def _build_reranking(
    retriever: BaseRetriever, llm: BaseChatModel, *, factory: Factory, reranker: BaseNodePostprocessor
) -> Any:
    from ..retrieval.reranked import RerankedRetriever

    rerank_from = getattr(retriever, "top_k", 50)
    return factory(RerankedRetriever(retriever, reranker, rerank_from=rerank_from), llm)


_SECRET = re.compile(r"key(?!word)|token(?!i[sz])|secret|password", re.IGNORECASE)
_DEEPEST = 8


def _plain(value: Any, name: str = "", depth: int = 0) -> Any:
    """An option as JSON that is the same for the same option, in any process; secrets are starred out."""
    counted = "tokens" in name.lower() and isinstance(value, (int, float, type(None)))  # max_tokens is no secret
    if _SECRET.search(name) and not counted:
        return "***"
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Path) or (isinstance(value, str) and name == "prompt"):
        digest = _file_hash(Path(value))
        return {"path": str(value), "sha256": digest} if digest else str(value)
    if isinstance(value, str):
        return re.sub(r"(?<=://)[^/@\s]+@", "***@", value)
    if depth > _DEEPEST:
        return {"type": _type_name(type(value))}
    if isinstance(value, Mapping):
        items = sorted((str(key), item) for key, item in value.items())
        return {key: _plain(item, key, depth + 1) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_plain(item, "", depth + 1) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item, "", depth + 1) for item in value), key=repr)
    return _plain_object(value, depth)


def _plain_object(value: Any, depth: int) -> dict[str, Any]:
    if isinstance(value, functools.partial):
        given = {"args": value.args, "keywords": value.keywords}
        return {**_plain_object(value.func, depth), **_plain(given, "", depth + 1)}
    if inspect.isroutine(value) or inspect.isclass(value):
        told: dict[str, Any] = {"function": _type_name(value)}
        with suppress(TypeError, OSError):  # built-in
            if (source := inspect.getsourcefile(value)) and (digest := _file_hash(Path(source))):
                told["sha256"] = digest
        return told
    told = {"type": _type_name(type(value))}
    with suppress(Exception):  # an object of anyone's
        if isinstance(fingerprint := getattr(value, "fingerprint", None), str):
            return {**told, "fingerprint": fingerprint}
        if callable(dump := getattr(value, "model_dump", None)):
            return {**told, "fields": _plain(dump(mode="json"), "", depth + 1)}
        if dataclasses.is_dataclass(value):
            fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
            return {**told, "fields": _plain(fields, "", depth + 1)}
    return told


def _type_name(kind: Any) -> str:
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', type(kind).__name__)}"


def _file_hash(path: Path) -> str | None:
    try:
        return hashlib.sha256(path.expanduser().read_bytes()).hexdigest()
    except (OSError, ValueError, RuntimeError):  # none, a folder, no name of a file at all
        return None
