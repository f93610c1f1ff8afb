"""The chat model behind `drafter:PATH`: one that abstains where it was unsure of what it wrote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from .drafts import parse_draft, render_draft
from .local_chat import LlamaChatModel

__all__ = ("LOGPROBS", "DrafterChatModel", "mean_logprob")

LOGPROBS = {"logprobs": True, "top_logprobs": 1}
"""Call options by which the server tells log-probabilities."""


def mean_logprob(metadata: dict[str, Any]) -> float | None:
    """Mean log-probability of the tokens that an answer's metadata tell of; None where they tell of none."""
    told = (metadata.get("logprobs") or {}).get("content") or ()
    return sum(token["logprob"] for token in told) / len(told) if told else None


class DrafterChatModel(LlamaChatModel):
    """A trained drafter whose draft becomes an abstention where its tokens' mean log-probability is too low.

    A small drafter hardly learns to say that nothing answers, but of what it made up it is less sure. The quote stays
    in the draft, the answer goes. A stream brings the draft in one piece: nothing of it counts before its end. The
    threshold is chosen as SQuAD 2.0 chooses its own (Rajpurkar et al., 2018, https://arxiv.org/abs/1806.03822), see
    `finetune.abstaining`.
    """

    abstain_below: float | None = None
    """Mean log-probability of a token, at most 0. None: every draft is told as it was written."""

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "abstain_below": self.abstain_below}

    def _generate(self, messages: list[BaseMessage], *given: Any, **options: Any) -> ChatResult:
        if self.abstain_below is None:
            return super()._generate(messages, *given, **options)
        return self._sure(super()._generate(messages, *given, **LOGPROBS, **options))

    async def _agenerate(self, messages: list[BaseMessage], *given: Any, **options: Any) -> ChatResult:
        if self.abstain_below is None:
            return await super()._agenerate(messages, *given, **options)
        return self._sure(await super()._agenerate(messages, *given, **LOGPROBS, **options))

    def _stream(self, messages: list[BaseMessage], *given: Any, **options: Any) -> Iterator[ChatGenerationChunk]:
        if self.abstain_below is None:
            yield from super()._stream(messages, *given, **options)
        else:
            yield _whole(self._generate(messages, *given, **options))

    async def _astream(
        self, messages: list[BaseMessage], *given: Any, **options: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        if self.abstain_below is None:
            async for chunk in super()._astream(messages, *given, **options):
                yield chunk
        else:
            yield _whole(await self._agenerate(messages, *given, **options))

    def _sure(self, result: ChatResult) -> ChatResult:
        """The result, or the abstention in its place; its metadata keep the mean instead of a number for each token."""
        (generation,) = result.generations
        told = generation.generation_info or {}
        mean = mean_logprob(told)
        message = generation.message
        if mean is not None and self.abstain_below is not None and mean < self.abstain_below:
            draft = parse_draft(str(message.text))
            message = message.model_copy(update={"content": render_draft(replace(draft, answer="", abstained=True))})
        told = {**{name: value for name, value in told.items() if name != "logprobs"}, "mean_logprob": mean}
        return result.model_copy(update={"generations": [ChatGeneration(message=message, generation_info=told)]})


def _whole(result: ChatResult) -> ChatGenerationChunk:
    """A finished answer as the only chunk of its stream."""
    (generation,) = result.generations
    message = generation.message
    chunk = AIMessageChunk(
        content=message.content,
        id=message.id,
        response_metadata=message.response_metadata,
        usage_metadata=getattr(message, "usage_metadata", None),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)
