"""The chat model behind `bundled:smollm2`, `gguf:PATH` and `drafter:PATH`.

LangChain's `ChatOpenAI`, on a server in this process.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from langchain_core.messages import BaseMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import PrivateAttr, SecretStr

from .cancelling import stream_options
from .llama_server import LlamaServer, resolve_context

__all__ = ("LlamaChatModel",)

_UNSTARTED = "http://127.0.0.1:1/v1"  # replaced when the server starts; nothing is ever sent there
_TIMEOUT = httpx.Timeout(600, connect=10)  # seconds: a full context on a slow machine takes minutes before a token


class LlamaChatModel(ChatOpenAI):
    """A GGUF model as a LangChain chat model: streaming, log-probabilities, JSON schema, usage, exact token counts.

    Making one is cheap; the server starts with the first question or the first `get_num_tokens`. All instances of
    the same file and adapter in a process share one server. Made by `load_chat_model`.
    """

    model_file: Path
    adapter: Path | None = None
    """A LoRA adapter in GGUF that is applied to the model."""
    context_length: int | None = None
    threads: int | None = None

    _starting: Any = PrivateAttr(default_factory=threading.Lock)

    def __init__(self, model_file: Path, **params: Any) -> None:
        """`params` are ChatOpenAI's, plus `context_length` (tokens of a request) and `threads`."""
        # Connections are not kept: an async client that outlives its event loop would hand out dead ones, and a new
        # connection to this machine costs well under a millisecond. Proxies of the environment are not for loopback.
        limits = httpx.Limits(max_keepalive_connections=0)
        timeout = params.pop("timeout", None) or _TIMEOUT
        defaults: dict[str, Any] = {
            "model": model_file.stem,
            "base_url": _UNSTARTED,
            "api_key": SecretStr("unstarted"),
            "temperature": 0.0,
            "max_tokens": 256,
            "max_retries": 1,
            "timeout": timeout,
            "stream_usage": True,
            "use_responses_api": False,
            **stream_options(),
            "http_socket_options": (),  # else langchain-openai warns about every proxy in the environment
            "http_client": httpx.Client(trust_env=False, limits=limits, timeout=timeout),
            "http_async_client": httpx.AsyncClient(trust_env=False, limits=limits, timeout=timeout),
        }
        super().__init__(**{"model_file": model_file, **defaults, **params})

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """It is made of a file of this machine: ChatOpenAI's way to store a model does not fit."""
        return False

    @property
    def _llm_type(self) -> str:
        return "ragloom-llama"

    @property
    def context_window(self) -> int:
        """Tokens of one request, prompt and answer together (read from the file; starts nothing)."""
        return resolve_context(self.model_file, self.context_length)

    def server(self) -> LlamaServer:
        """The running server of this model, started if need be."""
        server = LlamaServer.of(
            self.model_file, adapter=self.adapter, context_length=self.context_length, threads=self.threads
        )
        with self._starting:
            for client in (self.root_client, self.root_async_client):
                client.base_url = f"{server.url}/v1/"
                client.api_key = server.api_key
        return server

    def get_token_ids(self, text: str) -> list[int]:
        """Token ids of plain text by the model's own tokenizer."""
        return self.server().tokenize(text)

    def get_num_tokens(self, text: str) -> int:
        """Tokens of plain text by the model's own tokenizer; counts are remembered."""
        return self.server().count_tokens(text)

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Any = None, **kwargs: Any) -> int:
        """Tokens of the whole prompt that the model's chat template makes of `messages` (tools are not counted)."""
        rendered = convert_to_openai_messages(list(messages))
        return self.server().count_prompt(rendered if isinstance(rendered, list) else [rendered])

    def _generate(self, *args: Any, **kwargs: Any) -> ChatResult:
        self.server()
        return super()._generate(*args, **kwargs)

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        self.server()
        yield from super()._stream(*args, **kwargs)

    async def _agenerate(self, *args: Any, **kwargs: Any) -> ChatResult:
        await asyncio.to_thread(self.server)
        return await super()._agenerate(*args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        await asyncio.to_thread(self.server)
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk
