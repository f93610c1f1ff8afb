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
        return self._sure(super()._generate(messages, *given, **(LOGPROBS | options)), options)

    async def _agenerate(self, messages: list[BaseMessage], *given: Any, **options: Any) -> ChatResult:
        if self.abstain_below is None:
            return await super()._agenerate(messages, *given, **options)
        return self._sure(await super()._agenerate(messages, *given, **(LOGPROBS | options)), options)

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

    def _sure(self, result: ChatResult, options: dict[str, Any]) -> ChatResult:
        """The result, with abstentions in the place of drafts that it was unsure of."""
        asked = bool(options.get("logprobs", self.logprobs))
        return result.model_copy(update={"generations": [self._kept(each, asked) for each in result.generations]})

    def _kept(self, generation: Any, asked: bool) -> ChatGeneration:
        """A draft or its abstention. The metadata tell the mean; the tokens' own numbers only who `asked` for them."""
        told = dict(generation.generation_info or {})
        mean, message = mean_logprob(told), generation.message
        if mean is not None and self.abstain_below is not None and mean < self.abstain_below:
            draft = replace(parse_draft(str(message.text)), answer="", abstained=True)
            message = message.model_copy(update={"content": render_draft(draft)})
        if not asked:
            told.pop("logprobs", None)
        return ChatGeneration(message=message, generation_info={**told, "mean_logprob": mean})


def _whole(result: ChatResult) -> ChatGenerationChunk:
    """A finished answer as the only chunk of its stream."""
    generation = result.generations[0]
    message = generation.message
    chunk = AIMessageChunk(
        content=message.content,
        id=message.id,
        response_metadata=message.response_metadata,
        usage_metadata=getattr(message, "usage_metadata", None),
        chunk_position="last",
    )
    return ChatGenerationChunk(message=chunk, generation_info=generation.generation_info)
