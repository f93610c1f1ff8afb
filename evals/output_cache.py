"""Outputs of chat models, kept by model, prompt and settings, so that a repeated run is free.

LangChain's own cache is passed by when a model streams (`BaseChatModel.stream` goes straight to `_stream`), and every
strategy streams; so this is a chat model around a chat model. It also remembers what an output took at first, so that
a repeated run reports the times of the run that made it.

    >>> llm = CachedChatModel.around(load_chat_model("bundled:smollm2"))  # doctest: +SKIP
    >>> with recorded_calls() as calls:  # doctest: +SKIP
    ...     llm.invoke("Say hello.")
    >>> calls[0].cached  # doctest: +SKIP
    False
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, messages_to_dict
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import PrivateAttr

from ..models import cache_folder

__all__ = ("CachedChatModel", "ModelCall", "OutputCache", "model_identity", "recorded_calls")


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One question to a model. Times in seconds."""

    began: float
    """`time.perf_counter()` when it was asked."""
    here: float
    """What it took in this run."""
    seconds: float
    """What it took when the model made the output; the same as `here` unless cached."""
    first_token: float
    """Until the first token, when the model made the output."""
    cached: bool


_calls: ContextVar[list[ModelCall] | None] = ContextVar("ragloom_model_calls", default=None)


@contextmanager
def recorded_calls() -> Iterator[list[ModelCall]]:
    """Collects the calls of every `CachedChatModel` that happen inside, in threads and tasks started there too."""
    calls: list[ModelCall] = []
    token = _calls.set(calls)
    try:
        yield calls
    finally:
        _calls.reset(token)


