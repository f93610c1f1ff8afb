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
    from .artifacts import Artifact, open_artifact
    from .catalogue import ModelInfo, list_models, pull, show
    from .chat import context_window, count_tokens, limit_answer, load_chat_model, model_errors
    from .critics import RetrievalNeedCritic, UtilityCritic, load_retrieval_need_critic, load_utility_critic
    from .embedders import embedder_fingerprint, load_embedder
    from .evaluator import RetrievalEvaluator, TrainedEvaluator, load_evaluator
    from .injection import InjectionClassifier, Suspicion, load_injection_classifier
    from .llama_server import LlamaServer
    from .protocols import Embedder
    from .registry import BUNDLED, BundledModel
    from .reranker import TrainedReranker, load_reranker
    from .router import Route, Router, load_router
    from .scoring import Scored, Scorer, TokenScore, load_scorer, supports_scoring
    from .sentence_embedding import SentenceTransformerEmbedding
    from .specs import ModelSpec, parse_spec
    from .trunk import Trunk, load_trunk
    from .weights import Progress, cache_folder, ensure_weights

__all__ = (
    "BUNDLED",
    "Artifact",
    "BundledModel",
    "Embedder",
    "InjectionClassifier",
    "LlamaServer",
    "ModelInfo",
    "ModelSpec",
    "Progress",
    "RetrievalEvaluator",
    "RetrievalNeedCritic",
    "Route",
    "Router",
    "Scored",
    "Scorer",
    "SentenceTransformerEmbedding",
    "Suspicion",
    "TokenScore",
    "TrainedEvaluator",
    "TrainedReranker",
    "Trunk",
    "UtilityCritic",
    "cache_folder",
    "context_window",
    "count_tokens",
    "embedder_fingerprint",
    "ensure_weights",
    "limit_answer",
    "list_models",
    "load_chat_model",
    "load_embedder",
    "load_evaluator",
    "load_injection_classifier",
    "load_reranker",
    "load_retrieval_need_critic",
    "load_router",
    "load_scorer",
    "load_trunk",
    "load_utility_critic",
    "model_errors",
    "open_artifact",
    "parse_spec",
    "pull",
    "show",
    "supports_scoring",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "artifacts": ["Artifact", "open_artifact"],
        "catalogue": ["ModelInfo", "list_models", "pull", "show"],
        "chat": ["context_window", "count_tokens", "limit_answer", "load_chat_model", "model_errors"],
        "critics": ["RetrievalNeedCritic", "UtilityCritic", "load_retrieval_need_critic", "load_utility_critic"],
        "embedders": ["embedder_fingerprint", "load_embedder"],
        "evaluator": ["RetrievalEvaluator", "TrainedEvaluator", "load_evaluator"],
        "injection": ["InjectionClassifier", "Suspicion", "load_injection_classifier"],
        "llama_server": ["LlamaServer"],
        "protocols": ["Embedder"],
        "registry": ["BUNDLED", "BundledModel"],
        "router": ["Route", "Router", "load_router"],
        "scoring": ["Scored", "Scorer", "TokenScore", "load_scorer", "supports_scoring"],
        "reranker": ["TrainedReranker", "load_reranker"],
        "sentence_embedding": ["SentenceTransformerEmbedding"],
        "specs": ["ModelSpec", "parse_spec"],
        "trunk": ["Trunk", "load_trunk"],
        "weights": ["Progress", "cache_folder", "ensure_weights"],
    },
)
