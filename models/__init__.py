"""Models by name, `provider:name`: chat models, embedders, and the bundled offline weights.

    >>> from ragloom.models import load_chat_model, load_embedder
    >>> llm = load_chat_model("bundled:smollm2")  # doctest: +SKIP
    >>> embedder = load_embedder("bundled:minilm")  # doctest: +SKIP

Importing this package imports none of torch, transformers, llama_index, langchain or xllamacpp: each name is loaded
on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .catalogue import ModelInfo, list_models, pull, show
    from .chat import context_window, count_tokens, limit_answer, load_chat_model, model_errors
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
    "limit_answer",
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

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "catalogue": ["ModelInfo", "list_models", "pull", "show"],
        "chat": ["context_window", "count_tokens", "limit_answer", "load_chat_model", "model_errors"],
        "embedders": ["embedder_fingerprint", "load_embedder"],
        "llama_server": ["LlamaServer"],
        "protocols": ["Embedder"],
        "registry": ["BUNDLED", "BundledModel"],
        "sentence_embedding": ["SentenceTransformerEmbedding"],
        "specs": ["ModelSpec", "parse_spec"],
        "trunk": ["Trunk", "load_trunk"],
        "weights": ["Progress", "cache_folder", "ensure_weights"],
    },
)
