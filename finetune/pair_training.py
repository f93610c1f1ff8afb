"""Training of classifiers of text pairs: evaluator, support critic, utility, retrieve and reranker.

Sentence-transformers' `CrossEncoderTrainer` does the training: one label by binary cross-entropy, whose targets may be
shares of yes, several by cross-entropy, lists by LambdaLoss (Wang et al., 2018) or ListNet (Cao et al., 2007), and a
teacher's margins by MarginMSE (Hofstätter et al., 2020, https://arxiv.org/abs/2010.02666). What is measured afterwards
is the artifact, loaded as users load it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingExtraError, UsageError
from ..models.artifacts import Artifact, Calibration, Manifest, base_of
from ..models.pair_classifier import PairClassifier, probabilities_of
from .arguments import trainer_arguments, uses_bfloat16
from .artifact_files import store_half
from .attention import without_attention_dropout
from .calibration import expected_calibration_error, fit_calibration, reliability
from .callbacks import callbacks, last_checkpoint, seconds_spent
from .forgetting import general_change, mean_states
from .memory import check_memory
from .methods import apply_freeze, check_method, load_arguments, peft_config
from .options import Tell, TrainOptions
from .pair_losses import loss_of, loss_rows
from .pair_rows import Examples, PairTask, check_classes, read_examples, some
from .recipe import Built, Outcome
from .warm_start import open_start, start_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = (
    "DEV_ROWS",
    "LOSSES",
    "Examples",
    "PairTask",
    "Scored",
    "Trained",
    "calibrated_parts",
    "draft_artifact",
    "train_pairs",
)

LOSSES = ("pointwise", "lambda", "listnet", "margin")
DEV_ROWS = 2000
"""Rows of the dev part that are looked at while training goes on; afterwards all are."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Rows of a part with what the artifact says of them."""

    examples: Examples
    logits: NDArray[Any]
    probabilities: NDArray[Any]
    """Calibrated."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained classifier, measured."""

    task: PairTask
    dev: Scored
    test: Scored
    calibration: Calibration
    files: tuple[str, ...]
    settings: dict[str, Any]
    general: Mapping[str, Any]
    """What the base lost (`forgetting.general_change`)."""
    curves: tuple[dict[str, float], ...] = field(default=(), repr=False)

    def calibration_report(self) -> dict[str, Any]:
        """Expected calibration error on the test part, before and after, and the bins of it for the card."""
        targets = self.test.examples.targets
        before = probabilities_of(self.test.logits, Calibration())
        return {
            "ece_uncalibrated": round(expected_calibration_error(before, targets), 4),
            "ece": round(expected_calibration_error(self.test.probabilities, targets), 4),
            "reliability": reliability(self.test.probabilities, targets),
        }

    def outcome(
        self,
        metrics: Mapping[str, Any],
        *,
        thresholds: Mapping[str, float] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """What the recipe gives back."""
        rows = {"rows": len(self.test.examples.rows)}
        return Outcome(
            labels=self.task.labels,
            inputs=self.task.inputs,
            metrics={**rows, **metrics, **self.calibration_report(), "general": dict(self.general)},
            thresholds=dict(thresholds or {}),
            scale=self.calibration.scale,
            shift=self.calibration.shift,
            settings={**self.settings, **(settings or {})},
            curves=self.curves,
            files=self.files,
        )


def train_pairs(
    built: Built,
    task: PairTask,
    out: Path,
    options: TrainOptions,
    tell: Tell,
    *,
    loss: str = "pointwise",
) -> Trained:
    """Trains on the train part, calibrates on the dev part, scores dev and test part with the artifact in `out`.

    `loss` is one of `LOSSES`; `margin` imitates `options.teacher`. A training that was cut off goes on at its last
    checkpoint. Raises `UsageError` for data, options or a base that cannot be trained, before the training.
    """
    check_method(options, "pair")
    if loss not in LOSSES:
        raise UsageError(f"unknown loss {loss!r}", hint=f"use one of {', '.join(LOSSES)}")
    if (options.teacher and loss != "margin") or (options.loss or loss) != loss:
        name, value = ("teacher", options.teacher) if options.teacher else ("loss", options.loss)
        raise UsageError(f"{name} {value!r} does not apply to {task.role}", hint=f"leave --{name} out")
    parts = {part: read_examples(built, task, part) for part in ("train", "dev", "test")}
    train = parts["train"]
    check_classes(train, task)
    rows, per_batch = loss_rows(train, loss, len(task.labels), options, tell)
    log: list[dict[str, float]] = []
    with _quiet():
        trainer, model = _trainer(
            rows, parts["dev"], task, out, replace(options, batch_size=per_batch), tell, loss, log
        )
        if loss == "pointwise":
            trainer.lengths = _token_counts(model, train.pairs)
        done = trainer.train(resume_from_checkpoint=last_checkpoint(out))
        files = _save(model, out, write=trainer.is_world_process_zero())
        trainer.accelerator.wait_for_everyone()
    settings = {
        "loss": loss,
        "trained_rows": len(train.rows),
        "steps": int(done.global_step),
        "best": trainer.state.best_metric,
        "metric": task.metric,
        "seconds": round(seconds_spent(out), 1),
    }
    tell("measuring", 0, None)
    with _quiet():
        general = _forgotten(model, options)
    classifier = PairClassifier.of(draft_artifact(task, out, options), device=options.device, dtype=options.precision)
    logits = {part: classifier.logits(parts[part].pairs) for part in ("dev", "test")}
    return calibrated_parts(task, parts, logits, files=files, settings=settings, general=general, curves=log)


def calibrated_parts(
    task: PairTask,
    parts: Mapping[str, Examples],
    logits: Mapping[str, NDArray[Any]],
    *,
    files: tuple[str, ...],
    settings: dict[str, Any],
    general: Mapping[str, Any],
    curves: Sequence[dict[str, float]],
) -> Trained:
    """Calibrates the artifact's logits of the dev part, and what they say of dev and test part."""
    fitted = fit_calibration(logits["dev"], parts["dev"].targets)
    scored = {part: Scored(parts[part], found, probabilities_of(found, fitted)) for part, found in logits.items()}
    return Trained(task, scored["dev"], scored["test"], fitted, files, settings, general, tuple(curves))


def _trainer(
    rows: Sequence[dict[str, Any]],
    dev: Examples,
    task: PairTask,
    out: Path,
    options: TrainOptions,
    tell: Tell,
    loss: str,
    log: list[dict[str, float]],
) -> tuple[Any, Any]:
    if any(importlib.util.find_spec(name) is None for name in ("accelerate", "datasets")):
        raise MissingExtraError("fine-tuning", "finetune")
    import datasets
    from sentence_transformers.cross_encoder import CrossEncoderTrainingArguments
    from transformers import set_seed

    from .pair_trainer import DevScores, PairTrainer

    seen = some(dev, DEV_ROWS)

    def measure(logits: NDArray[Any]) -> dict[str, float]:
        found = task.measure(seen, probabilities_of(logits, Calibration()))
        # Equal predictions have no rank correlation, say: that is as bad as it gets, and no reason to break off.
        return {task.metric: 0.0} | {name: float(value) for name, value in found.items() if value is not None}

    dice: NDArray[Any] = np.random.default_rng(0).normal(size=(len(seen.rows), len(task.labels)))
    if task.measure(seen, probabilities_of(dice, Calibration())).get(task.metric) is None:
        raise UsageError(
            f"{task.metric} cannot be measured on the dev part", hint="it needs rows of every kind: give more documents"
        )
    set_seed(options.seed)
    model = _model(task, options)
    arguments = trainer_arguments(options, out, len(rows), metric=f"eval_{task.metric}")
    trainer = PairTrainer(
        model=model,
        args=CrossEncoderTrainingArguments(**arguments),
        train_dataset=datasets.Dataset.from_list(list(rows)),
        loss=loss_of(model, loss, len(task.labels)),
        evaluator=DevScores(seen.pairs, measure, batch_size=64, bfloat16=uses_bfloat16(options)),
        callbacks=callbacks(options, tell, log),
    )
    return trainer, model


def _token_counts(model: Any, pairs: Sequence[tuple[str, str]]) -> list[int]:
    from .pair_trainer import token_counts

    return token_counts(model, pairs)


def _model(task: PairTask, options: TrainOptions) -> Any:
    """The base with a new head, and what the method adds to it. CrossEncoder makes of a sentence-transformers folder a
    sequence classifier with the pooler's own weights."""
    from .pair_trainer import PairEncoder

    path, _ = base_of(options.base)
    start = open_start(options)
    try:
        model: Any = PairEncoder(
            str(path),
            num_labels=len(task.labels),
            device=options.device,
            local_files_only=True,
            model_kwargs=load_arguments(options),
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UsageError(
            f"{options.base!r} does not load as a classifier: {error}", hint="use bundled:minilm, st:PATH or hf:PATH"
        ) from error
    config = model.config
    places = getattr(config, "max_position_embeddings", None)
    taken = options.rank if options.method in ("prefix", "prompt") else 0
    if places and options.max_tokens + taken > places:
        raise UsageError(
            f"{options.base!r} reads {places} tokens, not {options.max_tokens + taken}",
            hint=f"use --max-tokens {places - taken} or fewer",
        )
    if not getattr(model.tokenizer, "is_fast", False):
        raise UsageError(f"{options.base!r} has no fast tokenizer", hint="it needs tokenizer.json")
    model.max_tokens = options.max_tokens
    inner = apply_freeze(model[0].model, options)
    without_attention_dropout(inner)
    adapter = peft_config(options, "pair")
    if adapter is not None:
        from peft import get_peft_model

        inner = get_peft_model(inner, adapter)
        inner.peft_config["default"].base_model_name_or_path = options.base  # not where this machine keeps it
        if start is not None:
            start_from(inner, start)
    model[0].model = inner
    sizes = [(value.numel(), value.requires_grad) for value in inner.parameters()]
    check_memory(
        options,
        parameters=sum(count for count, _ in sizes),
        trainable=sum(count for count, trained in sizes if trained),
        hidden=config.hidden_size,
        layers=config.num_hidden_layers,
        loaded=True,
    )
    return model


def _forgotten(model: Any, options: TrainOptions) -> dict[str, Any]:
    """What the training did to the sentence vectors under the head."""
    from .pair_trainer import PairEncoder, network

    base: Any = PairEncoder(str(base_of(options.base)[0]), num_labels=1, device=model.device, local_files_only=True)
    before, after = (
        partial(mean_states, network(each), model.tokenizer, max_tokens=options.max_tokens) for each in (base, model)
    )
    return general_change(before, after, retrieval=options.general)


def _save(model: Any, out: Path, *, write: bool) -> tuple[str, ...]:
    """Writes what is needed to load the result, in one process of several; the names of the files."""
    from .pair_trainer import network, save_network

    whole = not hasattr(network(model), "peft_config")
    if write:
        save_network(model, out)
    if whole:
        if write:
            model.tokenizer.save_pretrained(str(out))
        return ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    if write:
        store_half(out)  # what is measured is what was saved
    return ("adapter_config.json", "adapter_model.safetensors")


def draft_artifact(task: PairTask, out: Path, options: TrainOptions) -> Artifact:
    """What was just trained, ready to load; the manifest on disk is written when all is measured."""
    draft = Manifest(
        role=task.role,
        name="draft",
        base=base_of(options.base)[1],
        method=options.method,
        files={},
        labels=task.labels,
        max_tokens=options.max_tokens,
    )
    return Artifact(out, draft)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The libraries need not tell that a classifier is made of an embedder: that is what was asked for."""
    loggers = [logging.getLogger(name) for name in ("sentence_transformers", "transformers")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
