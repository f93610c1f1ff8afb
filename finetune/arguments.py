"""Our options as keyword arguments of transformers' `TrainingArguments` and its children."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .options import TrainOptions
from .processes import process_count

__all__ = ("CHECKPOINTS", "processes", "trainer_arguments", "training_steps", "uses_bfloat16")

CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints in the out folder."""
_SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}
_CURVE_POINTS = 50  # how often the loss is written down


def trainer_arguments(
    options: TrainOptions, out: Path, rows: int, *, metric: str | None, greater_is_better: bool = True
) -> dict[str, Any]:
    """Keyword arguments for `TrainingArguments` and what sentence-transformers and TRL derive from it.

    Args:
        options: the settings; several processes or GPUs each take `batch_size` rows.
        out: checkpoints go into `out/checkpoints`.
        rows: of the train part.
        metric: of the dev part, by which the best checkpoint is chosen, such as `eval_loss`; None: no dev part.
        greater_is_better: whether more of the metric is better.

    Raises `UsageError` for a device that is not there, and for early stopping without a metric.
    """
    cpu = _on_cpu(options.device)
    steps = training_steps(options, rows)
    every = max(1, math.ceil(steps / options.evaluations))
    if metric is None and options.patience:
        raise UsageError("patience needs a dev part to look at", hint="leave --patience out, or give more documents")
    chosen: dict[str, Any] = {"eval_strategy": "no"}
    if metric is not None:
        chosen = {
            "eval_strategy": "steps",
            "eval_steps": every,
            "load_best_model_at_end": True,
            "metric_for_best_model": metric,
            "greater_is_better": greater_is_better,
        }
    if options.gradient_checkpointing:
        # Re-entrant checkpointing gives frozen trunks no gradients.
        chosen |= {"gradient_checkpointing": True, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    return {
        "output_dir": str(out / CHECKPOINTS),
        "per_device_train_batch_size": options.batch_size,
        "per_device_eval_batch_size": options.batch_size,
        "gradient_accumulation_steps": options.accumulate,
        "num_train_epochs": options.epochs,
        "max_steps": steps if options.max_steps else -1,  # would train on beyond the epochs otherwise
        "learning_rate": options.learning_rate,
        "lr_scheduler_type": _SCHEDULES[options.schedule],
        "warmup_steps": math.ceil(steps * options.warmup),
        "logging_strategy": "steps",
        "logging_steps": max(1, steps // _CURVE_POINTS),
        "logging_first_step": True,
        "save_strategy": "steps",
        "save_steps": every,
        "save_total_limit": 2,  # the best and the last
        "restore_callback_states_from_checkpoint": True,
        "bf16": uses_bfloat16(options),
        "use_cpu": cpu,
        "dataloader_pin_memory": not cpu,
        "seed": options.seed,
        "data_seed": options.seed,
        "report_to": [],
        "disable_tqdm": True,
        **chosen,
    }


def training_steps(options: TrainOptions, rows: int) -> int:
    """Optimiser steps of the whole training, as the trainer counts them: those of the epochs, `max_steps` at most."""
    batches = max(1, math.ceil(rows / (options.batch_size * processes(options))))
    steps = max(1, math.ceil(max(1, math.ceil(batches / options.accumulate)) * options.epochs))
    return min(steps, options.max_steps or steps)


def processes(options: TrainOptions) -> int:
    """How many batches are computed side by side: processes of `accelerate launch` or `torchrun`, else GPUs."""
    if process_count() > 1 or _on_cpu(options.device):
        return process_count()
    import torch

    return max(1, torch.cuda.device_count())


def uses_bfloat16(options: TrainOptions) -> bool:
    """Whether matrices are multiplied in bfloat16; weights and gradients stay in float32."""
    import torch

    from ..models.trunk import resolve_dtype

    device = "cpu" if _on_cpu(options.device) else (options.device or "cuda")
    if device.startswith("mps"):
        return options.precision == "bfloat16"
    return resolve_dtype(options.precision, device) == torch.bfloat16


def _on_cpu(device: str | None) -> bool:
    import torch

    kind, _, index = (device or "").partition(":")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not kind:
        return not (there["cuda"] or there["mps"])
    if kind not in there:
        raise UsageError(f"unknown device {device!r}", hint="use cpu, cuda or mps")
    if not there[kind]:
        known = ", ".join(name for name, found in there.items() if found)
        raise UsageError(f"this machine has no device {device!r}", hint=f"it has: {known}")
    if index:
        raise UsageError(
            f"a training is not told which GPU to use by {device!r}",
            hint=f"set CUDA_VISIBLE_DEVICES={index} and use --device {kind}",
        )
    return kind == "cpu"
