"""Scoring by teacher forcing in transformers: one forward pass over prompt and continuation, batched.

Where the continuation begins is found by the tokens' character ranges in the joint text. Tokenising it alone would give
other tokens wherever the tokenizer merges over the boundary, as it does with a leading space.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UsageError
from .causal_model import CausalModel, load_causal_model
from .scoring import Scored, TokenScore
from .trunk import Dtype
from .weights import Progress

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ("TransformersScorer",)

_BATCH_TOKENS = 4096  # of one forward pass, padding included
_BATCH_LOGITS = 1 << 26  # of one forward pass: 256 MiB in float32


@dataclass(frozen=True, slots=True)
class _Row:
    """A joint text as tokens, of which those from `first` on are scored."""

    ids: list[int]
    spans: list[tuple[int, int]]
    first: int

    @property
    def scored(self) -> int:
        return len(self.ids) - self.first


class TransformersScorer:
    """A causal model in transformers as a `Scorer`. Thread-safe; made by `load_scorer`.

    A token that covers characters of both prompt and continuation belongs to the continuation (`Scored.straddles`). An
    empty prompt is the tokenizer's beginning-of-sequence token; a tokenizer without one makes it an error.
    """

    def __init__(
        self, spec: str, *, device: str | None = None, dtype: Dtype = "float32", progress: Progress | None = None
    ) -> None:
        """Nothing is loaded before the first score. float32 is the exact one; bfloat16 keeps two to three digits."""
        self._spec, self._device, self._dtype, self._progress = spec, device, dtype, progress
        self._model: CausalModel | None = None
        self._raw: Tokenizer
        self._opening: list[int] = []
        self._loading = threading.Lock()

    @property
    def name(self) -> str:
        """The model, by its spec."""
        return self._spec

    def score(self, prompt: str, continuation: str) -> Scored:
        """Log-probabilities of the continuation's tokens after the prompt."""
        return self.score_many([(prompt, continuation)])[0]

    def score_many(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """Of many pairs; texts of like length share a forward pass."""
        self._loaded()
        return self._score_rows([self._row(prompt, continuation, self._opening) for prompt, continuation in pairs])

    def score_messages(self, messages: Sequence[Any], continuation: str) -> Scored:
        """Of what the assistant would say next. Raises `UsageError` for a model without a chat template."""
        tokenizer = self._loaded().tokenizer
        if not tokenizer.chat_template:
            raise UsageError(f"{self._spec!r} has no chat template", hint="use score(prompt, continuation)")
        from langchain_core.messages import convert_to_openai_messages

        rendered = convert_to_openai_messages(list(messages))
        prompt: str = tokenizer.apply_chat_template(rendered, tokenize=False, add_generation_prompt=True)
        # The template writes its own beginning-of-sequence token.
        return self._score_rows([self._row(prompt, continuation, [])])[0]

    async def ascore(self, prompt: str, continuation: str) -> Scored:
        """`score`, in a thread."""
        return await asyncio.to_thread(self.score, prompt, continuation)

    async def ascore_many(self, pairs: Sequence[tuple[str, str]]) -> list[Scored]:
        """`score_many`, in a thread."""
        return await asyncio.to_thread(self.score_many, pairs)

    async def ascore_messages(self, messages: Sequence[Any], continuation: str) -> Scored:
        """`score_messages`, in a thread."""
        return await asyncio.to_thread(self.score_messages, messages, continuation)

    def _loaded(self) -> CausalModel:
        with self._loading:
            if self._model is None:
                model = load_causal_model(self._spec, device=self._device, dtype=self._dtype, progress=self._progress)
                self._raw, self._opening = _raw_tokenizer(model.tokenizer)
                self._model = model
            return self._model

    def _row(self, prompt: str, continuation: str, opening: list[int]) -> _Row:
        encoding = self._raw.encode(prompt + continuation, add_special_tokens=False)
        border = len(prompt)
        # An empty range right at the border belongs to no character of the continuation.
        own = next((i for i, (_, end) in enumerate(encoding.offsets) if end > border), len(encoding))
        if not continuation:
            own = len(encoding)
        before = opening
        if not before and own == 0 and len(encoding):
            start = self._loaded().tokenizer.bos_token_id
            if start is None:
                raise UsageError(
                    f"{self._spec!r} cannot score a text from its first token on",
                    hint="give a prompt of one token at least",
                )
            before = [start]
        spans = [(start - border, end - border) for start, end in encoding.offsets]
        return _Row([*before, *encoding.ids], [(0, 0)] * len(before) + spans, len(before) + own)

    def _score_rows(self, rows: list[_Row]) -> list[Scored]:
        model = self._loaded()
        limit = getattr(model.model.config.get_text_config(), "max_position_embeddings", None)
        for row in rows:
            if limit and len(row.ids) > limit:
                raise UsageError(
                    f"prompt and continuation have {len(row.ids)} tokens, {self._spec!r} reads {limit}",
                    hint="shorten the prompt",
                )
        result: list[Scored] = [Scored(())] * len(rows)
        order = sorted((i for i, row in enumerate(rows) if row.scored), key=lambda i: len(rows[i].ids), reverse=True)
        # Virtual tokens stand before the padding, and positions would go wrong behind it.
        peft = getattr(model.model, "active_peft_config", None)
        pads = not getattr(peft, "is_prompt_learning", False)
        for chosen in _batches(rows, order, int(model.model.config.get_text_config().vocab_size), pads=pads):
            for i, values in zip(chosen, _logprobs(model, [rows[i] for i in chosen]), strict=True):
                row = rows[i]
                parts = zip(row.ids[row.first :], row.spans[row.first :], values, strict=True)
                result[i] = Scored(tuple(TokenScore(id_, start, end, value) for id_, (start, end), value in parts))
        return result


def _raw_tokenizer(tokenizer: Any) -> tuple[Tokenizer, list[int]]:
    """The tokenizer without its post-processor, and the tokens that this puts before every text.

    Post-processors of byte-level tokenizers cut the leading space out of a token's range, and a border within that
    space would not be seen.
    """
    from tokenizers import Tokenizer

    raw: Any = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    raw.no_truncation()
    raw.no_padding()
    probe = "a"
    whole = raw.encode(probe).ids
    raw.post_processor = None
    bare = raw.encode(probe).ids
    starts = [i for i in range(len(whole) - len(bare) + 1) if whole[i : i + len(bare)] == bare]
    return raw, whole[: starts[0]] if starts else []


def _batches(rows: list[_Row], order: list[int], vocabulary: int, *, pads: bool) -> list[list[int]]:
    """Runs of `order` (longest first) within bounds of padded tokens and logits; of one length each unless `pads`."""
    runs: list[list[int]] = []
    widest = 0
    for i in order:
        width = max(widest, rows[i].scored + 1)
        count = len(runs[-1]) + 1 if runs else 0
        longest = len(rows[runs[-1][0]].ids) if runs else 0
        joins = pads or longest == len(rows[i].ids)
        if runs and joins and count * longest <= _BATCH_TOKENS and count * width * vocabulary <= _BATCH_LOGITS:
            runs[-1].append(i)
            widest = width
        else:
            runs.append([i])
            widest = rows[i].scored + 1
    return runs


def _logprobs(model: CausalModel, rows: list[_Row]) -> list[list[float]]:
    """Of the scored tokens of each row. Rows are padded on the left, so that what is scored ends in one column."""
    import torch

    longest = len(rows[0].ids)
    scored = max(row.scored for row in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, longest - len(row.ids) :] = torch.tensor(row.ids)
        mask[i, longest - len(row.ids) :] = 1
    given: dict[str, Any] = {"input_ids": ids.to(model.device), "use_cache": False}
    if len(rows[-1].ids) < longest:
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        given |= {"attention_mask": mask.to(model.device), "position_ids": positions.to(model.device)}
    inner = model.model.get_base_model() if hasattr(model.model, "get_base_model") else model.model
    if "logits_to_keep" in inspect.signature(inner.forward).parameters:
        given["logits_to_keep"] = scored + 1
    with torch.inference_mode(), model.lock:
        logits = model.model(**given).logits[:, -scored - 1 : -1].float()
        wanted = ids[:, -scored:].to(logits.device)
        chosen = logits.gather(2, wanted[:, :, None])[:, :, 0]
        values = (chosen - torch.logsumexp(logits, 2)).cpu()
    return [values[i, scored - row.scored :].tolist() for i, row in enumerate(rows)]
