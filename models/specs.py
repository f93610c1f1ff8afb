"""Model names: always `provider:name`, never guessed.

`bundled:smollm2` and `bundled:minilm` work offline; `gguf:PATH` runs a llama.cpp model file; `st:PATH_OR_ID` and its
alias `hf:PATH_OR_ID` load a sentence-transformers embedder; `ROLE:bundled` and `ROLE:PATH` load what was trained for a
role (`support:bundled`, `drafter:out/drafter`); every other prefix is a provider of LangChain's `init_chat_model`.

    >>> parse_spec("bundled:smollm2")
    ModelSpec(provider='bundled', name='smollm2')
    >>> str(parse_spec("openai:gpt-4o:2024"))
    'openai:gpt-4o:2024'
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

from ..errors import UnknownModelError

__all__ = (
    "CHAT_PROVIDERS",
    "EMBEDDER_PROVIDERS",
    "LANGCHAIN_PACKAGES",
    "TRAINED_ROLES",
    "ModelSpec",
    "Role",
    "TrainedRole",
    "anchored",
    "parse_spec",
    "suggest",
)

TrainedRole = Literal[
    "embedder",
    "reranker",
    "evaluator",
    "support",
    "utility",
    "retrieve",
    "drafter",
    "reader",
    "reflective",
    "router",
    "injection",
]
"""What `ragloom finetune` trains; also the provider under which the result is loaded."""
TRAINED_ROLES: tuple[TrainedRole, ...] = get_args(TrainedRole)

Role = Literal["chat", "embedder", "reranker", "evaluator", "support", "utility", "retrieve", "router", "injection"]
"""What a model is used for."""

# Provider -> the pip package that brings it. The same list as LangChain's own table (a test compares the two); kept
# here so that checking a name does not import LangChain (0.7 s).
LANGCHAIN_PACKAGES: dict[str, str] = {
    "anthropic": "langchain-anthropic",
    "anthropic_bedrock": "langchain-aws",
    "azure_ai": "langchain-azure-ai",
    "azure_openai": "langchain-openai",
    "baseten": "langchain-baseten",
    "bedrock": "langchain-aws",
    "bedrock_converse": "langchain-aws",
    "bedrock_mantle_anthropic": "langchain-aws",
    "bedrock_mantle_openai": "langchain-aws",
    "cohere": "langchain-cohere",
    "deepseek": "langchain-deepseek",
    "fireworks": "langchain-fireworks",
    "google_anthropic_vertex": "langchain-google-vertexai",
    "google_genai": "langchain-google-genai",
    "google_vertexai": "langchain-google-vertexai",
    "groq": "langchain-groq",
    "huggingface": "langchain-huggingface",
    "ibm": "langchain-ibm",
    "langsmith": "langchain-openai",
    "litellm": "langchain-litellm",
    "meta": "langchain-meta",
    "mistralai": "langchain-mistralai",
    "nvidia": "langchain-nvidia-ai-endpoints",
    "ollama": "langchain-ollama",
    "openai": "langchain-openai",
    "openrouter": "langchain-openrouter",
    "perplexity": "langchain-perplexity",
    "together": "langchain-together",
    "upstage": "langchain-upstage",
    "xai": "langchain-xai",
}

CHAT_PROVIDERS: tuple[str, ...] = ("bundled", "drafter", "gguf", "reader", "reflective", *LANGCHAIN_PACKAGES)
EMBEDDER_PROVIDERS: tuple[str, ...] = ("bundled", "embedder", "hf", "st")


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model by name: `provider` says how it is reached, `name` which one (a path, an id, a bundled name)."""

    provider: str
    name: str

    def __str__(self) -> str:
        """The text it was read from, `provider:name`."""
        return f"{self.provider}:{self.name}"


def parse_spec(spec: str, *, role: Role | None = None) -> ModelSpec:
    """Split `provider:name` and check the provider.

    With `role` only the providers of that role are known: `parse_spec("st:x", role="chat")` is refused. Raises
    `UnknownModelError`, which lists the known providers and the nearest one.
    """
    provider, colon, name = spec.strip().partition(":")
    known = _providers(role)
    kind = f"{role} model" if role else "model"
    if not colon or not name.strip():
        examples = {"chat": "bundled:smollm2", "embedder": "bundled:minilm"}
        example = examples.get(role or "chat", f"{role}:bundled")
        raise UnknownModelError(f"{kind} name {spec!r} is not of the form provider:name", hint=f"for example {example}")
    if provider not in known:
        raise UnknownModelError(
            f"unknown {kind} provider {provider!r} in {spec!r}",
            hint=f"{suggest(provider, known)}known providers: {', '.join(known)}",
        )
    return ModelSpec(provider, name.strip())


def anchored(spec: str) -> str:
    """The same name with an absolute path, where it names a file or folder of this machine; to be found from anywhere.

    >>> anchored("embedder:bundled"), anchored("st:sentence-transformers/all-MiniLM-L6-v2")
    ('embedder:bundled', 'st:sentence-transformers/all-MiniLM-L6-v2')
    """
    provider, colon, name = spec.strip().partition(":")
    path = Path(name).expanduser()
    local = provider in (*TRAINED_ROLES, "gguf", "hf", "st") and name != "bundled" and path.exists()
    return f"{provider}{colon}{path.resolve()}" if local else spec


def suggest(value: str, known: tuple[str, ...]) -> str:
    """`"did you mean 'openai'? "` when something near is known, else an empty string."""
    near = get_close_matches(value, known, n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}? " if near else ""


def _providers(role: Role | None) -> tuple[str, ...]:
    if role == "chat":
        return CHAT_PROVIDERS
    if role == "embedder":
        return EMBEDDER_PROVIDERS
    if role:
        return (role,)
    return tuple(dict.fromkeys((*CHAT_PROVIDERS, *EMBEDDER_PROVIDERS, *TRAINED_ROLES)))
