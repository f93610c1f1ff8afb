"""Settings: defaults of the command line, from `ragloom.toml` and `RAGLOOM_*` variables.

Precedence: command line, environment, `ragloom.toml` in the working folder (or the file that `RAGLOOM_CONFIG` names),
built-in default. There is no global instance: whoever needs settings loads them and passes values on.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from .access import AccessScope, scope_from
from .errors import UsageError

__all__ = (
    "DEFAULT_CRITIC",
    "DEFAULT_LLM",
    "DEFAULT_RERANKER",
    "DRAFTING",
    "NO_GUARD",
    "NO_READER",
    "NO_RERANKER",
    "NO_TRANSFORM",
    "NO_WEB",
    "READERS",
    "Settings",
    "load_settings",
)

# What is used where nothing is said. A trained artifact that ships becomes the default here, and nowhere else.
DEFAULT_LLM = "bundled:smollm2"
DEFAULT_CRITIC = "overlap"
"""Checks answers: `overlap`, later `support:bundled`."""
NO_RERANKER = "none"
DEFAULT_RERANKER = NO_RERANKER
"""Reorders passages: `none`, later `reranker:bundled`."""
UNDRAFTED = frozenset({"closed-book", "self-rag", "self-rag-tokens"})
"""Strategies that a drafter or a reader cannot read for: they show no passages, or write sentence by sentence."""
READ_FOR = frozenset({"auto", "corrective", "decompose", "fusion", "hierarchical", "multi-hop", "naive"})
"""Strategies whose answer words of a passage can be. The others write at length, act, or choose among drafts."""
NO_READER = "none"
DRAFTING = ("drafter:", "reader:")
"""Models that are asked by the prompt `draft`."""
DEFAULT_EVALUATOR = "evaluator:bundled"
NO_WEB = "none"
NO_TRANSFORM = "none"
NO_GUARD = "none"
READERS: dict[str, str] = {"bundled:smollm2": "reader:bundled"}
"""Chat model to what reads for it, where nothing is said."""


class Settings(BaseSettings):
    """Every setting has the name of its option, and of its variable (`top_k`: `--top-k`, `RAGLOOM_TOP_K`)."""

    model_config = SettingsConfigDict(env_prefix="RAGLOOM_", extra="forbid")

    kb: Path = Path(".ragloom")
    """Folder of the knowledge base."""
    llm: str = DEFAULT_LLM
    """Chat model, as `provider:name`."""
    embedder: str | None = None
    """Embedder, as `provider:name`; none: what the knowledge base was made with, `bundled:minilm` for a new one."""
    strategy: str = "naive"
    mode: Literal["bm25", "dense", "hybrid", "default"] = "default"
    alpha: float | None = Field(default=None, ge=0, le=1)
    """Weight of the dense ranking in mode `hybrid`; none: an even mix."""
    fusion: Literal["rank", "relative"] | None = None
    """How mode `hybrid` fuses; none: by rank."""
    top_k: int = Field(default=5, ge=1)
    reader: str | None = None
    """What reads the passages and answers: `none` (the chat model), `reader:bundled`, `reader:PATH`, `drafter:PATH` or
    any chat model; none set: what ships for the chat model.
    """
    critic: str = DEFAULT_CRITIC
    """Judges which passage supports a sentence: `overlap`, `support:bundled` or `support:PATH`."""
    reranker: str = DEFAULT_RERANKER
    """Reorders what the first stage found: `none`, `reranker:bundled` or `reranker:PATH`."""
    rerank_from: int = Field(default=50, ge=1)
    """How many passages the first stage gives to the reranker, which keeps `top_k`."""
    evaluator: str = DEFAULT_EVALUATOR
    """Grades what was retrieved, where a strategy asks whether it is right: `evaluator:bundled` or `evaluator:PATH`."""
    web: str = NO_WEB
    """The second source of `corrective`: `none`, `kb:PATH`, or one that is sent the question: `searxng:URL`, `brave`,
    `tavily`, `duckduckgo`.
    """
    transform: str = NO_TRANSFORM
    """Makes further queries of a question: `none`, `diverse`, `hyde`, `step-back` or `sub-questions`."""
    guard: str = NO_GUARD
    """Screens questions, passages and answers: `none`, `local`, `local:RAIL,RAIL`, `nemo` or `nemo:FOLDER`."""
    prompt: str | None = None
    """The reader's prompt: `read`, `read-guarded`, `short`, `draft` or the path of a Jinja file; none: the strategy's
    own, of a drafter or a reader `draft`.
    """
    tenant: str = ""
    """Whose documents are ingested, and seen."""
    user: str = ""
    """Who asks; in `chat`, none: who runs this."""
    groups: Annotated[list[str], NoDecode] = []
    """Groups that whoever asks is a member of; in a variable with commas between them. Documents that are ingested get
    theirs from `--group` alone.
    """
    source: str = ""
    """Name of the knowledge source that ingested files belong to."""
    chunk_strategy: Literal["structure", "paragraph", "sentence", "tokens"] | None = None
    chunk_size: int | None = Field(default=None, ge=0)
    chunk_overlap: int | None = Field(default=None, ge=0)
    max_file_mb: float = Field(default=100, gt=0)

    @field_validator("groups", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def scope(self) -> AccessScope | None:
        """Who asks, as far as it is set; none where nothing is."""
        return scope_from(None, self.tenant, groups=self.groups, user=self.user)

    @property
    def reranks(self) -> bool:
        """Whether a reranker is set."""
        return self.reranker != NO_RERANKER

    @property
    def reads_with(self) -> str:
        """The model that reads: `reader`, where it is set and the strategy shows passages; else what ships for `llm`,
        where the strategy takes that and no other prompt is set.
        """
        if self.reader is not None:
            return self.llm if self.reader == NO_READER or self.strategy in UNDRAFTED else self.reader
        suits = self.strategy in READ_FOR and self.prompt in (None, "draft")
        return READERS.get(self.llm, self.llm) if suits else self.llm

    def retriever_options(self) -> dict[str, Any]:
        """What `KnowledgeBase.retriever` takes. `alpha` and `fusion` go along in mode `hybrid` only; with a reranker
        `top_k` is what the reranker gets.
        """
        top_k = max(self.top_k, self.rerank_from) if self.reranks else self.top_k
        options = {"mode": self.mode, "top_k": top_k, "tenant": self.tenant}
        return options | ({"alpha": self.alpha, "fusion": self.fusion} if self.mode == "hybrid" else {})

    def strategy_options(self, strategy: str, *, llm: str | None = None) -> dict[str, Any]:
        """What a strategy takes beside retriever, model, critic and reranker: the reader's prompt, where one is set.

        A drafter or a reader (`llm`, by default the one of the settings) is asked as it was trained. A file of the
        user's own shows passages, which closed book has none of; the named prompts `read` and `short` exist for both.
        """
        drafts = (llm or self.llm).startswith(DRAFTING) and strategy not in UNDRAFTED
        prompt = "draft" if self.prompt is None and drafts else self.prompt
        if strategy == "self-rag-tokens":  # asked as it was trained, and in no other way
            return {}
        own = prompt not in (None, "read", "read-guarded", "short")
        return {} if prompt is None or (own and strategy == "closed-book") else {"prompt": prompt}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


def config_file() -> Path:
    """The settings file, whether it exists or not."""
    return Path(os.environ.get("RAGLOOM_CONFIG", "ragloom.toml"))


def load_settings(**given: Any) -> Settings:
    """The settings in force; `given` (None left out) has the last word. `UsageError` names what is wrong, and where."""
    path = config_file()
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{str(path)!r} is not valid TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        where = f"set in {str(path)!r}, a RAGLOOM_* variable or an option"
        if first["type"] == "extra_forbidden":
            raise UsageError(f"unknown setting {name!r}", hint=f"known: {', '.join(Settings.model_fields)}") from error
        raise UsageError(f"bad setting {name!r}: {first['msg']} (it is {first['input']!r})", hint=where) from error
