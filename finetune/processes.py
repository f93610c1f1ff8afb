"""A training of several processes, as `accelerate launch` or `torchrun` starts them: who writes, and what all agree on.

In a training of one process nothing here does anything.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

__all__ = ("agreed", "is_main", "main_first", "process_count", "wait_for_all")

_HOURS = 12
"""How long others wait for the first one, which builds the rows."""


def process_count() -> int:
    """Processes of this training, on all machines."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the first one, which alone writes files and talks."""
    return int(os.environ.get("RANK", "0")) == 0


def agreed(value: bool) -> bool:
    """What the first process says, in all of them: each has its own clock, and sees files at its own time."""
    if process_count() < 2:
        return value
    from accelerate.utils import broadcast_object_list

    _group()
    told = [value]
    broadcast_object_list(told, from_process=0)
    return told[0]


@contextlib.contextmanager
def main_first() -> Iterator[None]:
    """The first process goes alone, then the others, who find its files."""
    if process_count() < 2:
        yield
        return
    with _group().main_process_first():
        yield


def wait_for_all() -> None:
    """Returns when every process is here."""
    if process_count() > 1:
        _group().wait_for_everyone()


def _group() -> Any:
    import torch
    from accelerate import PartialState

    return PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(hours=_HOURS))
