"""LoRA adapters on a loaded trunk: read from PEFT's files, switched on for one forward pass, off again.

Why our own for inference: importing `peft` takes as long as importing transformers, and an adapter on `BertEncoder` is
two small matrix products per layer. Training is PEFT's; the files are PEFT's. Method: Hu et al., 2021, "LoRA",
https://arxiv.org/abs/2106.09685: `W x + scale * B (A x)`, `scale = alpha / r` (rank-stabilised: `alpha / sqrt(r)`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactError

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ("AdapterSlot", "LoraAdapter", "is_plain_lora")

_PREFIXES = ("base_model.model.", "base_model.", "bert.", "model.", "0.auto_model.", "auto_model.")


class LoraAdapter:
    """One adapter: a pair of matrices for each changed layer, and the weights that were trained whole (the head)."""

    def __init__(self, folder: Path, *, device: str, dtype: torch.dtype) -> None:
        """Read `adapter_config.json` and `adapter_model.safetensors`. Raises `ArtifactError` for what does not fit."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        if not is_plain_lora(config):
            raise ArtifactError(f"{str(folder)!r} is no plain LoRA adapter", hint="load it through transformers")
        try:
            weights = load_file(str(folder / "adapter_model.safetensors"), device=device)
        except (OSError, SafetensorError) as error:
            raise ArtifactError(f"the adapter in {str(folder)!r} does not load: {error}") from error
        alpha, rank = float(config["lora_alpha"]), int(config["r"])
        scale = alpha / rank**0.5 if config.get("use_rslora") else alpha / rank
        self.deltas: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        self.whole: dict[str, torch.Tensor] = {}
        """Weights beside the trunk, float32, by their names without PEFT's prefixes: `classifier.weight` ..."""
        for name, value in weights.items():
            if name.endswith(".lora_A.weight"):
                other = weights.get(name.replace(".lora_A.", ".lora_B."))
                if other is None:
                    raise ArtifactError(f"the adapter in {str(folder)!r} has {name} without its B matrix")
                self.deltas[_layer(name)] = (value.to(dtype), (other.float() * scale).to(dtype))
            elif ".lora_" in name and not name.endswith(".lora_B.weight"):  # such as those of an embedding
                raise ArtifactError(f"the adapter in {str(folder)!r} changes more than linear layers: {name}")
            elif ".lora_B." not in name:
                self.whole[_layer(name)] = value.float()


class AdapterSlot:
    """The place of a module where one adapter at a time is switched on. The caller holds the trunk's lock."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._layers = dict(module.named_modules())
        self._hooked: set[str] = set()
        self._active: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def switch(self, adapter: LoraAdapter | None) -> None:
        """Make `adapter` the active one; None: the trunk as it came. Raises `ArtifactError` for an unknown layer."""
        deltas = adapter.deltas if adapter else {}
        for name in deltas.keys() - self._hooked:
            layer = self._layers.get(name)
            if layer is None:
                raise ArtifactError(f"the adapter changes a layer {name!r} that its base model does not have")
            layer.register_forward_hook(self._hook(name))
            self._hooked.add(name)
        self._active = deltas

    def _hook(self, name: str) -> Any:
        def add(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor:
            delta = self._active.get(name)
            if delta is None:
                return output
            down, up = delta
            return output + (inputs[0] @ down.T) @ up.T

        return add


def is_plain_lora(config: dict[str, Any]) -> bool:
    """Whether an `adapter_config.json` describes what `LoraAdapter` computes, and nothing besides."""
    return (
        config.get("peft_type") == "LORA"
        and config.get("bias", "none") == "none"
        and not any(config.get(name) for name in _NOT_PLAIN)
    )


_NOT_PLAIN = (
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "lora_bias",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
)
"""Options of PEFT's LoRA under which a layer computes something else."""


def _layer(name: str) -> str:
    """PEFT's name of a weight as the trunk's name of its layer."""
    changed = True
    while changed:
        changed = False
        for prefix in _PREFIXES:
            if name.startswith(prefix):
                name, changed = name.removeprefix(prefix), True
    for middle in (".lora_A.weight", ".modules_to_save"):
        name = name.replace(middle, "")
    return name
