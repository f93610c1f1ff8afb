"""Supervised fine-tuning of causal models: TRL's `SFTTrainer` on a prompt and its completion.

The loss is that of the completion alone; parts of it can be left out span by span (retrieved text). Prompt and
completion are tokenised apart and joined, as at inference, where the prompt is all there is.
"""

from __future__ import annotations

import importlib
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingExtraError, UsageError
from ..evals.jsonl import Problem
from ..models.artifacts import loadable_files
from ..models.specs import TrainedRole
from .arguments import trainer_arguments
from .artifact_files import store_half
from .callbacks import callbacks, last_checkpoint
from .causal_base import model_size
from .completion_loss import IGNORED, completion_trainer
from .data.parts import Part
from .data.rows import TrainingRow, read_rows
from .memory import check_memory
from .methods import apply_freeze, peft_config
from .options import Tell, TrainOptions
from .recipe import Built

__all__ = ("IGNORED", "Example", "Trained", "check_size", "examples", "part_rows", "prompt_ids", "train_causal")

Example = dict[str, list[int]]
"""input_ids and labels."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model, still in memory, and what is known about its training."""

    model: Any
    log: list[dict[str, float]]
    settings: dict[str, Any]
    files: tuple[str, ...]


def part_rows(
    built: Built, role: TrainedRole, part: Part, limit: int | None = None, seed: int = 0
) -> list[TrainingRow]:
    """The rows of one part; at most `limit`, drawn by seed."""
    problems: list[Problem] = []
    rows = list(read_rows(built.files[part], role, problems)) if part in built.files else []
    if limit is not None and len(rows) > limit:
        kept = sorted(random.Random(seed).sample(range(len(rows)), limit))
        rows = [rows[at] for at in kept]
    return rows


def prompt_ids(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> list[int]:
    """Token ids of chat messages and of the opening of the answer, by the tokenizer's own template."""
    text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]  # the template has written its markers
    return ids


def examples(
    rows: Sequence[TrainingRow], encode: Callable[[TrainingRow], Example | None], tell: Tell, part: Part
) -> tuple[list[Example], int]:
    """What to train on, and how many rows were too long for it."""
    made: list[Example] = []
    for number, row in enumerate(rows, start=1):
        example = encode(row)
        if example is not None:
            made.append(example)
        if number % 500 == 0 or number == len(rows):
            tell(f"tokenising the {part} part", number, len(rows))
    return made, len(rows) - len(made)


def check_size(folder: Path, options: TrainOptions, extra: Mapping[str, Any]) -> None:
    """Raises `UsageError` where memory will not suffice, before any weight is loaded."""
    size = model_size(folder)
    check_memory(options, trainable=_trainable(folder, options, extra), loaded=False, **size)


def train_causal(
    model: Any,
    tokenizer: Any,
    parts: Mapping[Part, Sequence[Example]],
    out: Path,
    options: TrainOptions,
    tell: Tell,
    *,
    extra: Mapping[str, Any] | None = None,
) -> Trained:
    """Train on the train part, keep what is best on the dev part, and write it into `out`.

    Args:
        model: the base, as `causal_base.load_base` gives it.
        tokenizer: its tokenizer; written too where the whole model is, or tokens were added.
        parts: examples; without a dev part the last state is kept.
        out: where it goes; a checkpoint there is gone on from.
        options: how to train.
        tell: progress.
        extra: of the PEFT configuration, such as `trainable_token_indices`.
    """
    try:
        datasets: Any = importlib.import_module("datasets")  # neither library has type stubs
        trl: Any = importlib.import_module("trl")
    except ImportError as error:
        raise MissingExtraError("fine-tuning", "finetune") from error
    from transformers import PrinterCallback

    train, dev = list(parts.get("train", ())), list(parts.get("dev", ()))
    if not train:
        raise UsageError("no row of the train part fits", hint=f"max_tokens is {options.max_tokens}: raise it")
    adapter = _adapter(options, extra or {})
    arguments: dict[str, Any] = {
        "gradient_checkpointing": False,
        **trainer_arguments(options, out, len(train), metric="eval_loss" if dev else None, greater_is_better=False),
        "max_length": None,  # rows were cut already, and never within an answer
        # Grouped by length, rows would come from long to short in a few sweeps, and the kinds of rows with them: what
        # short rows do, such as to abstain, would be learnt last.
        "train_sampling_strategy": "random",
    }
    log: list[dict[str, float]] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # names of settings that transformers 6 will have
        trainer: Any = completion_trainer(trl.SFTTrainer, model, cpu=bool(arguments["use_cpu"]))(
            model=apply_freeze(model, options),
            args=trl.SFTConfig(**arguments),
            train_dataset=datasets.Dataset.from_list(train),
            eval_dataset=datasets.Dataset.from_list(dev) if dev else None,
            processing_class=tokenizer,
            peft_config=adapter,
            callbacks=callbacks(options, tell, log),
        )
    _let_head_be_read(trainer.model)
    trainer.remove_callback(PrinterCallback)  # it writes to stdout, which belongs to the result
    with _as_computed(trainer.model, bool(arguments["bf16"]) and adapter is not None):
        result = trainer.train(resume_from_checkpoint=last_checkpoint(out))
    settings = {
        "steps": int(result.global_step),
        "train_loss": round(float(result.training_loss), 4),
        "trainable_parameters": sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad),
        "train_examples": len(train),
        "dev_examples": len(dev),
    }
    best = trainer.state.best_metric
    if best is not None:
        settings["dev_loss"] = round(float(best), 4)
    trained: Any = trainer.accelerator.unwrap_model(trainer.model).eval()
    words = bool((extra or {}).get("trainable_token_indices"))
    files = _save(trained, tokenizer, out, adapter is not None, words) if trainer.is_world_process_zero() else ()
    return Trained(trained, log, settings, files)


