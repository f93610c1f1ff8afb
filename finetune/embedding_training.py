"""Contrastive training of a sentence encoder, by sentence-transformers.

Loss: InfoNCE over the batch and the mined negatives (Henderson et al., 2017, https://arxiv.org/abs/1705.00652), with
gradient caching (Gao et al., 2021, https://arxiv.org/abs/2101.06983) so that the batch may be larger than what memory
holds at once; by option filtered by a guide (Solatorio, 2024, "GISTEmbed", https://arxiv.org/abs/2402.16829) and at
several lengths of the vector (Kusupati et al., 2022, "Matryoshka", https://arxiv.org/abs/2205.13147).
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError
from ..models.trunk import resolve_device
from .data.rows import TrainingRow
from .embedding_measures import Judged, evaluator_of
from .options import Tell, TrainOptions

__all__ = ("EmbedderOptions", "TrainedEmbedding", "load_base", "save_embedding", "train_embedding")

_MINI_BATCH = 32
"""Texts of one forward pass under gradient caching; `batch_size` is what the loss sees."""
_SCALE = 20.0
"""Of the cosine in the loss: what the MiniLM family was trained with."""
_TOLERANCE = 0.005
"""How much of nDCG@10 on the dev part a weaker change may lose against the best one."""


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
        if not self.strengths or any(not 0 < share <= 1 for share in self.strengths):
            raise UsageError(f"strengths is {self.strengths!r}", hint="use shares above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class TrainedEmbedding:
    """What the training did."""

    settings: dict[str, Any]
    curves: tuple[dict[str, float], ...] = field(repr=False)


def load_base(options: TrainOptions) -> Any:
    """The base as a `SentenceTransformer`, float32. Raises `UsageError` for a folder that is none."""
    import transformers
    from sentence_transformers import SentenceTransformer

    from ..models.artifacts import base_of

    folder, _ = base_of(options.base)
    if not (folder / "modules.json").is_file():
        raise UsageError(
            f"the base {options.base!r} is no sentence-transformers model", hint="its folder has no modules.json"
        )
    transformers.utils.logging.disable_progress_bar()
    return SentenceTransformer(str(folder), device=resolve_device(options.device), local_files_only=True)


def train_embedding(
    model: Any,
    rows: Sequence[TrainingRow],
    replay: Sequence[tuple[str, str]],
    dev: Judged,
    out: Path,
    options: EmbedderOptions,
    tell: Tell,
) -> TrainedEmbedding:
    """Trains `model` in place, with checkpoints in OUT/checkpoints from which it goes on after a kill.

    The best checkpoint on `dev` is taken, then the smallest of `strengths` that is as good: weights between the base
    and the trained ones keep more of what the base could do (Wortsman et al., 2022, https://arxiv.org/abs/2109.01903).
    """
    from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
    from sentence_transformers.base.sampler import BatchSamplers
    from transformers import PrinterCallback

    from .arguments import trainer_arguments
    from .callbacks import callbacks, last_checkpoint
    from .memory import check_memory
    from .methods import apply_freeze, peft_config

    adapter = peft_config(options, "embedder")
    if adapter is not None:
        model.add_adapter(adapter)
    else:
        apply_freeze(model, options)
    config = model.transformers_model.config
    check_memory(
        options.updated(batch_size=min(_MINI_BATCH, options.batch_size)),
        parameters=sum(each.numel() for each in model.parameters()),
        trainable=sum(each.numel() for each in model.parameters() if each.requires_grad),
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
    )

    datasets = _datasets(rows, replay, options)
    whole, model.max_seq_length = model.max_seq_length, min(options.max_tokens, model.max_seq_length or 512)
    sized = options.updated(batch_size=_batch_size(rows, options))
    evaluator = evaluator_of(dev, model) if dev.queries else None
    metric = f"eval_dev_{model.similarity_fn_name}_ndcg@10" if evaluator else None
    count = sum(len(each) for each in datasets.values())
    query, document = prompts_of(model)
    arguments = SentenceTransformerTrainingArguments(
        **{
            **trainer_arguments(sized, out, count, metric=metric),
            "batch_sampler": BatchSamplers.NO_DUPLICATES,
            "prompts": {"query": query, **dict.fromkeys(("positive", *_names(options.negatives)), document)},
        }
    )
    curves: list[dict[str, float]] = []
    start = _changed_weights(model)
    model.model_card_data.local_files_only = True

    class Trainer(SentenceTransformerTrainer):
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """None: an artifact has a card of its own."""

    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=datasets,
        loss=_loss(model, options),
        evaluator=evaluator,
        callbacks=callbacks(options, tell, curves),
    )
    trainer.remove_callback(PrinterCallback)  # stdout is for results; `callbacks` tells the rest
    began = time.perf_counter()
    done = trainer.train(resume_from_checkpoint=last_checkpoint(out))
    seconds = time.perf_counter() - began
    model.max_seq_length = whole
    model.eval()
    settings = {
        "steps": int(trainer.state.global_step),
        "seconds": round(seconds, 1),
        "training_loss": round(float(done.training_loss), 4),
        "batch_size": sized.batch_size,
        "trained_rows": {name: len(each) for name, each in datasets.items()},
        "strength": _weaken(model, start, evaluator, options, tell),
    }
    return TrainedEmbedding(settings, tuple(curves))


def save_embedding(model: Any, out: Path, base: str) -> tuple[str, ...]:
    """Writes the adapter, or the whole sentence-transformers folder; the names of the files needed to load it.

    `base` is what the adapter's configuration names as its base, instead of a path of this machine.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as name:
        draft = Path(name)
        if getattr(model.transformers_model, "peft_config", None):
            model.transformers_model.save_pretrained(str(draft))
            path = draft / "adapter_config.json"
            config = {**json.loads(path.read_text(encoding="utf-8")), "base_model_name_or_path": base}
            path.write_text(json.dumps(config, indent=1), encoding="utf-8")
        else:
            model.save_pretrained(str(draft), create_model_card=False)
        files = sorted(str(path.relative_to(draft)) for path in draft.rglob("*") if path.is_file())
        for file in files:
            (out / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.move(draft / file, out / file)
    return tuple(files)


def prompts_of(model: Any) -> tuple[str, str]:
    """What the base puts before a query and before a document, as `encode_query` and `encode_document` do."""
    known = model.prompts
    default = known.get(model.default_prompt_name or "", "") or ""
    document = next((known[name] for name in ("document", "passage", "corpus") if known.get(name)), default)
    return known.get("query") or default, document


def _names(negatives: int) -> list[str]:
    return [f"negative_{number}" for number in range(1, negatives + 1)]


def _datasets(rows: Iterable[TrainingRow], replay: Sequence[tuple[str, str]], options: EmbedderOptions) -> Any:
    """One data set for each number of negatives, since the loss wants as many in every row; and the replayed pairs."""
    from datasets import Dataset, DatasetDict

    groups: dict[int, list[TrainingRow]] = {}
    for row in rows:
        groups.setdefault(min(options.negatives, len(row["negatives"])), []).append(row)
    made = {}
    for count, group in sorted(groups.items()):
        columns = {"query": [row["query"] for row in group], "positive": [row["positive"] for row in group]}
        for at, name in enumerate(_names(count)):
            columns[name] = [row["negatives"][at] for row in group]
        made[f"negatives_{count}"] = Dataset.from_dict(columns)
    if replay:
        made["replay"] = Dataset.from_dict({"query": [a for a, _ in replay], "positive": [b for _, b in replay]})
    return DatasetDict(made)


def _batch_size(rows: Sequence[TrainingRow], options: EmbedderOptions) -> int:
    """The batch that the passages suffice for.

    A batch has no passage twice. Where a few dozen passages have thousands of questions, a large one could only be
    filled with all of them, again and again, and the loss would push every passage away from every other.
    """
    distinct = len({row["positive"] for row in rows})
    return max(2, min(options.batch_size, distinct // (2 * (1 + options.negatives))))


def _loss(model: Any, options: EmbedderOptions) -> Any:
    from sentence_transformers.sentence_transformer import losses

    size = min(_MINI_BATCH, options.batch_size)
    loss: Any
    if options.loss == "guided":
        guide = load_base(options).requires_grad_(False)
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


def _changed_weights(model: Any) -> dict[str, Any]:
    """What the training changes, before it does. Of LoRA the B matrices alone: the change is proportional to them."""
    return {
        name: value.detach().clone()
        for name, value in model.named_parameters()
        if value.requires_grad and ".lora_A." not in name
    }


def _weaken(model: Any, start: Mapping[str, Any], evaluator: Any, options: EmbedderOptions, tell: Tell) -> float:
    """Sets the weights to the smallest share of their change that is as good on the dev part as the best share."""
    import torch

    if evaluator is None:
        return 1.0
    named = dict(model.named_parameters())
    end = {name: named[name].detach().clone() for name in start}

    def go(share: float) -> None:
        with torch.no_grad():
            for name, value in start.items():
                named[name].copy_(torch.lerp(value.to(end[name].device), end[name], share))

    found: dict[float, float] = {}
    for number, share in enumerate(sorted({*options.strengths}), start=1):
        go(share)
        found[share] = float(evaluator(model)[evaluator.primary_metric])
        tell("choosing how much of the change to keep", number, len(set(options.strengths)))
    best = max(found.values())
    chosen = min(share for share, value in found.items() if value >= best - _TOLERANCE)
    go(chosen)
    return chosen
