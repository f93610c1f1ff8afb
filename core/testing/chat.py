"""A chat model that says what a test wants, or misbehaves as small models and servers do."""

from __future__ import annotations

import asyncio
import hashlib
import random
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from pydantic import ConfigDict, Field, PrivateAttr

__all__ = ("FakeChatModel", "Misbehaviour")

Misbehaviour = Literal["none", "empty", "malformed_json", "error", "repeat", "slow", "garbage"]
Reply = str | AIMessage | Exception

_PIECE = re.compile(r"\s*\S+\s*?|\s+")
_TOKEN = re.compile(r"\w+|[^\w\s]")


class FakeChatModel(BaseChatModel):
    """Scripted replies, streamed word by word, with every call recorded.

    `replies` is a list that is gone through again and again, or a function of the messages; an item is a text, an
    `AIMessage` (for tool calls) or an exception, which is raised. `mode` lets it misbehave:

    - `empty`: says nothing
    - `malformed_json`: a reply's JSON is cut in the middle
    - `error`: raises `error`, half-way when streaming
    - `repeat`: says the reply's first word again and again until `max_tokens`
    - `slow`: waits `delay` seconds before every word
    - `garbage`: random characters, control characters among them; the same for the same seed

        >>> llm = FakeChatModel(replies=["Paris [1].", "No."])
        >>> llm.invoke("Capital of France?").content, llm.invoke("Sure?").content, len(llm.calls)
        ('Paris [1].', 'No.', 2)
    """

    replies: list[Any] | Callable[[list[BaseMessage]], Any] = Field(default_factory=lambda: ["ok"], exclude=True)
    mode: Misbehaviour = "none"
    delay: float = 0.05
    max_tokens: int = 512
    error: Any = Field(default_factory=lambda: ConnectionError("the fake server hung up"), exclude=True)
    seed: int = 0
    context_window: int = 8192

    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _options: list[dict[str, Any]] = PrivateAttr(default_factory=list)
    _lock: Any = PrivateAttr(default_factory=threading.Lock)

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @property
    def calls(self) -> list[list[BaseMessage]]:
        """The messages of every call so far, oldest first."""
        return self._calls

    @property
    def options(self) -> list[dict[str, Any]]:
        """The keyword options of every call so far (`response_format`, `stop`, ...), beside `calls`."""
        return self._options

    def prompts(self) -> list[str]:
        """The text of every call so far: its messages joined by blank lines."""
        return ["\n\n".join(str(message.text) for message in call) for call in self._calls]

    @property
    def _llm_type(self) -> str:
        return "ragloom-fake"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": "fake", "mode": self.mode, "seed": self.seed}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return LangSmithParams(
            **{**super()._get_ls_params(stop=stop, **kwargs), "ls_model_name": kwargs.get("model", "fake")}
        )

    def get_token_ids(self, text: str) -> list[int]:
        """One id a word or sign, the same on every machine."""
        return [
            int.from_bytes(hashlib.blake2b(t.encode(), digest_size=3).digest(), "big") for t in _TOKEN.findall(text)
        ]

    def get_num_tokens(self, text: str) -> int:
        """Words and signs of `text`."""
        return len(_TOKEN.findall(text))

    def get_num_tokens_from_messages(self, messages: Sequence[BaseMessage], tools: Any = None, **kwargs: Any) -> int:
        """Words and signs of all messages, and 4 for every message, as chat templates cost something too."""
        return sum(self.get_num_tokens(str(message.text)) + 4 for message in messages)

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[LanguageModelInput, AIMessage]:
        """Accept tools; whether one is called is up to `replies`."""
        return self.bind(tools=list(tools), **kwargs)

    def with_structured_output(
        self, schema: Any = None, *, include_raw: bool = False, **kwargs: Any
    ) -> Runnable[Any, Any]:
        """Read the reply as JSON of `schema` (a pydantic class or a JSON schema)."""
        from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
        from langchain_core.runnables import RunnableMap, RunnablePassthrough

        is_model = isinstance(schema, type) and hasattr(schema, "model_validate")
        parser: Any = PydanticOutputParser(pydantic_object=schema) if is_model else JsonOutputParser()
        bound: Any = self.bind(response_format=schema if isinstance(schema, dict) else str(schema))
        if not include_raw:
            return bound | parser
        none = RunnablePassthrough.assign(parsed=lambda _: None)
        parsed = RunnablePassthrough.assign(parsed=lambda x: parser.invoke(x["raw"]), parsing_error=lambda _: None)
        return RunnableMap(raw=bound) | parsed.with_fallbacks([none], exception_key="parsing_error")

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message, pieces = self._plan(messages, stop, kwargs)
        if self.mode == "slow":
            time.sleep(self.delay * len(pieces))
        return self._result(messages, message, pieces)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message, pieces = self._plan(messages, stop, kwargs)
        if self.mode == "slow":
            await asyncio.sleep(self.delay * len(pieces))
        return self._result(messages, message, pieces)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message, pieces = self._plan(messages, stop, kwargs)
        for chunk in self._chunks(messages, message, pieces):
            if self.mode == "slow":
                time.sleep(self.delay)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        message, pieces = self._plan(messages, stop, kwargs)
        for chunk in self._chunks(messages, message, pieces):
            await asyncio.sleep(self.delay if self.mode == "slow" else 0)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    def _plan(
        self, messages: list[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> tuple[AIMessage, list[str]]:
        """Record the call, choose the reply, misbehave: the message and the pieces that it is streamed in."""
        with self._lock:
            turn = len(self._calls)
            self._calls.append(list(messages))
            self._options.append({**options, **({"stop": stop} if stop else {})})
        reply = self.replies(list(messages)) if callable(self.replies) else self.replies[turn % len(self.replies)]
        if isinstance(reply, Exception):
            raise reply
        message = reply if isinstance(reply, AIMessage) else AIMessage(str(reply))
        text = self._spoil(str(message.text), turn)
        for mark in stop or []:
            text = text.split(mark, 1)[0]
        pieces = _PIECE.findall(text)[: int(options.get("max_tokens") or self.max_tokens)]
        return message.model_copy(update={"content": "".join(pieces)}), pieces

    def _spoil(self, text: str, turn: int) -> str:
        if self.mode == "empty":
            return ""
        if self.mode == "malformed_json":
            return text[: max(1, len(text) * 2 // 3)] if text.lstrip().startswith(("{", "[")) else '{"answer": "' + text
        if self.mode == "repeat":
            return f"{(text.split() or ['and'])[0]} " * self.max_tokens
        if self.mode == "garbage":
            dice = random.Random(f"{self.seed}:{turn}")
            points = [dice.choice([dice.randrange(1, 0xD800), dice.randrange(0xE000, 0x110000)]) for _ in range(80)]
            return "".join(" " if dice.random() < 0.15 else chr(point) for point in points)
        return text

    def _usage(self, messages: list[BaseMessage], pieces: list[str]) -> UsageMetadata:
        read, written = self.get_num_tokens_from_messages(messages), len(pieces)
        return UsageMetadata(input_tokens=read, output_tokens=written, total_tokens=read + written)

    def _result(self, messages: list[BaseMessage], message: AIMessage, pieces: list[str]) -> ChatResult:
        if self.mode == "error":
            raise self.error
        usage = self._usage(messages, pieces)
        whole = message.model_copy(update={"usage_metadata": usage, "response_metadata": self._metadata(pieces)})
        return ChatResult(generations=[ChatGeneration(message=whole)])

    def _chunks(
        self, messages: list[BaseMessage], message: AIMessage, pieces: list[str]
    ) -> Iterator[ChatGenerationChunk]:
        for i, piece in enumerate(pieces):
            if self.mode == "error" and i >= len(pieces) / 2:
                raise self.error
            yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        if self.mode == "error":
            raise self.error
        calls: list[Any] = [
            {"name": c["name"], "args": _json(c["args"]), "id": c["id"], "index": i, "type": "tool_call_chunk"}
            for i, c in enumerate(message.tool_calls)
        ]
        last = AIMessageChunk(
            content="",
            tool_call_chunks=calls,
            usage_metadata=self._usage(messages, pieces),
            response_metadata=self._metadata(pieces),
            chunk_position="last",
        )
        yield ChatGenerationChunk(message=last)

    def _metadata(self, pieces: list[str]) -> dict[str, Any]:
        return {"finish_reason": "length" if len(pieces) >= self.max_tokens else "stop", "model_name": "fake"}


def _json(value: Any) -> str:
    import json

    return json.dumps(value)
