"""Classifiers of text pairs: what evaluator, support critic, reranker and router have in common.

A pair goes through the encoder as one sequence, `[CLS] first [SEP] second [SEP]`; a head on the first position gives
one logit per label; the manifest's calibration makes probabilities of logits. LoRA adapters on the bundled trunk run on
the one `Trunk` that the embedder uses, so that five critics cost the memory of one model; whatever else was trained
(another architecture, a whole model, prefixes) runs in transformers (`transformers_head`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ArtifactError
from .artifacts import Artifact, Calibration, open_artifact
from .batching import batches, pad
from .lora import LoraAdapter, is_plain_lora
from .specs import TrainedRole
from .trunk import Dtype, Trunk, is_plain_bert, load_trunk, resolve_device, resolve_dtype
from .weights import Progress

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from tokenizers import Encoding, Tokenizer

__all__ = ("PairClassifier", "calibrated", "encode_pairs", "load_pair_classifier", "probabilities_of", "trunk_of")

_WINDOW = 4096  # pairs tokenised at a time
_FIRST = 0.5  # share of the tokens that the first text may take when the pair is too long

_loaded: dict[tuple[str, str, str], PairClassifier] = {}
_loaded_lock = threading.Lock()


class _TrunkHead:
    """BERT's pooler and classifier, on the shared trunk with one adapter."""

    def __init__(self, trunk: Trunk, adapter: LoraAdapter, folder: Path) -> None:
        self.tokenizer, self.pad_id, self.device = trunk.tokenizer, trunk.pad_id, trunk.device
        self._trunk, self._adapter = trunk, adapter
        names = ("pooler.dense.weight", "pooler.dense.bias", "classifier.weight", "classifier.bias")
        missing = [name for name in names if name not in adapter.whole]
        if missing:
            raise ArtifactError(f"the adapter in {str(folder)!r} has no {missing[0]}", hint="it is no classifier")
        self._pool, self._pool_bias, self._head, self._head_bias = (adapter.whole[name] for name in names)
        self.outputs = int(self._head.shape[0])

    def logits(self, ids: torch.Tensor, mask: torch.Tensor | None, types: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.inference_mode(), self._trunk.adapted(self._adapter):
            first = self._trunk.hidden(ids, mask, types)[:, 0].float()
            pooled = torch.tanh(first @ self._pool.T + self._pool_bias)
            return pooled @ self._head.T + self._head_bias


class PairClassifier:
    """Logits and calibrated probabilities of text pairs. Thread-safe.

    >>> critic = load_pair_classifier("evaluator:bundled", "evaluator")  # doctest: +SKIP
    >>> critic.probabilities([("Who wrote Emma?", "Emma is a novel by Jane Austen.")])  # doctest: +SKIP
    array([[0.97]], dtype=float32)
    """

    def __init__(self, head: Any, artifact: Artifact, *, batch_tokens: int | None = None) -> None:
        """Wrap a loaded head; `batch_tokens` bounds one forward pass, padding included."""
        self.artifact = artifact
        self.labels = artifact.manifest.labels
        self.max_tokens = artifact.manifest.max_tokens
        self.batch_tokens = batch_tokens or (4096 if head.device == "cpu" else 65536)
        self._head = head
        if len(self.labels) != head.outputs:
            raise ArtifactError(
                f"{str(artifact.folder)!r} names {len(self.labels)} labels, but its head has {head.outputs} outputs"
            )

    @classmethod
    def of(
        cls, artifact: Artifact, *, device: str | None = None, dtype: Dtype = "auto", progress: Progress | None = None
    ) -> PairClassifier:
        """The classifier of an artifact that is at hand, such as one that was just trained; not kept for others."""
        return cls(_head(artifact, resolve_device(device), dtype, progress), artifact)

    @property
    def device(self) -> str:
        """Where the weights are."""
        return str(self._head.device)

    def logits(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Shape `(len(pairs), len(labels))`, in the order of `pairs`.

        A pair that is too long is cut: first the second text, and the first one where it takes more than half.
        """
        result = np.zeros((len(pairs), len(self.labels)), dtype=np.float32)
        for start in range(0, len(pairs), _WINDOW):
            rows = encode_pairs(self._head.tokenizer, pairs[start : start + _WINDOW], self.max_tokens)
            order = sorted(range(len(rows)), key=lambda i: len(rows[i]), reverse=True)
            for batch in batches([len(rows[i]) for i in order], self.batch_tokens):
                chosen = [order[i] for i in batch]
                ids, mask = pad([rows[i].ids for i in chosen], self._head.pad_id, self._head.device)
                types, _ = pad([rows[i].type_ids for i in chosen], 0, self._head.device)
                result[[start + i for i in chosen]] = self._head.logits(ids, mask, types).float().cpu().numpy()
        return result

    def probabilities(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Calibrated, shape `(len(pairs), len(labels))`; with one label the probability of yes."""
        return calibrated(self.logits(pairs), self.artifact)

    def count_tokens(self, text: str) -> int:
        """Tokens of one text, without the markers around it."""
        return len(self._head.tokenizer.encode(text, add_special_tokens=False))


def encode_pairs(
    tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], max_tokens: int, *, offsets: bool = False
) -> list[Encoding]:
    """Pairs with their markers, within `max_tokens`; a question that stands in many pairs is tokenised once.

    The one place that cuts pairs: training and inference see the same tokens. `offsets`: those of each token in its own
    text are wanted, which takes longer.
    """
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))
    encode = tokenizer.encode_batch if offsets else tokenizer.encode_batch_fast
    alone = dict(zip(texts, encode(texts, add_special_tokens=False), strict=True))
    room = max_tokens - tokenizer.num_special_tokens_to_add(True)
    rows = []
    for first, second in pairs:
        left, right = alone[first], alone[second]
        if len(left) + len(right) > room:
            # Anew, because cutting changes an encoding in its place, and other pairs hold the same one.
            left, right = (tokenizer.encode(text, add_special_tokens=False) for text in (first, second))
            left.truncate(max(int(room * _FIRST), room - len(right)))
            right.truncate(room - len(left))
        rows.append(tokenizer.post_process(left, right))
    return rows