class OutputCache:
    """A file of outputs; several processes may use it at once. A file that is damaged is put aside and begun anew."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder("outputs") / "outputs.sqlite"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        try:
            self._database = self._open()
        except sqlite3.DatabaseError:
            self.path.replace(self.path.with_suffix(".damaged"))
            self._database = self._open()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=60, check_same_thread=False, isolation_level=None)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.execute("CREATE TABLE IF NOT EXISTS outputs (key TEXT PRIMARY KEY, value TEXT NOT NULL)")
        return database

    def get(self, key: str) -> dict[str, Any] | None:
        """What was kept under the key."""
        with self._lock:
            found = self._database.execute("SELECT value FROM outputs WHERE key = ?", (key,)).fetchone()
        return json.loads(found[0]) if found else None

    def put(self, key: str, value: dict[str, Any]) -> None:
        """Keeps a value; on the disk when this returns."""
        with self._lock:
            self._database.execute("INSERT OR REPLACE INTO outputs VALUES (?, ?)", (key, json.dumps(value)))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._database.close()


def model_identity(llm: BaseChatModel) -> str:
    """What an output depends on beside the prompt: the class, the weights (of a local file), the settings.

    Of a file its size and its first and last megabyte stand for the whole: a gigabyte need not be read for it.
    """
    settings = dict(llm._identifying_params)
    for name in ("temperature", "max_tokens", "top_p", "seed", "stop", "model_kwargs", "extra_body", "context_length"):
        value = getattr(llm, name, None)
        if value is not None:
            settings[name] = value
    for name in ("base_url", "openai_api_base", "model_file"):  # a local server has another port each time
        settings.pop(name, None)
    file = getattr(llm, "model_file", None)
    if isinstance(file, Path):
        digest = hashlib.sha256(str(file.stat().st_size).encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, file.stat().st_size - (1 << 20)))
            digest.update(stream.read())
        settings["weights"] = digest.hexdigest()
    return f"{type(llm).__name__} {json.dumps(settings, sort_keys=True, default=str)}"


class CachedChatModel(BaseChatModel):
    """A chat model that asks another one, once for each prompt. Made by `around`.

    `bound` is the model inside: what counts tokens or reads the context window looks there. A streamed output comes
    back in one piece. An error is never kept. A stream that its reader breaks off is still read to its end, so that
    what is kept is whole.
    """

    bound: Any
    cache: Any = None  # LangChain's own cache field stays unused
    identity: str = ""

    _outputs: OutputCache = PrivateAttr()

    @classmethod
    def around(cls, llm: BaseChatModel, *, outputs: OutputCache | None = None, salt: str = "") -> CachedChatModel:
        """`salt` tells apart runs that must not share outputs (the seed of a model that draws at random)."""
        model = cls(bound=llm, identity=f"{model_identity(llm)} {salt}")
        model._outputs = outputs or OutputCache()
        return model

    @property
    def _llm_type(self) -> str:
        return "ragloom-cached"

    def _key(self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]) -> str:
        told = [
            {
                "type": each["type"],
                **{name: each["data"].get(name) for name in ("content", "tool_calls", "tool_call_id")},
            }
            for each in messages_to_dict(messages)
        ]
        asked = {"model": self.identity, "messages": told, "stop": stop, "options": options}
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=_plain).encode()).hexdigest()

    def _found(self, key: str, began: float) -> AIMessage | None:
        kept = self._outputs.get(key)
        if kept is None:
            return None
        _note(ModelCall(began, time.perf_counter() - began, kept["seconds"], kept["first_token"], True))
        return AIMessage(**kept["message"])

    def _keep(self, key: str, message: AIMessage, began: float, first: float | None) -> None:
        seconds = time.perf_counter() - began
        fields = ("content", "tool_calls", "usage_metadata", "response_metadata", "additional_kwargs")
        told = {name: getattr(message, name) for name in fields if getattr(message, name)}
        value = {"message": {"content": "", **told}, "seconds": seconds, "first_token": first or seconds}
        self._outputs.put(key, json.loads(json.dumps(value, default=_plain)))
        _note(ModelCall(began, seconds, seconds, first or seconds, False))

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        began, key = time.perf_counter(), self._key(messages, stop, options)
        message = self._found(key, began)
        if message is None:
            message = self.bound.invoke(messages, stop=stop, **options)
            self._keep(key, message, began, None)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        began, key = time.perf_counter(), self._key(messages, stop, options)
        message = self._found(key, began)
        if message is None:
            message = await self.bound.ainvoke(messages, stop=stop, **options)
            self._keep(key, message, began, None)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> Iterator[ChatGenerationChunk]:
        began, key = time.perf_counter(), self._key(messages, stop, options)
        kept = self._found(key, began)
        if kept is not None:
            yield ChatGenerationChunk(message=_as_chunk(kept))
            return
        stream = self.bound.stream(messages, stop=stop, **options)
        parts: list[AIMessageChunk] = []
        first = None
        try:
            for chunk in stream:
                first = first or time.perf_counter() - began
                parts.append(chunk)
                yield ChatGenerationChunk(message=chunk)
        except GeneratorExit:  # the reader has enough
            parts += stream
            self._keep(key, _sum(parts), began, first)
            raise
        self._keep(key, _sum(parts), began, first)

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        began, key = time.perf_counter(), self._key(messages, stop, options)
        kept = self._found(key, began)
        if kept is not None:
            yield ChatGenerationChunk(message=_as_chunk(kept))
            return
        stream = self.bound.astream(messages, stop=stop, **options)
        parts: list[AIMessageChunk] = []
        first = None
        try:
            async for chunk in stream:
                first = first or time.perf_counter() - began
                parts.append(chunk)
                yield ChatGenerationChunk(message=chunk)
        except GeneratorExit:
            parts += [chunk async for chunk in stream]
            self._keep(key, _sum(parts), began, first)
            raise
        self._keep(key, _sum(parts), began, first)

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """Tools as the model inside wants them told; they are part of the key."""
        return self.bind(**self.bound.bind_tools(tools, **options).kwargs)


def _note(call: ModelCall) -> None:
    calls = _calls.get()
    if calls is not None:
        calls.append(call)


def _sum(parts: list[AIMessageChunk]) -> AIMessage:
    whole = parts[0] if parts else AIMessageChunk(content="")
    for part in parts[1:]:
        whole = whole + part
    return whole


def _as_chunk(message: AIMessage) -> AIMessageChunk:
    return AIMessageChunk(**{**message.model_dump(exclude={"type"}), "chunk_position": "last"})


def _plain(value: Any) -> Any:
    """What JSON does not know: the schema of a class, the fields of an object, else how it is written."""
    if isinstance(value, type) and hasattr(value, "model_json_schema"):
        return value.model_json_schema()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return repr(value)
