"""Finetune: small models for the graphs, trained on your own documents, measured, and loaded back by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .options import METHODS, TrainOptions
    from .recipe import Built, Outcome, Recipe, recipe_of
    from .run import finetune

__all__ = (
    "METHODS",
    "Built",
    "Outcome",
    "Recipe",
    "TrainOptions",
    "finetune",
    "recipe_of",
)

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "options": ["METHODS", "TrainOptions"],
        "recipe": ["Built", "Outcome", "Recipe", "recipe_of"],
        "run": ["finetune"],
    },
)
