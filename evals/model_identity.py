"""What an output of a model depends on beside the prompt."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from ..models import cache_folder

__all__ = ("model_identity",)


def model_identity(llm: BaseChatModel) -> str:
    """What an output depends on beside the prompt: the class, the weights (of a local file), every setting.

    Secrets are left out. Of a file its size and its first and last megabyte stand for the whole: a gigabyte need not be
    read for it.
    """
    file, adapter = getattr(llm, "model_file", None), getattr(llm, "adapter", None)
    # A server on this machine has another port each time, and its file may lie anywhere; a hosted one is its address.
    moving = _MOVING | ({"model_file", "adapter", "base_url", "openai_api_base"} if file else set())
    settings = {
        name: getattr(llm, name)
        for name, field in type(llm).model_fields.items()
        if name not in moving and not field.exclude
    }
    settings |= {name: value for name, value in llm._identifying_params.items() if name not in moving}
    if isinstance(file, Path):
        digest = hashlib.sha256(str(file.stat().st_size).encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, file.stat().st_size - (1 << 20)))
            digest.update(stream.read())
        settings["weights"] = digest.hexdigest()
        if file.parent == cache_folder("adapters"):  # merged from an artifact, and named by it: two may end alike
            settings["artifact"] = file.stem
    if isinstance(adapter, Path):
        settings["adapter"] = hashlib.sha256(adapter.read_bytes()).hexdigest()
    return f"{type(llm).__name__} {json.dumps(_told(settings), sort_keys=True)}"


_MOVING = frozenset(
    {
        *(
            "cache",
            "verbose",
            "callbacks",
            "tags",
            "metadata",
            "name",
            "custom_get_token_ids",
            "rate_limiter",
            "profile",
        ),
        *("client", "async_client", "root_client", "root_async_client", "http_client", "http_async_client"),
        *("http_socket_options", "timeout", "request_timeout", "max_retries", "stream_usage", "threads"),
    }
)
"""Fields that change nothing in what is said."""
_SECRET = re.compile(r"key|secret|password|passwd|authorization|(?<!max_)(?<!completion_)token(?!s)", re.IGNORECASE)


def _told(value: Any) -> Any:
    """A setting as JSON, without secrets; an object is its class."""
    if isinstance(value, dict):
        return {str(name): "***" if _SECRET.search(str(name)) else _told(each) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_told(each) for each in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    return str(value) if isinstance(value, Path) else type(value).__name__
