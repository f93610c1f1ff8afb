"""Methods of training a model further: which apply to what, and their configuration in PEFT.

lora        W x + (alpha / r) B A x in every linear layer             Hu et al., 2021, arXiv 2106.09685
qlora       lora on a base in 4-bit NF4; needs CUDA, bitsandbytes     Dettmers et al., 2023, arXiv 2305.14314
prefix      keys and values before those of every layer               Li and Liang, 2021, arXiv 2101.00190
prompt      vectors before those of the first layer                   Lester et al., 2021, arXiv 2104.08691
ia3         factors on keys, values and feed-forward activations      Liu et al., 2022, arXiv 2205.05638
bottleneck  two-layer networks behind attention and feed-forward      Houlsby et al., 2019, arXiv 1902.00751
freeze      the last two layers and the head, whole
full        every weight
linear      a logistic regression on the base's sentence vectors
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any, Literal, get_args

from ..errors import MissingExtraError, UsageError
from .options import Method, TrainOptions

__all__ = ("KINDS", "METHOD_KINDS", "Kind", "apply_freeze", "check_method", "load_arguments", "peft_config")

Kind = Literal["pair", "span", "embedder", "causal"]
"""pair: a classifier of one or two texts. span: of tokens, where an answer begins and ends. embedder: sentence vectors.
causal: a language model."""
KINDS: tuple[Kind, ...] = get_args(Kind)

METHOD_KINDS: Mapping[Method, tuple[Kind, ...]] = {
    "lora": KINDS,
    "qlora": ("pair", "causal"),
    # Sentence-transformers pools over the tokens of the text: what stands before them has no place in its mask. And an
    # embedder is loaded as a plain LoRA adapter on the shared trunk, or as a whole model.
    "prefix": ("pair", "causal"),
    "prompt": ("pair", "causal"),
    "ia3": ("pair", "causal"),
    "bottleneck": ("pair", "causal"),
    "freeze": KINDS,
    "full": KINDS,
    "linear": ("pair",),
}
"""What each method applies to."""

HEADS = ("pooler", "classifier", "score", "qa_outputs")
"""What a classifier has beside its trunk, by transformers' names; trained whole with every method that can."""
FREE_LAYERS = 2
"""Layers that `freeze` trains, the last ones (LLaMA-Factory's default); a smaller model keeps at least one frozen."""


def check_method(options: TrainOptions, kind: Kind) -> None:
    """Raises `UsageError` where the method does not apply, or needs what this machine does not have."""
    if kind not in METHOD_KINDS[options.method]:
        known = [method for method, kinds in METHOD_KINDS.items() if kind in kinds]
        raise UsageError(
            f"the method {options.method!r} does not apply to {_NAMES[kind]}", hint=f"use one of {', '.join(known)}"
        )
    if options.method not in ("full", "freeze", "linear") and importlib.util.find_spec("peft") is None:
        raise MissingExtraError("fine-tuning", "finetune")
    if options.method == "qlora":
        _check_qlora(options)


def peft_config(options: TrainOptions, kind: Kind, **extra: Any) -> Any:
    """PEFT's configuration of `options.method`; None for `full`, `freeze` and `linear`, which PEFT has no part in.

    `extra` goes to the configuration and wins, such as `trainable_token_indices` or `target_modules`. Errors as in
    `check_method`.

        >>> peft_config(TrainOptions(method="lora", rank=8), "pair").r  # doctest: +SKIP
        8
    """
    check_method(options, kind)
    if options.method in ("full", "freeze", "linear"):
        return None
    import peft

    common: dict[str, Any] = {"task_type": _TASKS[kind]}
    if options.method == "prefix":
        return peft.PrefixTuningConfig(**{**common, "num_virtual_tokens": options.rank, **extra})
    if options.method == "prompt":
        return peft.PromptTuningConfig(**{**common, "num_virtual_tokens": options.rank, **extra})
    if kind in ("pair", "span"):
        common["modules_to_save"] = list(HEADS)  # those that the model does not have are passed over
    if options.method == "ia3":
        return peft.IA3Config(**{**common, **extra})
    if options.method == "bottleneck":
        from ..models.bottleneck import BottleneckConfig, register_bottleneck

        register_bottleneck()
        return BottleneckConfig(**{**common, "width": options.rank, **extra})
    lora: dict[str, Any] = {
        "r": options.rank,
        "lora_alpha": 2 * options.rank,
        "lora_dropout": 0.05,
        "target_modules": "all-linear",
    }
    if kind != "causal":  # what is trained whole must not get a low-rank change besides
        lora["exclude_modules"] = rf"(.*\.)?({'|'.join(HEADS)})(\..*)?"
    return peft.LoraConfig(**{**common, **lora, **extra})


def apply_freeze(model: Any, options: TrainOptions) -> Any:
    """For the method `freeze`: only the last layers and the head stay trainable. Other methods: nothing changes.

    Returns the model. Raises `UsageError` for a model without a list of layers.
    """
    if options.method != "freeze":
        return model
    layers = _layers(model)
    if layers is None:
        raise UsageError(f"cannot tell the layers of {type(model).__name__}", hint="use --method lora or full")
    model.requires_grad_(False)
    for layer in list(layers)[-min(FREE_LAYERS, max(1, len(layers) - 1)) :]:
        layer.requires_grad_(True)
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in HEADS:
            module.requires_grad_(True)
    return model


def load_arguments(options: TrainOptions) -> dict[str, Any]:
    """What `from_pretrained` of the base needs beside its name: for `qlora` the quantisation."""
    if options.method != "qlora":
        return {}
    _check_qlora(options)
    import torch
    import transformers

    kind = torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    quantised = transformers.BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=kind,
        llm_int8_skip_modules=list(HEADS),
    )
    return {"quantization_config": quantised, "dtype": kind}


_TASKS: Mapping[Kind, str | None] = {
    "pair": "SEQ_CLS",
    "span": None,  # PEFT's model for QUESTION_ANS takes token types and does not hand them on
    "embedder": "FEATURE_EXTRACTION",
    "causal": "CAUSAL_LM",
}
_NAMES: Mapping[Kind, str] = {
    "pair": "classifiers of texts",
    "span": "extractive readers",
    "embedder": "embedders",
    "causal": "chat models",
}


def _check_qlora(options: TrainOptions) -> None:
    import torch

    if not torch.cuda.is_available() or (options.device or "cuda").partition(":")[0] != "cuda":
        raise UsageError("the method 'qlora' needs a CUDA GPU", hint="use --method lora: it trains on CPUs too")
    if importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("the method 'qlora' needs bitsandbytes", hint="pip install bitsandbytes, or use --method lora")


def _layers(model: Any) -> Any:
    """The longest list of like layers: the transformer's blocks."""
    from torch import nn

    lists = [module for module in model.modules() if isinstance(module, nn.ModuleList) and len(module)]
    return max(lists, key=len, default=None)
