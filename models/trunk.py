"""Sentence encoders loaded once per process: tokenizer, weights and pooling of one sentence-transformers folder.

A trunk is shared by everyone who names the same folder, device and dtype: the embedder, and the critics that put their
adapters on it for a forward pass. BERT folders (MiniLM, BGE, E5, GTE small ...) are run by `bert.BertEncoder`, every
other architecture by sentence-transformers itself.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ModelError, UsageError

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

    from .lora import AdapterSlot, LoraAdapter

__all__ = ("Dtype", "Trunk", "is_plain_bert", "load_trunk", "resolve_device", "resolve_dtype")

Dtype = Literal["auto", "float32", "bfloat16"]

_trunks: dict[tuple[str, str, str], Trunk] = {}
_trunks_lock = threading.Lock()


class Trunk:
    """One loaded encoder. `forward` and `hidden` must be called inside `adapted`."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        """Read the settings and the tokenizer of `folder`; a subclass loads the weights."""
        from tokenizers import Tokenizer

        self.folder = folder
        self.device = device
        self.dtype = dtype
        self.lock = threading.RLock()
        self.tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_truncation()  # the file often carries both; lengths must be true and batches are padded here
        self.tokenizer.no_padding()
        settings = _read(folder / "config_sentence_transformers.json")
        prompts = settings.get("prompts") or {}
        default = prompts.get(settings.get("default_prompt_name") or "", "")
        self.query_prompt: str = prompts.get("query") or default
        self.document_prompt: str = next((prompts[name] for name in _DOCUMENT if prompts.get(name)), default)
        self.module: torch.nn.Module
        self.dimension: int
        self.max_tokens: int
        self.pad_id: int = 0
        self._slot: AdapterSlot | None = None

    @contextlib.contextmanager
    def adapted(self, adapter: LoraAdapter | None) -> Iterator[None]:
        """Nobody else runs the encoder inside; it runs with `adapter`, or as it came."""
        from .lora import AdapterSlot

        with self.lock:
            if self._slot is None and adapter is not None:
                self._slot = AdapterSlot(self.layers)
            if self._slot is not None:
                self._slot.switch(adapter)
            yield

    @property
    def layers(self) -> torch.nn.Module:
        """The transformer itself: what an adapter's layer names are relative to."""
        return self.module

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor | None) -> torch.Tensor:
        """States of the last layer `(batch, length, dimension)`; `types` is 1 at tokens of a pair's second text."""
        raise NotImplementedError

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Sentence vectors `(batch, dimension)`, float32, not normalised; `mask` is True at real tokens."""
        raise NotImplementedError


_DOCUMENT = ("document", "passage", "corpus")  # the names sentence-transformers' encode_document looks for, in order


class _BertTrunk(Trunk):
    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        super().__init__(folder, device, dtype)
        import torch

        from .bert import BertEncoder, load_weights

        config = _read(folder / "config.json")
        # Not on torch's meta device: that imports sympy (1 s). Not with the caller's random numbers either.
        with torch.random.fork_rng(devices=[]):
            module = BertEncoder(config)
        load_weights(module, str(folder / "model.safetensors"), dtype=dtype, device=device)
        self.module = module.eval().requires_grad_(False)
        self.pad_id = config.get("pad_token_id") or 0
        self.dimension = config["hidden_size"]
        limits: list[Any] = [
            config["max_position_embeddings"],
            _read(folder / "tokenizer_config.json").get("model_max_length"),
            _read(folder / "sentence_bert_config.json").get("max_seq_length"),
        ]
        known: list[int] = [int(limit) for limit in limits if limit]
        self.max_tokens = min(known)
        self.first_token = _pooling_modes(folder) == {"cls"}

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor | None) -> torch.Tensor:
        result: torch.Tensor = self.module(ids, mask, types)
        return result

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        hidden = self.hidden(ids, mask, None)
        if self.first_token:
            return hidden[:, 0].float()
        if mask is None:
            return hidden.mean(1, dtype=_float32())
        weights = mask.to(hidden.dtype)[:, None, :]
        return (weights @ hidden)[:, 0].float() / mask.sum(1, keepdim=True)


class _GeneralTrunk(Trunk):
    """Any text model of sentence-transformers that has a fast tokenizer."""

    def __init__(self, folder: Path, device: str, dtype: torch.dtype) -> None:
        super().__init__(folder, device, dtype)
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging as transformers_logging

        # "Loading weights: 100%" has no place in a command's output.
        transformers_logging.disable_progress_bar()
        model = SentenceTransformer(
            str(folder), device=device, local_files_only=True, model_kwargs={"dtype": dtype, "use_safetensors": None}
        )
        self.module = model.eval().requires_grad_(False)
        self.pad_id = int(getattr(model.tokenizer, "pad_token_id", None) or 0)
        self.dimension = int(model.get_embedding_dimension() or 0)
        self._layers: Any = model.transformers_model
        limit: Any = model.max_seq_length or getattr(model.tokenizer, "model_max_length", 512)
        self.max_tokens = min(int(limit), 1 << 20)

    @property
    def layers(self) -> torch.nn.Module:
        return self._layers if self._layers is not None else self.module

    def hidden(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor | None) -> torch.Tensor:
        raise UsageError(f"{str(self.folder)!r} is no BERT: adapters of critics do not run on it")

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        import torch

        whole = torch.ones_like(ids) if mask is None else mask.long()
        result: torch.Tensor = self.module({"input_ids": ids, "attention_mask": whole})["sentence_embedding"]
        return result.float()


def load_trunk(folder: Path, *, device: str | None = None, dtype: Dtype = "auto") -> Trunk:
    """The encoder in `folder`, loaded on first use and shared afterwards.

    Raises `UsageError` for a folder that is no sentence-transformers model, `ModelError` for one that does not load.
    """
    place = resolve_device(device)
    kind = resolve_dtype(dtype, place)
    key = (str(folder.resolve()), place, str(kind))
    with _trunks_lock:
        if key not in _trunks:
            _trunks[key] = _load(folder, place, kind)
        return _trunks[key]


def resolve_device(device: str | None) -> str:
    """`device` itself, else `cuda` when there is one, else `cpu`."""
    import torch

    if device:
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_dtype(dtype: Dtype, device: str) -> torch.dtype:
    """bfloat16 where the hardware multiplies it, else float32."""
    import torch

    from .cpu import supports_bfloat16

    if dtype == "float32":
        return torch.float32
    if dtype == "bfloat16":
        return torch.bfloat16
    if device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = device == "cpu" and supports_bfloat16()
    return torch.bfloat16 if fast else torch.float32


def _load(folder: Path, device: str, dtype: torch.dtype) -> Trunk:
    if not (folder / "modules.json").is_file():
        raise UsageError(f"{str(folder)!r} is not a sentence-transformers model folder", hint="it has no modules.json")
    if not (folder / "tokenizer.json").is_file():
        raise UsageError(
            f"{str(folder)!r} has no tokenizer.json", hint="only models with a fast tokenizer are supported"
        )
    try:
        return (_BertTrunk if is_plain_bert(folder) else _GeneralTrunk)(folder, device, dtype)
    except Exception as error:  # torch, safetensors and tokenizers each raise their own for a damaged file
        raise ModelError(f"cannot load the embedder in {str(folder)!r}: {type(error).__name__}: {error}") from error


def is_plain_bert(folder: Path) -> bool:
    """Whether a sentence-transformers folder is run by `BertEncoder`: adapters of critics run on no other."""
    from .bert import supported

    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in _modules(folder)]
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return False
    if not (folder / "model.safetensors").is_file() or not supported(_read(folder / "config.json")):
        return False
    pooling = _read(folder / _pooling(folder) / "config.json")
    simple = _pooling_modes(folder) in ({"mean"}, {"cls"}) and pooling.get("include_prompt", True)
    return simple and not _read(folder / "sentence_bert_config.json").get("do_lower_case")


def _pooling_modes(folder: Path) -> set[str]:
    """How sentence vectors are pooled: one flag for each mode, or since sentence-transformers 6 one name or several."""
    pooling = _read(folder / _pooling(folder) / "config.json")
    named = pooling.get("pooling_mode")
    if named:
        return {named} if isinstance(named, str) else set(named)
    flags = {name for name, value in pooling.items() if name.startswith("pooling_mode_") and value is True}
    return {{"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}.get(name, name) for name in flags}


def _modules(folder: Path) -> list[dict[str, Any]]:
    modules: list[dict[str, Any]] = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return modules


def _pooling(folder: Path) -> str:
    return str(_modules(folder)[1]["path"])


def _read(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where the file is absent (all but config.json are optional)."""
    if not path.is_file():
        return {}
    value = json.loads(path.read_text(encoding="utf-8"))
    return value if isinstance(value, dict) else {}


def _float32() -> torch.dtype:
    import torch

    return torch.float32
