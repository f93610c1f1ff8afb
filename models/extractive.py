"""Extractive readers: which words of which passage answer a question, and how surely any do.

A question and a passage go through the encoder as one sequence; two logits a token say how well an answer begins and
ends there, and those of the first position that the passage holds none. A span's score is its logits less those of none
(Devlin et al., 2019, "BERT", https://arxiv.org/abs/1810.04805, section 4.3); of several passages the span with the
highest score is the answer, as in Karpukhin et al., 2020, "DPR", https://arxiv.org/abs/2004.04906, section 6.1. LoRA
adapters run on the one trunk in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArtifactError
from .artifacts import Artifact, open_artifact
from .batching import batches, pad
from .lora import LoraAdapter
from .pair_classifier import encode_pairs, trunk_of
from .trunk import Dtype, Trunk, resolve_device, resolve_dtype
from .weights import Progress
from .windows import MARKERS, pack_windows, word_spans

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from tokenizers import Encoding

__all__ = ("AnswerSpan", "ExtractiveReader", "load_extractive_reader")

LONGEST = 24
"""Tokens of an answer at most."""
BAR = "|"
"""Between the cells of a table in Markdown."""


@dataclass(frozen=True, slots=True)
class AnswerSpan:
    """Words that may answer: `passages[passage][start:end]`."""

    passage: int
    start: int
    end: int
    score: float
    """Logits of beginning and end less those of no answer."""


class ExtractiveReader:
    """Finds answers in passages. Thread-safe.

    >>> reader = load_extractive_reader("reader:bundled")  # doctest: +SKIP
    >>> reader.best("Who wrote Emma?", ["Emma is a novel by Jane Austen."])  # doctest: +SKIP
    AnswerSpan(passage=0, start=19, end=30, score=6.1)
    """

    def __init__(self, head: Any, artifact: Artifact, *, batch_tokens: int | None = None) -> None:
        """Wrap a loaded head; `batch_tokens` bounds one forward pass, padding included."""
        self.artifact, self._head = artifact, head
        self.max_tokens = artifact.manifest.max_tokens
        self.batch_tokens = batch_tokens or (4096 if head.device == "cpu" else 65536)

    @classmethod
    def of(
        cls, artifact: Artifact, *, device: str | None = None, dtype: Dtype = "auto", progress: Progress | None = None
    ) -> ExtractiveReader:
        """The reader of an artifact that is at hand, such as one that was just trained."""
        place = resolve_device(device)
        trunk = trunk_of(artifact, place, dtype, progress)
        if trunk is not None:
            return cls(_TrunkSpans(trunk, artifact.folder), artifact)
        from .transformers_head import TransformersHead

        kind = resolve_dtype(dtype, place)
        return cls(TransformersHead(artifact, device=place, dtype=kind, progress=progress, spans=True), artifact)

    def best(self, question: str, passages: Sequence[str]) -> AnswerSpan | None:
        """The span with the highest score; None where no passage has a word."""
        return max(self.spans(question, passages), key=lambda span: span.score, default=None)

    def spans(self, question: str, passages: Sequence[str]) -> list[AnswerSpan]:
        """The best span of each passage that has a word, in their order; long passages are read in windows."""
        windows = [
            (number, start, end) for number, text in enumerate(passages) for start, end in self._windows(question, text)
        ]
        best: dict[int, AnswerSpan] = {}
        for (number, offset, _), found in zip(windows, self._read(question, passages, windows), strict=True):
            if found is None:
                continue
            start, end, score = found
            if number not in best or score > best[number].score:
                best[number] = AnswerSpan(number, offset + start, offset + end, score)
        return list(best.values())

    def count_tokens(self, text: str) -> int:
        """Tokens of one text, without the markers around it."""
        return len(self._head.tokenizer.encode(text, add_special_tokens=False))

    def _windows(self, question: str, text: str) -> list[tuple[int, int]]:
        words = word_spans(text)
        room = self.max_tokens - MARKERS
        room = max(1, room - min(self.count_tokens(question), room // 2))
        if not words or self.count_tokens(text) <= room:
            return [(0, len(text))] if words else []
        return pack_windows(words, [self.count_tokens(text[slice(*word)]) for word in words], room)

    def _read(
        self, question: str, passages: Sequence[str], windows: Sequence[tuple[int, int, int]]
    ) -> list[tuple[int, int, float] | None]:
        """Start, end and score of each window's best span, from the window's beginning."""
        pairs = [(question, passages[number][start:end]) for number, start, end in windows]
        rows = encode_pairs(self._head.tokenizer, pairs, self.max_tokens, offsets=True)
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
        found: list[tuple[int, int, float] | None] = [None] * len(rows)
        for batch in batches([len(rows[i]) for i in order], self.batch_tokens):
            chosen = [order[i] for i in batch]
            ids, mask = pad([rows[i].ids for i in chosen], self._head.pad_id, self._head.device)
            types, _ = pad([rows[i].type_ids for i in chosen], 0, self._head.device)
            for i, logits in zip(chosen, self._head.logits(ids, mask, types).float().cpu().numpy(), strict=True):
                found[i] = _best_span(rows[i], pairs[i][1], logits)
        return found


class _TrunkSpans:
    """The two logits of each token, on the shared trunk with one adapter."""

    def __init__(self, trunk: Trunk, folder: Path) -> None:
        self.tokenizer, self.pad_id, self.device = trunk.tokenizer, trunk.pad_id, trunk.device
        self._trunk, self._adapter = trunk, LoraAdapter(folder, device=trunk.device, dtype=trunk.dtype)
        names = ("qa_outputs.weight", "qa_outputs.bias")
        if any(name not in self._adapter.whole for name in names):
            raise ArtifactError(f"the adapter in {str(folder)!r} has no {names[0]}", hint="it is no extractive reader")
        self._weight, self._bias = (self._adapter.whole[name] for name in names)

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor) -> torch.Tensor:
        """Of beginning and end `(batch, length, 2)`, float32."""
        import torch

        with torch.inference_mode(), self._trunk.adapted(self._adapter):
            return self._trunk.hidden(ids, mask, types).float() @ self._weight.T + self._bias


def _best_span(row: Encoding, text: str, logits: NDArray[Any]) -> tuple[int, int, float] | None:
    """Start and end in the second text, and the score; None where nothing of that text was left.

    An answer lies within one cell of a table: no span crosses a bar.
    """
    inside = [at for at, sequence in enumerate(row.sequence_ids) if sequence == 1]
    bars = np.array([text[slice(*row.offsets[at])].strip() == BAR for at in inside])
    if bars.all():
        return None
    first, last = inside[0], inside[-1] + 1
    sums = logits[first:last, 0][:, None] + logits[first:last, 1][None, :]
    length = np.arange(last - first)[None, :] - np.arange(last - first)[:, None] + 1
    cell = np.cumsum(bars)
    within = (cell[:, None] == cell[None, :]) & ~bars[:, None]
    sums = np.where((length >= 1) & (length <= LONGEST) & within, sums, -np.inf)
    begin, end = np.unravel_index(int(sums.argmax()), sums.shape)
    score = float(sums[begin, end] - logits[0].sum())
    return row.offsets[first + begin][0], row.offsets[first + end][1], score


def load_extractive_reader(
    spec: str, *, device: str | None = None, dtype: Dtype = "auto", progress: Progress | None = None
) -> ExtractiveReader:
    """The reader that `spec` names, `reader:bundled` or `reader:PATH`. Errors as in `open_artifact`."""
    return ExtractiveReader.of(open_artifact(spec, "reader"), device=device, dtype=dtype, progress=progress)
