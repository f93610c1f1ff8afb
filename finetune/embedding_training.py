"""Contrastive training of a sentence encoder, by sentence-transformers.

Loss: InfoNCE over the batch and the mined negatives (Henderson et al., 2017, https://arxiv.org/abs/1705.00652), with
gradient caching (Gao et al., 2021, https://arxiv.org/abs/2101.06983) so that the batch may be larger than what memory
holds at once; by option filtered by a guide (Solatorio, 2024, "GISTEmbed", https://arxiv.org/abs/2402.16829) and at
several lengths of the vector (Kusupati et al., 2022, "Matryoshka", https://arxiv.org/abs/2205.13147).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError
from .data.rows import TrainingRow
from .embedding_measures import Judged, evaluator_of
from .encoder_training import (
    MINI_BATCH,
    TrainedEncoder,
    check_strengths,
    fitting_batch_size,
    prepare_encoder,
    ranking_datasets,
    sentence_encoder,
    train_encoder,
)
from .options import Tell, TrainOptions

__all__ = ("EmbedderOptions", "train_embedding")

_SCALE = 20.0
"""Of the cosine in the loss: what the MiniLM family was trained with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedderOptions(TrainOptions):
    """What an embedder's training may be told besides; `batch_size` is the number of questions the loss compares."""

    loss: Literal["ranking", "guided"] = "ranking"
    """guided: what the base finds nearer to the question than its passage does not count as a negative."""
    negatives: int = 2
    """Hard negatives of a row that are used; 0: those of the batch alone."""
    matryoshka: tuple[int, ...] = ()
    """Shorter lengths of the vector that must work too, such as (192, 96)."""
    replay: float = 0.25
    """General pairs (title to text of `replay_data`) for each row of the task, against forgetting."""
    replay_data: tuple[Path, ...] = ()
    """Folders of other corpora."""
    strengths: tuple[float, ...] = (0.5, 0.75, 1.0)
    """Shares of the learned change that are tried on the dev part; the smallest that is as good as the best is kept."""

    def __post_init__(self) -> None:
        TrainOptions.__post_init__(self)
        if self.loss not in ("ranking", "guided"):
            raise UsageError(f"unknown loss {self.loss!r}", hint="use ranking or guided")
        if self.negatives < 0 or self.replay < 0:
            raise UsageError("negatives and replay cannot be below 0")
        if any(length < 1 for length in self.matryoshka):
            raise UsageError(f"matryoshka is {self.matryoshka!r}", hint="use lengths of the vector, such as 192")
        check_strengths(self.strengths)


def train_embedding(
    model: Any,
    rows: Sequence[TrainingRow],
    replay: Sequence[tuple[str, str]],
    dev: Judged,
    out: Path,
    options: EmbedderOptions,
    tell: Tell,
) -> TrainedEncoder:
    """Trains `model` in place, with checkpoints in OUT/checkpoints from which it goes on after a kill.

    The best checkpoint on `dev` is taken, then the smallest of `strengths` that is as good.
    """
    prepare_encoder(model, options, texts=min(MINI_BATCH, options.batch_size))
    query, document = prompts_of(model)
    negatives = [f"negative_{number}" for number in range(1, options.negatives + 1)]
    return train_encoder(
        model,
        ranking_datasets(rows, options.negatives, replay),
        out,
        options.updated(batch_size=fitting_batch_size(rows, options.batch_size, options.negatives)),
        tell,
        kind="sentence",
        loss=_loss(model, options),
        evaluator=evaluator_of(dev, model) if dev.queries else None,
        metric=f"eval_dev_{model.similarity_fn_name}_ndcg@10" if dev.queries else None,
        strengths=options.strengths,
        arguments={"prompts": {"query": query, **dict.fromkeys(("positive", *negatives), document)}},
    )


def prompts_of(model: Any) -> tuple[str, str]:
    """What the base puts before a query and before a document, as `encode_query` and `encode_document` do."""
    known = model.prompts
    default = known.get(model.default_prompt_name or "", "") or ""
    document = next((known[name] for name in ("document", "passage", "corpus") if known.get(name)), default)
    return known.get("query") or default, document


def _loss(model: Any, options: EmbedderOptions) -> Any:
    from sentence_transformers.sentence_transformer import losses

    size = min(MINI_BATCH, options.batch_size)
    loss: Any
    if options.loss == "guided":
        guide = sentence_encoder(options).requires_grad_(False)
        loss = losses.CachedGISTEmbedLoss(
            model, guide, temperature=1 / _SCALE, mini_batch_size=size, contrast_positives=False
        )
    else:
        # Both directions, as the base was trained: a passage must also find its question among the others.
        loss = losses.CachedMultipleNegativesRankingLoss(
            model,
            scale=_SCALE,
            mini_batch_size=size,
            directions=("query_to_doc", "doc_to_query"),
            partition_mode="per_direction",
        )
    if not options.matryoshka:
        return loss
    dimension = int(model.get_embedding_dimension())
    lengths = sorted({dimension, *options.matryoshka}, reverse=True)
    if lengths[0] > dimension:
        raise UsageError(f"matryoshka asks for {lengths[0]} numbers, but vectors have {dimension}")
    return losses.MatryoshkaLoss(model, loss, lengths)
