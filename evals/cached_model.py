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
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, messages_to_dict
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableBinding, RunnableSequence
from pydantic import PrivateAttr

from .model_calls import ModelCall, current_calls
from .model_identity import model_identity
from .output_cache import OutputCache

__all__ = ("CachedChatModel",)


class CachedChatModel(BaseChatModel):
    """A chat model that asks another one, once for each prompt. Made by `around`.

    `bound` is the model inside: what counts tokens or reads the context window looks there. A streamed output comes
    back in one piece. An error is never kept. A stream that its reader breaks off is still read to its end, so that
    what is kept is whole.
    """

    bound: Any
    cache: Any = False  # None would mean LangChain's global cache, if one is set
    identity: str = ""
    seed: int = 0

    _outputs: OutputCache = PrivateAttr()

    @classmethod
    def around(cls, llm: BaseChatModel, *, outputs: OutputCache | None = None, seed: int = 0) -> CachedChatModel:
        """A cache around `llm`. Where it draws at random (a temperature that is not 0), each `seed` draws anew, and so
        does each time that a prompt is asked again within `recorded_calls`: several drafts stay several.
        """
        bound = llm.bound if isinstance(llm, CachedChatModel) else llm
        model = cls(bound=bound, identity=model_identity(bound), seed=seed)
        model._outputs = outputs or OutputCache()
        return model

    @property
    def outputs(self) -> OutputCache:
        """Where outputs are kept."""
        return self._outputs

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
        key = hashlib.sha256(json.dumps(asked, sort_keys=True, default=_plain).encode()).hexdigest()
        if options.get("temperature", getattr(self.bound, "temperature", None)) in (0, 0.0):
            return key
        calls = current_calls()
        return f"{key} seed {self.seed} time {calls.occurrence(key) if calls is not None else 0}"

    def _found(self, key: str) -> AIMessage | None:
        began = time.perf_counter()
        kept = self._outputs.get(key)
        if kept is None:
            return None
        message = AIMessage(**kept["message"])
        _note(key, message, began, time.perf_counter() - began, kept["seconds"], kept["first_token"], cached=True)
        return message

    def _keep(self, key: str, message: AIMessage, began: float, seconds: float, first: float | None = None) -> None:
        fields = ("content", "tool_calls", "usage_metadata", "response_metadata", "additional_kwargs")
        told = {name: getattr(message, name) for name in fields if getattr(message, name)}
        first = seconds if first is None else first
        value = {"message": {"content": "", **told}, "seconds": seconds, "first_token": first}
        self._outputs.put(key, json.loads(json.dumps(value, default=_plain)))
        _note(key, message, began, seconds, seconds, first, cached=False)

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        key = self._key(messages, stop, options)
        message = self._found(key)
        if message is None:
            began = time.perf_counter()
            message = self.bound.invoke(messages, stop=stop, **options)
            self._keep(key, message, began, time.perf_counter() - began)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> ChatResult:
        key = self._key(messages, stop, options)
        message = self._found(key)
        if message is None:
            began = time.perf_counter()
            message = await self.bound.ainvoke(messages, stop=stop, **options)
            self._keep(key, message, began, time.perf_counter() - began)
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> Iterator[ChatGenerationChunk]:
        key = self._key(messages, stop, options)
        kept = self._found(key)
        if kept is not None:
            yield ChatGenerationChunk(message=_as_chunk(kept))
            return
        heard = _Heard()
        stream = iter(self.bound.stream(messages, stop=stop, **options))
        try:
            while (chunk := heard.timed(stream)) is not None:
                yield ChatGenerationChunk(message=chunk)
        except GeneratorExit:  # the reader has enough
            with suppress(Exception):  # an error now is nobody's: what came is not whole, and not kept
                while heard.timed(stream) is not None:
                    pass
                self._keep(key, heard.message(), heard.began, heard.seconds, heard.first)
            raise
        self._keep(key, heard.message(), heard.began, heard.seconds, heard.first)

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        key = self._key(messages, stop, options)
        kept = self._found(key)
        if kept is not None:
            yield ChatGenerationChunk(message=_as_chunk(kept))
            return
        heard = _Heard()
        stream = self.bound.astream(messages, stop=stop, **options)
        try:
            while (chunk := await heard.atimed(stream)) is not None:
                yield ChatGenerationChunk(message=chunk)
        except GeneratorExit:
            with suppress(Exception):
                while await heard.atimed(stream) is not None:
                    pass
                self._keep(key, heard.message(), heard.began, heard.seconds, heard.first)
            raise
        self._keep(key, heard.message(), heard.began, heard.seconds, heard.first)

    # What else a strategy may ask a model is the inner model's business.

    def get_num_tokens(self, text: str) -> int:
        """As the model inside counts."""
        return int(self.bound.get_num_tokens(text))

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Any = None, **options: Any) -> int:
        """As the model inside counts."""
        return int(self.bound.get_num_tokens_from_messages(messages, tools, **options))

    def with_structured_output(self, schema: Any = None, *, include_raw: bool = False, **options: Any) -> Any:
        """In the way of the model inside (its JSON schema mode, its tools), through this cache."""
        made = self.bound.with_structured_output(schema, include_raw=include_raw, **options)
        first = getattr(made, "first", None)
        if not include_raw and isinstance(first, RunnableBinding) and first.bound is self.bound:
            rest = made.steps[1:]
            return RunnableSequence(self.bind(**first.kwargs), *rest)
        return made  # of another shape: it works, but is not kept

    def bind_tools(self, tools: Sequence[Any], **options: Any) -> Any:
        """Tools as the model inside wants them told; they are part of the key."""
        return self.bind(**self.bound.bind_tools(tools, **options).kwargs)