def load_pair_classifier(
    spec: str,
    role: TrainedRole,
    *,
    device: str | None = None,
    dtype: Dtype = "auto",
    progress: Progress | None = None,
) -> PairClassifier:
    """The classifier that `spec` names (`ROLE:bundled`, `ROLE:PATH`), loaded once per process.

    Errors as in `open_artifact`.
    """
    artifact = open_artifact(spec, role)
    place = resolve_device(device)
    key = (artifact.fingerprint, place, str(resolve_dtype(dtype, place)))
    with _loaded_lock:
        if key not in _loaded:
            _loaded[key] = PairClassifier.of(artifact, device=place, dtype=dtype, progress=progress)
        return _loaded[key]


def calibrated(logits: NDArray[np.float32], artifact: Artifact) -> NDArray[np.float32]:
    """Probabilities of logits by the artifact's calibration."""
    return probabilities_of(logits, artifact.manifest.calibration)


def probabilities_of(logits: NDArray[np.float32], fitted: Calibration) -> NDArray[np.float32]:
    """Probabilities of logits `(n, labels)`: the sigmoid of one logit, the softmax of several."""
    values = logits.astype(np.float64) * fitted.scale + (np.asarray(fitted.shift) if fitted.shift else 0.0)
    if values.shape[1] == 1:
        return np.asarray(0.5 * (1.0 + np.tanh(values / 2)), dtype=np.float32)  # the sigmoid, without overflow
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), dtype=np.float32)


def trunk_of(artifact: Artifact, device: str, dtype: Dtype, progress: Progress | None) -> Trunk | None:
    """The shared trunk that an artifact's adapter runs on; None where the artifact is something else than plain LoRA on
    a BERT of sentence-transformers.
    """
    config = artifact.folder / "adapter_config.json"
    if not config.is_file() or not is_plain_lora(json.loads(config.read_text(encoding="utf-8"))):
        return None
    base = artifact.base_path(progress)
    is_trunk = (base / "modules.json").is_file() and is_plain_bert(base)
    return load_trunk(base, device=device, dtype=dtype) if is_trunk else None


def _head(artifact: Artifact, device: str, dtype: Dtype, progress: Progress | None) -> Any:
    trunk = trunk_of(artifact, device, dtype, progress)
    if trunk is not None:
        return _TrunkHead(trunk, LoraAdapter(artifact.folder, device=device, dtype=trunk.dtype), artifact.folder)
    from .transformers_head import TransformersHead

    return TransformersHead(artifact, device=device, dtype=resolve_dtype(dtype, device), progress=progress)
