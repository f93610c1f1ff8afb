"""Sentence-transformers' cross-encoder and its trainer, with our cutting of pairs and any PEFT method.

Imports torch, transformers and sentence-transformers: import it where training begins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.cross_encoder import CrossEncoderTrainer
from transformers.trainer import TRAINING_ARGS_NAME
from transformers.trainer_pt_utils import get_length_grouped_indices

from ..models.pair_classifier import encode_pairs

__all__ = ("DevScores", "LikeLengths", "PairEncoder", "PairTrainer", "network", "save_network", "token_counts")


class PairEncoder(CrossEncoder):
    """A cross-encoder that cuts pairs as `PairClassifier` does: the second text first, the first one to a half."""

    max_tokens: int = 256

    def preprocess(self, inputs: Sequence[Any], prompt: str | None = None, **_: Any) -> dict[str, Any]:
        """Pairs to padded tensors."""
        tokenizer = self.tokenizer.backend_tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        rows = encode_pairs(tokenizer, [(str(first), str(second)) for first, second in inputs], self.max_tokens)
        given = [
            {"input_ids": row.ids, "token_type_ids": row.type_ids, "attention_mask": [1] * len(row)} for row in rows
        ]
        if "token_type_ids" not in self.tokenizer.model_input_names:
            given = [{name: ids for name, ids in row.items() if name != "token_type_ids"} for row in given]
        return {**self.tokenizer.pad(given, return_tensors="pt"), "modality": "text"}


class DevScores(BaseEvaluator):
    """Measures of the dev part while training goes on."""

    def __init__(
        self,
        pairs: Sequence[tuple[str, str]],
        measure: Callable[[Any], dict[str, float]],
        *,
        batch_size: int,
        bfloat16: bool,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pairs, self.measure, self.batch_size, self.bfloat16 = pairs, measure, batch_size, bfloat16

    def __call__(
        self, model: Any, output_path: str | None = None, epoch: float = -1, steps: int = -1, **_: Any
    ) -> dict[str, float]:
        """`measure` of the logits."""
        with torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=self.bfloat16):
            found = model.predict(
                list(self.pairs),
                batch_size=self.batch_size,
                activation_fn=torch.nn.Identity(),
                convert_to_tensor=True,
                show_progress_bar=False,
            )
        return self.measure(found.float().cpu().numpy().reshape(len(self.pairs), -1))


class LikeLengths(DefaultBatchSampler):
    """Batches of rows that are about equally long, in an order that seed and epoch alone decide."""

    def __init__(self, dataset: Any, lengths: Sequence[int], **given: Any) -> None:
        super().__init__(dataset, **given)
        self.lengths = list(lengths)

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.Generator().manual_seed(self.seed + self.epoch)
        rows = get_length_grouped_indices(self.lengths, self.batch_size, generator=order)
        found = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        if self.drop_last and len(found[-1]) < self.batch_size:
            found.pop()
        # The longest rows lead each stretch of fifty batches: shuffled, no step sees only long texts for its place.
        yield from (found[at] for at in torch.randperm(len(found), generator=order).tolist())


class PairTrainer(CrossEncoderTrainer):
    """Checkpoints hold what is trained and nothing else, whatever the method."""

    lengths: Sequence[int] | None = None
    """Tokens of each row of the train part; None: batches are drawn at random."""

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """None: an artifact has a card of its own."""

    def get_batch_sampler(
        self,
        dataset: Any,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: Any = None,
        seed: int = 0,
    ) -> Any:
        """See `LikeLengths`."""
        lengths = self.lengths if self.lengths is not None else [1] * len(dataset)
        return LikeLengths(dataset, lengths, batch_size=batch_size, drop_last=drop_last, seed=seed)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        save_network(self.accelerator.unwrap_model(self.model), folder)
        torch.save(self.args, folder / TRAINING_ARGS_NAME)

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:
        inner = network(self.accelerator.unwrap_model(model or self.model))
        if (Path(checkpoint_path) / "adapter_config.json").is_file():
            from peft import load_peft_weights, set_peft_model_state_dict

            set_peft_model_state_dict(inner, load_peft_weights(checkpoint_path, device="cpu"))
            return
        from safetensors.torch import load_file

        inner.load_state_dict(load_file(str(Path(checkpoint_path) / "model.safetensors")))


def network(model: Any) -> Any:
    """Transformers' model, or PEFT's, inside a cross-encoder."""
    return model[0].model


def save_network(model: Any, folder: Path) -> tuple[str, ...]:
    """Weights and configuration of what was trained; the names of the files."""
    inner = network(model)
    if hasattr(inner, "peft_config"):
        # Not asked whether the base's embeddings grew: that would look for the base on the hub.
        inner.save_pretrained(str(folder), save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        return ("adapter_config.json", "adapter_model.safetensors")
    inner.save_pretrained(str(folder))
    return ("config.json", "model.safetensors")


def token_counts(model: PairEncoder, pairs: Sequence[tuple[str, str]]) -> list[int]:
    """Tokens of each pair as it is read."""
    tokenizer = model.tokenizer.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    known: dict[str, int] = {}
    for start in range(0, len(texts), 4096):
        window = texts[start : start + 4096]
        known.update(zip(window, map(len, tokenizer.encode_batch_fast(window)), strict=True))
    counts = np.array([known[first] + known[second] for first, second in pairs])
    return [int(value) for value in np.minimum(counts, model.max_tokens)]
