"""Chat models by name, their token counts and context, and their errors in one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import RagloomError, UsageError
from .cancelling import stream_options
from .failures import describe, model_errors
from .registry import bundled_model
from .specs import LANGCHAIN_PACKAGES, ModelSpec, parse_spec
from .weights import Progress, ensure_weights

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from .local_chat import LlamaChatModel

__all__ = ("context_window", "count_tokens", "limit_answer", "load_chat_model", "model_errors")

_KEY_HINT = "most providers want an API key in their environment variable, such as OPENAI_API_KEY"
_DEFAULT_WINDOW = 8192  # tokens: what current hosted and local models all have at least


def load_chat_model(spec: str = "bundled:smollm2", *, progress: Progress | None = None, **params: Any) -> BaseChatModel:
    """The LangChain chat model that `spec` names; nothing is started or asked yet.

    `params` go to the model (`temperature`, `max_tokens`, ...); local models also take `context_length` and `threads`,
    and default to temperature 0 and 256 tokens. `drafter:bundled`, `drafter:PATH` and `reflective:PATH` run what
    `ragloom finetune` trained, by llama.cpp as well; the first use converts it. `reader:bundled` and
    `reader:PATH` answer from passages with words of theirs, on the embedder's own trunk. A drafter and a reader abstain
    where they are unsure; `abstain_below=None` turns that off. `openai:NAME` honours `OPENAI_BASE_URL`, which reaches
    vLLM and Ollama. Raises `UnknownModelError` for an unknown name, `UsageError` for a missing package, key or file,
    `WeightsError` when bundled weights cannot be fetched, `ArtifactError` for a damaged artifact.

        >>> load_chat_model("bundled:smollm2").invoke("Say hello.").content  # doctest: +SKIP
        'Hello! How can I help you today?'
    """
    parsed = parse_spec(spec, role="chat")
    if parsed.provider == "gguf":
        return _local(Path(parsed.name).expanduser(), spec, params)
    if parsed.provider == "bundled":
        model = bundled_model(parsed.name)
        if model.role != "chat":
            raise UsageError(f"{spec!r} is an {model.role}, not a chat model", hint="use bundled:smollm2")
        return _local(ensure_weights(parsed.name, progress=progress), spec, params)
    if parsed.provider in ("drafter", "reflective"):
        from .adapter_gguf import served_files
        from .artifacts import open_artifact

        role: Literal["drafter", "reflective"] = "drafter" if parsed.provider == "drafter" else "reflective"
        artifact = open_artifact(spec, role)
        file, adapter = served_files(artifact, progress)
        own: dict[str, Any] = {"adapter": adapter, "model": artifact.fingerprint}
        if role == "drafter":
            own["abstain_below"] = artifact.manifest.thresholds.get("abstain_below")
        return _local(file, spec, {**own, **params}, drafts=role == "drafter")
    if parsed.provider == "reader":
        return _extractive(spec, params, progress)
    return _hosted(parsed, params)


def context_window(llm: object) -> int:
    """Tokens of one request to `llm`: its server's, else its LangChain profile's `max_input_tokens`, else 8192."""
    model = _unwrap(llm)
    own = getattr(model, "context_window", None)
    if isinstance(own, int):
        return own
    profile = getattr(model, "profile", None)
    if isinstance(profile, dict) and isinstance(profile.get("max_input_tokens"), int):
        return int(profile["max_input_tokens"])
    return _DEFAULT_WINDOW


def count_tokens(llm: object, text: str) -> int:
    """Tokens of `text` for `llm`: exact for local models, a cautious estimate (a third of the bytes) for the others.

    LangChain's own counting for hosted models downloads a tokenizer on first use, which must not happen in the middle
    of a question; English has about four bytes a token, Chinese three, so the estimate errs to the safe side.
    """
    model = _unwrap(llm)
    if isinstance(getattr(model, "context_window", None), int) or getattr(model, "custom_get_token_ids", None):
        return int(model.get_num_tokens(text))
    return -(-len(text.encode("utf-8", "replace")) // 3)


def limit_answer(llm: object, tokens: int) -> dict[str, int]:
    """The call option that keeps an answer within `tokens`; nothing for a model that has none."""
    fields = getattr(type(_unwrap(llm)), "model_fields", {})
    return {"max_tokens": tokens} if "max_tokens" in fields else {}


def _unwrap(llm: Any) -> Any:
    """The chat model inside `llm.bind(...)` and the like."""
    while hasattr(llm, "bound"):
        llm = llm.bound
    return llm


def _local(path: Path, spec: str, params: dict[str, Any], *, drafts: bool = False) -> LlamaChatModel:
    from .gguf import read_header

    read_header(path)  # a bad file is refused now, not with the first question

    from .drafter_chat import DrafterChatModel
    from .local_chat import LlamaChatModel

    model: type[LlamaChatModel] = DrafterChatModel if drafts else LlamaChatModel
    fields = model.model_fields
    known = set(fields) | {field.alias for field in fields.values() if field.alias}
    unknown = sorted(set(params) - known)
    if unknown:
        raise UsageError(f"{spec!r} takes no parameter {unknown[0]!r}", hint="see docs/models.md for the parameters")
    return model(path, **params)


def _extractive(spec: str, params: dict[str, Any], progress: Progress | None) -> BaseChatModel:
    from .extractive import load_extractive_reader
    from .extractive_chat import ExtractiveChatModel

    unknown = sorted(params.keys() - {"abstain_below"})
    if unknown:
        raise UsageError(f"{spec!r} takes no parameter {unknown[0]!r}", hint="see docs/models.md for the parameters")
    reader = load_extractive_reader(spec, progress=progress)
    own = {"abstain_below": reader.artifact.manifest.thresholds.get("abstain_below")}
    return ExtractiveChatModel(reader=reader, **{**own, **params})


def _hosted(spec: ModelSpec, params: dict[str, Any]) -> BaseChatModel:
    package = LANGCHAIN_PACKAGES[spec.provider]
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        raise UsageError(f"{str(spec)!r} needs the package {package}", hint=f"pip install {package}")
    from langchain.chat_models import init_chat_model

    own = stream_options() if spec.provider in ("openai", "azure_openai") else {}
    try:
        model: BaseChatModel = init_chat_model(spec.name, model_provider=spec.provider, **{**own, **params})
    except RagloomError:
        raise
    except ImportError as error:
        raise UsageError(f"{str(spec)!r} needs a package: {error}", hint=f"pip install -U {package}") from error
    except Exception as error:  # every provider has its own way to say that a key or a setting is missing
        failure = describe(error)
        text = failure.message if failure else " ".join(str(error).split())
        raise UsageError(f"cannot set up {str(spec)!r}: {text[:300]}", hint=_KEY_HINT) from error
    return model
