"""Attention without dropout, which makes training faster on CPUs.

PyTorch's fused attention has no dropout on CPUs: with it, whole matrices of weights are written and read again several
times in each layer. The dropout of hidden states stays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ("without_attention_dropout",)


def without_attention_dropout(model: nn.Module) -> int:
    """Sets the dropout of attention weights to 0; how many layers that changed."""
    from torch import nn

    changed = 0
    for module in model.modules():
        own = getattr(module, "dropout", None)
        if type(module).__name__.endswith("Attention") and isinstance(own, nn.Dropout) and own.p:
            own.p = 0.0
            changed += 1
    return changed
