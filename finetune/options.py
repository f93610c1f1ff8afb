"""What a training may be told, with one meaning for every recipe."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from ..errors import UsageError

__all__ = (
    "METHODS",
    "PRECISIONS",
    "SCHEDULES",
    "Method",
    "PairOptions",
    "Tell",
    "TrainOptions",
    "no_tell",
    "own_options",
)

Method = Literal["lora", "qlora", "prefix", "prompt", "ia3", "bottleneck", "freeze", "full", "linear"]
METHODS: tuple[Method, ...] = get_args(Method)
Schedule = Literal["linear", "cosine", "constant"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)
Precision = Literal["auto", "float32", "bfloat16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)

Tell = Callable[[str, int, "int | None"], None]
"""Called with what is being done, how much of it, and of how much (None: not known)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Settings of one training. Each recipe has its own defaults (`DEFAULTS` in its module)."""

    base: str = "bundled:minilm"
    """Model that is trained further."""
    method: Method = "lora"
    epochs: float = 1.0
    max_steps: int | None = None
    """Optimiser steps at most; None: as many as the epochs have."""
    max_minutes: float | None = None
    """Wall-clock time of the training itself; the best checkpoint so far is kept."""
    batch_size: int = 32
    """Rows of one forward pass."""
    accumulate: int = 1
    """Forward passes of one optimiser step."""
    learning_rate: float = 1e-3
    schedule: Schedule = "linear"
    warmup: float = 0.1
    """Share of the steps."""
    rank: int = 16
    """LoRA's r; also the width of a bottleneck adapter and the length of a prefix or a prompt."""
    max_tokens: int = 256
    """Tokens of one row, markers included; longer ones are cut."""
    patience: int | None = None
    """Evaluations without gain before the training stops early."""
    evaluations: int = 4
    """How often the dev part is looked at, and a checkpoint kept, in the whole training."""
    limit: int | None = None
    """Rows of the training part at most, drawn by seed."""
    per_set: int | None = None
    """Records (questions, claims, texts) of each data set that rows are made of at most, drawn by seed."""
    precision: Precision = "auto"
    device: str | None = None
    """`cpu`, `cuda` or `mps`; None: what is there. Which GPUs: the environment's CUDA_VISIBLE_DEVICES."""
    gradient_checkpointing: bool = False
    """Activations are computed again in the backward pass instead of kept: less memory, a third slower."""
    general: str | None = None
    """Folder of a retrieval set that forgetting is measured on, before and after."""
    loss: str | None = None
    """Of the recipes that have several, such as the reranker's `lambda`."""
    teacher: str | None = None
    """A better model that a reranker imitates: `st:PATH`, `reranker:PATH`, or `column:NAME` of the rows."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError(f"unknown method {self.method!r}", hint=f"use one of {', '.join(METHODS)}")
        positive = ("epochs", "max_steps", "max_minutes", "batch_size", "accumulate", "learning_rate", "rank")
        for name in (*positive, "evaluations", "limit", "per_set", "patience"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:  # nan is neither
                raise UsageError(f"{name} is {value!r}", hint="use a positive number")
        if not 0 <= self.warmup < 1:
            raise UsageError(f"warmup is {self.warmup!r}", hint="a share of the steps, from 0 to below 1")
        if self.max_tokens < 16:
            raise UsageError(f"max_tokens is {self.max_tokens}", hint="use at least 16")
        if self.seed < 0:
            raise UsageError(f"seed is {self.seed}", hint="use 0 or more")
        for name, known in (("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in known:
                raise UsageError(f"unknown {name} {getattr(self, name)!r}", hint=f"use one of {', '.join(known)}")
        if self.method == "prefix" and self.gradient_checkpointing:
            raise UsageError("prefixes do not train with gradient checkpointing", hint="leave one of them out")

    def updated(self, **given: Any) -> TrainOptions:
        """With what was given; None leaves a setting as it is. Raises `UsageError` for an unknown or wrong one."""
        known = {field.name for field in fields(self)}
        unknown = sorted(given.keys() - known)
        if unknown:
            raise UsageError(f"unknown training option {unknown[0]!r}", hint=f"known: {', '.join(sorted(known))}")
        settings = {name: self._of_kind(name, each) for name, each in given.items() if each is not None}
        try:
            return replace(self, **settings)
        except TypeError as error:  # a comparison of values of another kind, such as a text in a list of numbers
            told = ", ".join(f"{name}={each!r}" for name, each in settings.items())
            raise UsageError(f"a training option is of the wrong kind: {error}", hint=f"given: {told}") from error

    def own(self) -> dict[str, Any]:
        """The settings that this recipe has beside the common ones, and their defaults."""
        common = {field.name for field in fields(TrainOptions)}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in common}

    def _of_kind(self, name: str, value: Any) -> Any:
        """A value as the setting wants it: one alone for a tuple is a tuple. Raises `UsageError` for another kind."""
        default = getattr(self, name)
        if isinstance(default, tuple) and isinstance(value, str | int | float | Path):
            value = (value,)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        whole = number and value == int(value) if number and math.isfinite(value) else False
        wanted = {
            bool: (isinstance(value, bool), "true or false"),
            int: (whole, "a whole number"),
            float: (number, "a number"),
            str: (isinstance(value, str), "a text"),
            tuple: (not isinstance(value, dict), "a list"),
        }
        fits, kind = wanted.get(type(default), (True, ""))
        if not fits:
            raise UsageError(f"{name} is {value!r}", hint=f"use {kind}")
        return int(value) if type(default) is int else tuple(value) if isinstance(value, list) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class PairOptions(TrainOptions):
    """Of classifiers of text pairs besides."""

    start: str | None = None
    """An artifact of the same base whose adapter the training goes on from, as `evaluator:bundled`: who knows what a
    passage answers learns sooner what it supports. Method `lora`, of the same rank."""


_Own = TypeVar("_Own", bound=TrainOptions)


def own_options(options: TrainOptions, kind: type[_Own]) -> _Own:
    """The options as a role's own; what it has besides is by default where they are the plain ones of every recipe."""
    if isinstance(options, kind):
        return options
    given = {each.name: getattr(options, each.name) for each in fields(TrainOptions)}
    return kind(**{name: value for name, value in given.items() if value is not None})


def no_tell(text: str, done: int, total: int | None) -> None:
    """Tells nobody."""
