"""Bottleneck adapters as a method of PEFT, which has none of its own.

Houlsby et al., 2019, "Parameter-Efficient Transfer Learning for NLP", https://arxiv.org/abs/1902.00751: behind the
output projection of attention and of the feed-forward block, before the residual is added, `h + up(gelu(down(h)))`.
`up` starts at zero, so that the model starts as it was. The nonlinearity is why it cannot be merged, unlike LoRA.

`register_bottleneck()` makes PEFT know `BottleneckConfig`; then `get_peft_model`, `save_pretrained` and
`PeftModel.from_pretrained` work as with every other method. Importing this imports torch and peft.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING, PEFT_TYPE_TO_TUNER_MAPPING
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from torch import nn

__all__ = ("BottleneckConfig", "BottleneckModel", "register_bottleneck")

NAME: Any = "BOTTLENECK"
TARGETS = (
    r".*\.(attention\.output\.dense|output\.dense|o_proj|down_proj|out_proj|fc2|out_lin|lin2|attn\.c_proj|mlp\.c_proj"
    r"|self_attention\.dense|attention\.dense|dense_4h_to_h)"
)
"""Output projections of attention and feed-forward blocks: of BERT, Llama, OPT, DistilBERT, GPT-2, NeoX."""


@dataclass
class BottleneckConfig(PeftConfig):
    """`adapter_config.json` of a bottleneck adapter."""

    width: int = field(default=16, metadata={"help": "Units of the bottleneck."})
    target_modules: Any = field(default=TARGETS, metadata={"help": "Linear layers behind which adapters stand."})
    exclude_modules: Any = field(default=None, metadata={"help": "Layers that stay as they are."})
    modules_to_save: list[str] | None = field(default=None, metadata={"help": "Layers trained whole, such as a head."})

    def __post_init__(self) -> None:
        super().__post_init__()  # type: ignore[no-untyped-call]
        self.peft_type = NAME
        if isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)


class BottleneckLayer(nn.Module, BaseTunerLayer):
    """A linear layer with an adapter behind it."""

    adapter_layer_names = ("bottleneck_down", "bottleneck_up")
    other_param_names = ()

    def __init__(self, base_layer: nn.Module, adapter_name: str, width: int, *, inference: bool) -> None:
        super().__init__()
        self.base_layer = base_layer
        self.bottleneck_down = nn.ModuleDict()
        self.bottleneck_up = nn.ModuleDict()
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        self._active_adapter = adapter_name
        self.out_features = _outputs(self.get_base_layer())
        self.add(adapter_name, width, inference=inference)

    def add(self, name: str, width: int, *, inference: bool) -> None:
        """One more adapter, which changes nothing yet."""
        down, up = nn.Linear(self.out_features, width), nn.Linear(width, self.out_features)
        nn.init.normal_(down.weight, std=0.02)
        for tensor in (down.bias, up.weight, up.bias):
            nn.init.zeros_(tensor)
        self.bottleneck_down[name], self.bottleneck_up[name] = down, up
        self._move_adapter_to_device_of_base_layer(name)
        self.set_adapter(self.active_adapters, inference_mode=inference)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """What the layer gives, changed by the active adapters."""
        result: torch.Tensor = self.base_layer(x, *args, **kwargs)
        if self.disable_adapters:
            return result
        for name in self.active_adapters:
            if name in self.bottleneck_down:
                down, up = self.bottleneck_down[name], self.bottleneck_up[name]
                change = up(nn.functional.gelu(down(result.to(down.weight.dtype))))
                result = result + change.to(result.dtype)
        return result


class BottleneckModel(BaseTuner):
    """PEFT's tuner of this method."""

    prefix = "bottleneck_"
    tuner_layer_cls = BottleneckLayer
    target_module_mapping: dict[str, list[str]] = {}  # noqa: RUF012 (an instance variable of the base class)

    def _create_and_replace(
        self,
        peft_config: Any,
        adapter_name: str,
        target: Any,
        target_name: str,
        parent: Any,
        current_key: str,
        parameter_name: str | None = None,
    ) -> None:
        if isinstance(target, BottleneckLayer):
            target.add(adapter_name, peft_config.width, inference=peft_config.inference_mode)
            return
        if not _outputs(target):
            raise ValueError(f"a bottleneck adapter cannot stand behind {current_key}, which is no linear layer")
        new = BottleneckLayer(target, adapter_name, peft_config.width, inference=peft_config.inference_mode)
        if adapter_name not in self.active_adapters:
            new.requires_grad_(False)
        self._replace_module(parent, target_name, new, target)


def _outputs(layer: Any) -> int:
    """Units that a linear layer (`nn.Linear`, a quantised one, GPT-2's `Conv1D`) gives; 0 for every other module."""
    return int(getattr(layer, "out_features", 0) or getattr(layer, "nf", 0))


def register_bottleneck() -> None:
    """Makes PEFT know the method; again does no harm."""
    # PEFT's own `register_peft_method` takes only what its enum lists; the tables behind it take any name.
    PEFT_TYPE_TO_CONFIG_MAPPING.setdefault(NAME, BottleneckConfig)
    PEFT_TYPE_TO_TUNER_MAPPING.setdefault(NAME, BottleneckModel)
    PEFT_TYPE_TO_PREFIX_MAPPING.setdefault(NAME, "bottleneck_")
