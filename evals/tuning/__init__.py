"""Tuning: settings that are better than the defaults on the user's own questions, or the word that there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .report import render_report
    from .result import Tuned
    from .sets import load_tuning_sets
    from .tuner import tune

__all__ = ("Tuned", "load_tuning_sets", "render_report", "tune")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "report": ["render_report"],
        "result": ["Tuned"],
        "sets": ["load_tuning_sets"],
        "tuner": ["tune"],
    },
)
