"""NeMo Guardrails: a guard from a NeMo configuration, with our rails as NeMo actions. Needs `ragloom[guardrails]`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from .actions import rail_action
    from .configuration import copy_config
    from .guard import NeMoGuard
    from .runnable import GuardedRunnable

__all__ = ("GuardedRunnable", "NeMoGuard", "copy_config", "rail_action")

# Each name is imported on first use.
__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "actions": ["rail_action"],
        "configuration": ["copy_config"],
        "guard": ["NeMoGuard"],
        "runnable": ["GuardedRunnable"],
    },
)
