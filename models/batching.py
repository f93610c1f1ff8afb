"""Batches of like length: what padding costs is bounded by tokens, not by texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ("batches", "pad")


def batches(lengths: Sequence[int], budget: int) -> list[range]:
    """Cut descending `lengths` into runs whose padded size, count times the longest, is at most `budget`.

    >>> batches([5, 4, 2, 2], 8)
    [range(0, 1), range(1, 3), range(3, 4)]
    """
    runs: list[range] = []
    start = 0
    while start < len(lengths):
        size = max(1, budget // max(1, lengths[start]))
        runs.append(range(start, min(start + size, len(lengths))))
        start += size
    return runs


def pad(rows: Sequence[Sequence[int]], value: int, device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Rows of token ids, longest first, as one tensor, and where its real tokens are.

    The mask is None where no row is padded: attention then takes its faster path.
    """
    import torch

    longest = len(rows[0])
    padded = np.full((len(rows), longest), value, dtype=np.int64)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    ids = torch.from_numpy(padded).to(device)
    if len(rows[-1]) == longest:
        return ids, None
    lengths = torch.tensor([len(row) for row in rows], device=device)
    return ids, torch.arange(longest, device=device)[None] < lengths[:, None]