class _Heard:
    """A stream as it comes: its parts, and what the model alone took (what the reader does in between is not its)."""

    def __init__(self) -> None:
        self.parts: list[AIMessageChunk] = []
        self.began = time.perf_counter()
        self.seconds = 0.0
        self.first: float | None = None

    def timed(self, stream: Iterator[AIMessage]) -> AIMessageChunk | None:
        """The next part; None at the end."""
        began = time.perf_counter()
        return self._took(next(stream, None), began)

    async def atimed(self, stream: AsyncIterator[AIMessage]) -> AIMessageChunk | None:
        """The next part; None at the end."""
        began = time.perf_counter()
        return self._took(await anext(stream, None), began)

    def _took(self, message: AIMessage | None, began: float) -> AIMessageChunk | None:
        self.seconds += time.perf_counter() - began
        if message is None:
            return None
        # LangChain streams a model that does not stream as its whole message, which is no chunk.
        part = message if isinstance(message, AIMessageChunk) else _as_chunk(message)
        self.parts.append(part)
        if self.first is None and part.text:
            self.first = self.seconds
        return part

    def message(self) -> AIMessage:
        """All of it."""
        whole = self.parts[0] if self.parts else AIMessageChunk(content="")
        for part in self.parts[1:]:
            whole = whole + part
        return whole


def _note(
    key: str, message: AIMessage, began: float, here: float, seconds: float, first: float, *, cached: bool
) -> None:
    calls = current_calls()
    if calls is not None:
        usage = message.usage_metadata
        tokens = (usage["input_tokens"], usage["output_tokens"]) if usage else (0, 0)
        calls.append(ModelCall(key, began, here, seconds, first, cached, *tokens))


def _as_chunk(message: AIMessage) -> AIMessageChunk:
    return AIMessageChunk(**{**message.model_dump(exclude={"type"}), "chunk_position": "last"})


def _plain(value: Any) -> Any:
    """What JSON does not know: the schema of a class, the fields of an object, else how it is written."""
    if isinstance(value, type) and hasattr(value, "model_json_schema"):
        return value.model_json_schema()
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    return repr(value)
