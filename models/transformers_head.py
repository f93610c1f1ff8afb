"""Heads that do not run on the shared trunk: any architecture and any PEFT method, by transformers and peft."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..errors import ArtifactError, MissingExtraError
from .artifacts import Artifact
from .weights import Progress

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

__all__ = ("TransformersHead",)


class TransformersHead:
    """A sequence classifier of transformers: whole in the artifact's folder, or PEFT's adapter on the base."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        device: str,
        dtype: torch.dtype,
        progress: Progress | None = None,
        spans: bool = False,
    ) -> None:
        """Load it. Raises `ArtifactError` where transformers cannot, `MissingExtraError` where peft is needed.

        `spans`: it is no classifier of texts but one of tokens, where an answer begins and ends.
        """
        import transformers

        folder = artifact.folder
        adapted = (folder / "adapter_config.json").is_file()
        source = str(artifact.base_path(progress) if adapted else folder)
        task = transformers.AutoModelForQuestionAnswering if spans else transformers.AutoModelForSequenceClassification
        load = task.from_pretrained
        try:
            with _quiet():
                tokenizer = transformers.AutoTokenizer.from_pretrained(source, local_files_only=True)
                if adapted:
                    heads = {} if spans else {"num_labels": len(artifact.manifest.labels)}
                    model: Any = load(source, **heads, dtype=dtype, local_files_only=True)
                    model = _peft().PeftModel.from_pretrained(model, str(folder))
                else:
                    model = load(source, dtype=dtype, local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ArtifactError(f"cannot load {str(folder)!r}: {type(error).__name__}: {error}") from error
        if not tokenizer.is_fast:
            raise ArtifactError(f"{str(folder)!r} has no fast tokenizer (tokenizer.json)")
        self.device = device
        self.tokenizer: Tokenizer = tokenizer.backend_tokenizer
        self.tokenizer.no_truncation()
        self.tokenizer.no_padding()
        self.pad_id = int(tokenizer.pad_token_id or 0)
        self.outputs = int(model.config.num_labels)
        self._spans = spans
        self._model = model.to(device).eval().requires_grad_(False)
        self._types = "token_type_ids" in tokenizer.model_input_names
        self._lock = threading.Lock()

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor) -> torch.Tensor:
        """Logits `(batch, labels)`; of beginning and end `(batch, length, 2)` where those are wanted."""
        import torch

        whole = torch.ones_like(ids) if mask is None else mask.long()
        given = {"input_ids": ids, "attention_mask": whole, **({"token_type_ids": types} if self._types else {})}
        with torch.inference_mode(), self._lock:
            said = self._model(**given)
        result: torch.Tensor = torch.stack((said.start_logits, said.end_logits), -1) if self._spans else said.logits
        return result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither bars nor the report that a base has no head yet: the adapter brings it."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)


def _peft() -> Any:
    try:
        import peft

        from .bottleneck import register_bottleneck
    except ImportError as error:
        raise MissingExtraError("this adapter", "finetune") from error
    register_bottleneck()
    return peft
