"""What a recipe is: a module with the same five names, read from top to bottom.

ROLE       the role it trains
SUMMARY    one line for `ragloom finetune list`
METHODS    the methods that apply
DEFAULTS   its `TrainOptions`
build      data folders to rows
train      rows to an artifact: trains, chooses on the dev part, calibrates, measures on the test part
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ..evals.jsonl import Problem
from ..models.artifacts import DataSource
from ..models.specs import TRAINED_ROLES, TrainedRole
from .data.parts import Part
from .options import Method, Tell, TrainOptions

__all__ = ("Built", "Outcome", "Recipe", "recipe_of", "recipes")


@dataclass(frozen=True, slots=True)
class Built:
    """Rows of a role, on disk: a file for each part."""

    files: dict[Part, Path]
    counts: dict[Part, int]
    sources: tuple[DataSource, ...]
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    """What was left out or found, such as duplicates and leaks, for the card."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a training gives beside its files: everything that the manifest and the card need."""

    labels: tuple[str, ...] = ()
    inputs: str = ""
    metrics: dict[str, Any] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    scale: float = 1.0
    shift: tuple[float, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    """As trained: steps, seconds, what stopped it ..."""
    curves: tuple[dict[str, float], ...] = ()
    """The trainer's log: step, loss, learning rate, metrics of the dev part."""
    files: tuple[str, ...] = ()
    """Names in the out folder that are needed to load the result."""
    data: tuple[DataSource, ...] = ()
    """What was trained on beside the rows."""


class Recipe(Protocol):
    """The five names of a recipe's module."""

    ROLE: TrainedRole
    SUMMARY: str
    METHODS: tuple[Method, ...]
    DEFAULTS: TrainOptions

    def build(self, data: Sequence[Path], out: Path, options: TrainOptions, tell: Tell) -> Built:
        """Rows of the data folders and files, written below `out`. Bad data is named with file and line."""

    def train(self, built: Built, out: Path, options: TrainOptions, tell: Tell) -> Outcome:
        """Trains on the train part and writes what is needed to load the result into `out`."""


def recipe_of(role: TrainedRole) -> Recipe:
    """The recipe of a role; its libraries are not imported before it runs."""
    module: Any = importlib.import_module(f".recipes.{role}", __package__)
    return module


def recipes() -> Iterator[Recipe]:
    """All recipes."""
    return (recipe_of(role) for role in TRAINED_ROLES)
