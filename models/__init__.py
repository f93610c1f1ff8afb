"""Models by name, `provider:name`: chat models, embedders, and the bundled offline weights.

    >>> from ragloom.models import load_chat_model, load_embedder
    >>> llm = load_chat_model("bundled:smollm2")  # doctest: +SKIP
    >>> embedder = load_embedder("bundled:minilm")  # doctest: +SKIP

Importing this package imports none of torch, transformers, llama_index, langchain or xllamacpp: each name is loaded
on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .catalogue import ModelInfo, list_models, pull, show
    from .chat import context_window, count_tokens, load_chat_model, model_errors
    from .embedders import embedder_fingerprint, load_embedder
    from .llama_server import LlamaServer
    from .protocols import Embedder
    from .registry import BUNDLED, BundledModel
    from .sentence_embedding import SentenceTransformerEmbedding
    from .specs import ModelSpec, parse_spec
    from .trunk import Trunk, load_trunk
    from .weights import Progress, cache_folder, ensure_weights

__all__ = (
    "BUNDLED",
    "BundledModel",
    "Embedder",
    "LlamaServer",
    "ModelInfo",
    "ModelSpec",
    "Progress",
    "SentenceTransformerEmbedding",
    "Trunk",
    "cache_folder",
    "context_window",
    "count_tokens",
    "embedder_fingerprint",
    "ensure_weights",
    "list_models",
    "load_chat_model",
    "load_embedder",
    "load_trunk",
    "model_errors",
    "parse_spec",
    "pull",
    "show",
)

_HOMES = {
    "BUNDLED": "registry",
    "BundledModel": "registry",
    "Embedder": "protocols",
    "LlamaServer": "llama_server",
    "ModelInfo": "catalogue",
    "ModelSpec": "specs",
    "Progress": "weights",
    "SentenceTransformerEmbedding": "sentence_embedding",
    "Trunk": "trunk",
    "cache_folder": "weights",
    "context_window": "chat",
    "count_tokens": "chat",
    "ensure_weights": "weights",
    "list_models": "catalogue",
    "load_chat_model": "chat",
    "embedder_fingerprint": "embedders",
    "load_embedder": "embedders",
    "load_trunk": "trunk",
    "model_errors": "chat",
    "parse_spec": "specs",
    "pull": "catalogue",
    "show": "catalogue",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
