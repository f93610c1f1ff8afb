"""What every encoder's training has in common: sentence-transformers' trainers, with our progress and checkpoints.

An embedder (`embedding_training`) and a late-interaction reranker (`late_training`) differ in the model, the loss and
what they are measured by; rows, adapters, resuming and the choice of how much of the change is kept are the same.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import UsageError
from ..models.trunk import resolve_device
from .artifact_files import store_half
from .data.rows import TrainingRow
from .options import Tell, TrainOptions
from .processes import is_main, wait_for_all

__all__ = (
    "MINI_BATCH",
    "EncoderKind",
    "TrainedEncoder",
    "check_strengths",
    "fitting_batch_size",
    "prepare_encoder",
    "ranking_datasets",
    "save_encoder",
    "sentence_encoder",
    "train_encoder",
)

MINI_BATCH = 32
"""Texts of one forward pass; `batch_size` is the number of questions that the loss sees."""
_TOLERANCE = 0.005
"""How much of nDCG@10 on the dev part a weaker change may lose against the best one."""

EncoderKind = Literal["sentence", "multi_vector"]


@dataclass(frozen=True, slots=True)
class TrainedEncoder:
    """What the training did."""

    settings: dict[str, Any]
    curves: tuple[dict[str, float], ...] = field(repr=False)


def check_strengths(strengths: Sequence[float]) -> None:
    """Raises `UsageError` for what are no shares of a change."""
    if not strengths or any(not 0 < share <= 1 for share in strengths):
        raise UsageError(f"strengths is {strengths!r}", hint="use shares above 0 and at most 1")


def sentence_encoder(options: TrainOptions) -> Any:
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


def prepare_encoder(model: Any, options: TrainOptions, *, texts: int) -> None:
    """Adds what the method trains, and raises `UsageError` where memory will not suffice for `texts` at once."""
    from transformers import set_seed

    from .attention import without_attention_dropout
    from .memory import check_memory
    from .methods import apply_freeze, peft_config

    without_attention_dropout(model)
    set_seed(options.seed)  # an adapter's first weights are drawn before the trainer sets its seed
    adapter = peft_config(options, "embedder")
    if adapter is not None:
        model.add_adapter(adapter)
    else:
        apply_freeze(model, options)
    config = model.transformers_model.config
    check_memory(
        options.updated(batch_size=texts),
        parameters=sum(each.numel() for each in model.parameters()),
        trainable=sum(each.numel() for each in model.parameters() if each.requires_grad),
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        loaded=True,
    )


def train_encoder(
    model: Any,
    datasets: Any,
    out: Path,
    options: TrainOptions,
    tell: Tell,
    *,
    kind: EncoderKind,
    loss: Any,
    evaluator: Any,
    metric: str | None,
    strengths: Sequence[float],
    arguments: Mapping[str, Any] | None = None,
) -> TrainedEncoder:
    """Trains `model` in place, with checkpoints in OUT/checkpoints from which it goes on after a kill.

    The best checkpoint by `metric` is taken, then the smallest of `strengths` that is as good: weights between the base
    and the trained ones keep more of what the base could do (Wortsman et al., 2022, https://arxiv.org/abs/2109.01903).
    Without an `evaluator` the last weights stay. `arguments` are the trainer's own, beside those of every training.
    """
    from sentence_transformers.base.sampler import BatchSamplers
    from transformers import PrinterCallback

    from .arguments import trainer_arguments
    from .callbacks import callbacks, last_checkpoint, seconds_spent

    trainer_class, arguments_class = _classes(kind)
    whole, model.max_seq_length = model.max_seq_length, min(options.max_tokens, model.max_seq_length or 512)
    count = sum(len(each) for each in datasets.values())
    curves: list[dict[str, float]] = []
    start = _changed_weights(model)
    model.model_card_data.local_files_only = True
    trainer = trainer_class(
        model=model,
        args=arguments_class(
            **{
                **trainer_arguments(options, out, count, metric=metric),
                "batch_sampler": BatchSamplers.NO_DUPLICATES,
                **(arguments or {}),
            }
        ),
        train_dataset=datasets,
        loss=loss,
        evaluator=evaluator,
        callbacks=callbacks(options, tell, curves),
    )
    trainer.remove_callback(PrinterCallback)  # stdout is for results; `callbacks` tells the rest
    done = trainer.train(resume_from_checkpoint=last_checkpoint(out))
    model.max_seq_length = whole
    model.eval()
    settings = {
        "steps": int(trainer.state.global_step),
        "seconds": round(seconds_spent(out), 1),
        "training_loss": round(float(done.training_loss), 4),
        "batch_size": options.batch_size,
        "trained_rows": {name: len(each) for name, each in datasets.items()},
        "strength": _weaken(model, start, evaluator, strengths, tell),
    }
    return TrainedEncoder(settings, tuple(curves))


def save_encoder(model: Any, out: Path, base: str, *, half: bool = False) -> tuple[str, ...]:
    """Writes the adapter, or the whole sentence-transformers folder; the names of the files needed to load it.

    Of several processes the first one writes, and knows the names. `base` is what the adapter's configuration names as
    its base, instead of a path of this machine; `half`: an adapter's weights are stored in half precision.
    """
    files = _write_encoder(model, out, base, half=half) if is_main() else ()
    wait_for_all()
    return files


def _write_encoder(model: Any, out: Path, base: str, *, half: bool) -> tuple[str, ...]:
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
    if half and (out / "adapter_config.json").is_file():
        store_half(out)
    return tuple(files)


def ranking_datasets(rows: Iterable[TrainingRow], negatives: int, replay: Sequence[tuple[str, str]] = ()) -> Any:
    """{query, positive, negatives} as data sets: one for each number of negatives, at most `negatives`, since the loss
    wants as many in every row; and one of the `replay`ed pairs."""
    from datasets import Dataset, DatasetDict

    groups: dict[int, list[TrainingRow]] = {}
    for row in rows:
        groups.setdefault(min(negatives, len(row["negatives"])), []).append(row)
    made = {}
    for count, group in sorted(groups.items()):
        columns = {"query": [row["query"] for row in group], "positive": [row["positive"] for row in group]}
        for at in range(count):
            columns[f"negative_{at + 1}"] = [row["negatives"][at] for row in group]
        made[f"negatives_{count}"] = Dataset.from_dict(columns)
    if replay:
        made["replay"] = Dataset.from_dict({"query": [a for a, _ in replay], "positive": [b for _, b in replay]})
    return DatasetDict(made)


def fitting_batch_size(rows: Sequence[TrainingRow], batch_size: int, negatives: int) -> int:
    """The batch that the passages suffice for.

    A batch has no passage twice. Where a few dozen passages have thousands of questions, a large one could only be
    filled with all of them, again and again, and the loss would push every passage away from every other.
    """
    distinct = len({row["positive"] for row in rows})
    return max(2, min(batch_size, distinct // (2 * (1 + negatives))))


def _classes(kind: EncoderKind) -> tuple[Any, Any]:
    """Trainer and arguments of sentence-transformers."""
    import sentence_transformers as st

    trainer: Any = st.SentenceTransformerTrainer if kind == "sentence" else st.MultiVectorEncoderTrainer

    class Trainer(trainer):
        def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
            """None: an artifact has a card of its own."""

    arguments = (
        st.SentenceTransformerTrainingArguments if kind == "sentence" else st.MultiVectorEncoderTrainingArguments
    )
    return Trainer, arguments


def _changed_weights(model: Any) -> dict[str, Any]:
    """What the training changes, before it does. Of LoRA the B matrices alone: the change is proportional to them."""
    return {
        name: value.detach().clone()
        for name, value in model.named_parameters()
        if value.requires_grad and ".lora_A." not in name
    }


def _weaken(model: Any, start: Mapping[str, Any], evaluator: Any, strengths: Sequence[float], tell: Tell) -> float:
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
    for number, share in enumerate(sorted({*strengths}), start=1):
        go(share)
        found[share] = float(evaluator(model)[evaluator.primary_metric])
        tell("choosing how much of the change to keep", number, len(set(strengths)))
    best = max(found.values())
    chosen = min(share for share, value in found.items() if value >= best - _TOLERANCE)
    go(chosen)
    return chosen