def _adapter(options: TrainOptions, extra: Mapping[str, Any]) -> Any:
    # A language model has none of the heads of a classifier, and PEFT warns where nothing is excluded. Two passes over
    # the data do not overfit so few weights, and dropout takes an eighth of a step on a CPU.
    unused = {"exclude_modules": None, "lora_dropout": 0.0} if options.method in ("lora", "qlora") else {}
    return peft_config(options, "causal", **unused, **extra)


_CASTS = "cast_input_dtype_enabled"


@contextmanager
def _as_computed(model: Any, half: bool) -> Iterator[None]:
    """In bfloat16 PEFT casts what comes into an adapter to the float32 of its weights, and autocast casts it back.

    PEFT's own `disable_input_dtype_casting` breaks off at layers without that switch: new tokens, IA3, ours.
    """
    casting = [each for each in model.modules() if half and getattr(each, _CASTS, False)]
    for each in casting:
        setattr(each, _CASTS, False)
    try:
        yield
    finally:
        for each in casting:
            setattr(each, _CASTS, True)


def _let_head_be_read(model: Any) -> None:
    """TRL reads weight and bias of the output layer; PEFT's wrapper around one with new tokens has no bias to read.

    Its weight is whole: the trained rows are in it, and gradients reach them.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = inner.get_output_embeddings()
    if not hasattr(head, "bias"):
        head.bias = None


def _save(model: Any, tokenizer: Any, out: Path, is_adapter: bool, words: bool) -> tuple[str, ...]:
    """Write what is needed to load it; returns the names of the files."""
    import torch

    out.mkdir(parents=True, exist_ok=True)
    if is_adapter:
        model.save_pretrained(str(out), save_embedding_layers=False)
        if store_half(out):
            with torch.no_grad():  # rounded in memory as well, so that what is measured is what was written
                for weight in model.parameters():
                    if weight.requires_grad:
                        weight.copy_(weight.half().to(weight.dtype))
    else:
        model.save_pretrained(str(out), max_shard_size="1TB")  # one file, whose hash is the base of what comes after
    if words or not is_adapter:
        tokenizer.save_pretrained(str(out))
    return tuple(loadable_files(out))


def _trainable(folder: Path, options: TrainOptions, extra: Mapping[str, Any]) -> int:
    """Weights that a method trains, counted on a model without memory."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config: Any = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        model: Any = AutoModelForCausalLM.from_config(config)
        adapter = _adapter(options, {k: v for k, v in extra.items() if k != "trainable_token_indices"})
        if adapter is None:
            model = apply_freeze(model, options)
        else:
            import peft

            model = peft.get_peft_model(model, adapter)
    count = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    added = sum(len(rows) for rows in (extra.get("trainable_token_indices") or {}).values())
    return count + added * int(config.get_text_config().hidden_size)
