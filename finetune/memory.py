"""Whether memory will suffice, before a training begins.

What a step needs: weights, gradients and AdamW's two moments in float32, and the activations that the backward pass
reads: in 16 bit `34 h + 5 a s` bytes a token and layer, h hidden units, a heads, s tokens (Korthikanti et al., 2022,
"Reducing Activation Recomputation in Large Transformer Models", https://arxiv.org/abs/2205.05198, equation 1); on GPUs
fused attention keeps no `a s`. LoRA keeps the inputs and outputs of its matrices besides. With gradient checkpointing
it is one vector a layer, and one layer at a time. A language model adds its logits. Beside what processes took on a CPU
for a 6-layer BERT of width 384 (LoRA in float32, full in float32 and bfloat16), sums are right within a tenth.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from ..errors import UsageError
from .arguments import uses_bfloat16
from .options import TrainOptions

__all__ = ("available_memory", "check_memory", "needed_memory")

_FLOAT = 4
_ACTIVATION_BYTES = 34
_ATTENTION_BYTES = 5
_ADAPTER_BYTES = 80  # of a hidden unit, LoRA in all linear layers, with dropout
_LIBRARIES = 300 * 2**20  # what a process has grown by when torch has computed its first step
_GB = 2**30


def check_memory(
    options: TrainOptions,
    *,
    parameters: int,
    trainable: int,
    hidden: int,
    layers: int,
    vocabulary: int = 0,
    loaded: bool = False,
) -> None:
    """Raises `UsageError`, with what is needed, what there is and what to lower, where a training would not fit.

    Args:
        options: batch size, tokens, precision, device.
        parameters: of the model.
        trainable: those that are trained.
        hidden: units of a layer.
        layers: how many.
        vocabulary: of a language model, whose logits are kept; 0: there are none.
        loaded: the weights are in memory already, so that what is free is free of them.
    """
    needed = needed_memory(
        options, parameters=parameters, trainable=trainable, hidden=hidden, layers=layers, vocabulary=vocabulary
    )
    free = available_memory(options.device)
    if free is None:
        return
    if loaded:
        free += needed["weights"]
    total = sum(needed.values())
    if total <= free:
        return
    fixed = total - needed["activations"]
    if fixed > free:
        hint = "use --method lora, or a smaller --base" if trainable > parameters / 4 else "use a smaller --base"
    else:
        fits = int(options.batch_size * (free - fixed) / max(1, needed["activations"]))
        hint = (
            f"try --batch-size {fits} --accumulate {-(-options.batch_size * options.accumulate // fits)}"
            if fits
            else ""
        )
        more = "" if options.gradient_checkpointing or options.method == "prefix" else "--gradient-checkpointing"
        hint = " or ".join(filter(None, (hint, f"fewer --max-tokens (now {options.max_tokens})", more)))
    parts = ", ".join(f"{name} {_size(count)}" for name, count in needed.items())
    raise UsageError(f"the training needs about {_size(total)} of memory ({parts}); {_size(free)} are free", hint=hint)


def needed_memory(
    options: TrainOptions, *, parameters: int, trainable: int, hidden: int, layers: int, vocabulary: int = 0
) -> dict[str, int]:
    """Bytes by what they are for; see `check_memory`."""
    frozen = 0.55 if options.method == "qlora" else _FLOAT  # NF4 with its constants
    tokens = options.batch_size * options.max_tokens
    fused = _on_gpu(options.device)
    # On CPUs autocast keeps float32 copies: as much memory as without it.
    width = 1 if fused and uses_bfloat16(options) else 2
    a_layer = hidden * (_ACTIVATION_BYTES + (_ADAPTER_BYTES if options.method in ("lora", "qlora") else 0)) * width
    if not fused:
        a_layer += _ATTENTION_BYTES * max(1, hidden // (64 if hidden >= 512 else 32)) * options.max_tokens * width
    per_token = layers * a_layer
    if options.gradient_checkpointing:
        per_token = layers * hidden * 2 * width + a_layer
    return {
        "weights": int((parameters - trainable) * frozen + trainable * _FLOAT),
        "optimiser": trainable * _FLOAT * 3,
        "activations": tokens * (per_token + vocabulary * _FLOAT * 3),
        "libraries": _LIBRARIES,
    }


def available_memory(device: str | None) -> int | None:
    """Bytes that a training may take on the device; None where nobody can tell."""
    import torch

    if _on_gpu(device):
        return int(torch.cuda.mem_get_info()[0])
    try:
        psutil: Any = importlib.import_module("psutil")
    except ImportError:
        return None
    return min(int(psutil.virtual_memory().available), _container_limit())


def _on_gpu(device: str | None) -> bool:
    import torch

    return torch.cuda.is_available() and (device or "cuda").startswith("cuda")


def _container_limit() -> int:
    """What a container (control group) leaves; without one, no bound."""
    for limit, used in _GROUPS:
        try:
            taken = int(Path(used).read_text()) - _given_back(Path(used).with_name("memory.stat"))
            return max(0, int(Path(limit).read_text()) - taken)
        except (OSError, ValueError):  # absent, or "max"
            continue
    return 1 << 62


def _given_back(stat: Path) -> int:
    """Bytes that count as used and are not: files that were read, and that the system forgets when it needs room."""
    lines = dict(line.split() for line in stat.read_text().splitlines()) if stat.is_file() else {}
    return int(lines.get("inactive_file", lines.get("total_inactive_file", 0)))


_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def _size(count: float) -> str:
    return f"{count / _GB:.1f} GB" if count >= _GB / 10 else f"{count / 2**20:.0f} MB"
