"""Causal base models for training: `bundled:smollm2`, `gguf:PATH` (both dequantised once, the very numbers that
llama.cpp computes with) and `hf:PATH`, a transformers folder.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..models.causal_model import causal_folder
from ..models.trunk import resolve_device, resolve_dtype
from .methods import load_arguments
from .options import Tell, TrainOptions, no_tell

__all__ = ("base_folder", "load_base", "load_tokenizer", "model_size")

_LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}  # else it would ask on the terminal


def base_folder(spec: str, *, tell: Tell = no_tell) -> Path:
    """The transformers folder of a base model. Raises `UsageError` for what is no causal language model."""
    folder = causal_folder(spec, lambda done, total: tell("fetching the base model", done, total))
    names = _config(folder, spec).get("architectures") or []
    if names and not any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names):
        raise UsageError(f"{spec!r} is a {names[0]}, no causal language model", hint="use bundled:smollm2")
    return folder


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a base or of an artifact, with a padding token. `UsageError` where it has no chat template."""
    from transformers import AutoTokenizer

    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(str(folder), **_LOCAL)
    except Exception as error:  # tokenizers and transformers each raise their own for a damaged file
        raise _unloadable("tokenizer", folder, error) from error
    if not tokenizer.chat_template:
        raise UsageError(
            f"the model in {str(folder)!r} has no chat template",
            hint="use an instruction-tuned model, or put a chat_template.jinja into its folder",
        )
    if tokenizer.eos_token_id is None:
        raise UsageError(f"the tokenizer in {str(folder)!r} has no end-of-sequence token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_base(folder: Path, options: TrainOptions) -> Any:
    """The model of a folder, on the options' device, ready for an adapter.

    What stays frozen is held in bfloat16 where the machine computes in it; weights that are trained are float32.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    device = resolve_device(options.device)
    frozen = options.method not in ("full", "freeze")
    dtype = resolve_dtype(options.precision, device) if frozen else torch.float32
    kwargs = {"dtype": dtype, **load_arguments(options)}
    if str(device) == "cpu":  # fused attention takes a third longer there for rows of a few hundred tokens
        kwargs["attn_implementation"] = "eager"
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), **_LOCAL, **kwargs)
    except Exception as error:  # safetensors and transformers each raise their own for a damaged file
        raise _unloadable("base model", folder, error) from error
    # An adapter names its base by this. A path of this machine means nothing on another one, and PEFT would compare
    # the vocabulary with it and save all embeddings where tokens were added.
    model.config._name_or_path = model.name_or_path = ""
    return model if options.method == "qlora" else model.to(device)


def model_size(folder: Path, spec: str = "") -> dict[str, int]:
    """Parameters, hidden size, layers and vocabulary of a folder's model, without loading its weights."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config: Any = AutoConfig.from_pretrained(str(folder), **_LOCAL)
        with torch.device("meta"):
            model: Any = AutoModelForCausalLM.from_config(config)
    except ValueError as error:
        raise UsageError(f"{spec or str(folder)!r} is no causal language model: {error}") from error
    except Exception as error:  # an architecture refuses sizes that do not fit together in its own way
        raise _unloadable("base model", folder, error) from error
    text = config.get_text_config()
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "hidden": int(text.hidden_size),
        "layers": int(text.num_hidden_layers),
        "vocabulary": int(text.vocab_size),
    }


def _unloadable(what: str, folder: Path, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())[:300]
    return UsageError(f"the {what} in {str(folder)!r} does not load: {type(error).__name__}: {reason}")


def _config(folder: Path, spec: str) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the base model {spec!r} has no readable config.json: {error}") from error
    return config
