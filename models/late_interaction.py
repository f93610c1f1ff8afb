"""Late interaction: each token of the question looks for its best match among the tokens of a passage.

    score(q, p) = sum_i w_i max_j cos(q_i, p_j) / sum_i w_i

Khattab and Zaharia, 2020, "ColBERT", https://arxiv.org/abs/2004.12832, with weights: `w_i` is high where few of the
passages that are compared have the token, for what stands in all of them tells none from another. Question and passage
are read apart, so the model compares and does not judge: less sharp than a cross-encoder on questions like those it was
trained on, and much less wrong on others.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ArtifactError
from .artifacts import Artifact
from .batching import batches, pad
from .lora import LoraAdapter, is_plain_lora
from .trunk import Dtype, Trunk, load_trunk
from .weights import Progress

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from tokenizers import Encoding

__all__ = ("LATE_INTERACTION", "LateInteraction", "token_weights")

LATE_INTERACTION = "late-interaction"
"""What `settings.architecture` of an artifact says that is one."""


class LateInteraction:
    """Scores of passages for a question by an artifact that was trained for late interaction. Thread-safe.

    >>> model = LateInteraction.of(open_artifact("reranker:bundled", "reranker"))  # doctest: +SKIP
    >>> model.score("Who wrote Emma?", ["A novel by Jane Austen.", "A city."])  # doctest: +SKIP
    array([0.71, 0.46], dtype=float32)
    """

    def __init__(self, trunk: Trunk, adapter: LoraAdapter | None, artifact: Artifact) -> None:
        """Wrap a loaded trunk, and what was trained on top of it."""
        self.artifact = artifact
        self.labels = artifact.manifest.labels
        self.max_tokens = min(artifact.manifest.max_tokens, trunk.max_tokens)
        self.batch_tokens = 4096 if trunk.device == "cpu" else 65536
        self._trunk, self._adapter = trunk, adapter

    @classmethod
    def of(
        cls, artifact: Artifact, *, device: str | None = None, dtype: Dtype = "auto", progress: Progress | None = None
    ) -> LateInteraction:
        """The model of an artifact: an adapter on the shared trunk, or a trunk that was trained whole.

        Raises `ArtifactError` for an adapter that is no plain LoRA, and as `load_trunk` does.
        """
        folder = artifact.folder
        if (folder / "modules.json").is_file():
            return cls(load_trunk(folder, device=device, dtype=dtype), None, artifact)
        config = folder / "adapter_config.json"
        if not config.is_file() or not is_plain_lora(json.loads(config.read_text(encoding="utf-8"))):
            raise ArtifactError(f"{str(folder)!r} has no plain LoRA adapter", hint="train it with --method lora")
        trunk = load_trunk(artifact.base_path(progress), device=device, dtype=dtype)
        return cls(trunk, LoraAdapter(folder, device=trunk.device, dtype=trunk.dtype), artifact)

    def score(self, question: str, passages: Sequence[str]) -> NDArray[np.float32]:
        """Shape `(len(passages),)`, -1 to 1, comparable within this call only: the weights are of these passages.

        A question or a passage that is longer than `max_tokens` is cut; one without a token scores 0.
        """
        import torch

        scores = np.zeros(len(passages), dtype=np.float32)
        asked = self._encoded([question])[0]
        own = [token for token, special in zip(asked.ids, asked.special_tokens_mask, strict=True) if not special]
        if not own or not passages:
            return scores
        rows = self._encoded(passages)
        best = torch.zeros(len(rows), len(own))
        with torch.inference_mode():
            vectors = self._vectors([asked])[0][_words([asked], len(asked))[0]]
            order = sorted(range(len(rows)), key=lambda at: -len(rows[at]))
            for batch in batches([len(rows[at]) for at in order], self.batch_tokens):
                chosen = [order[at] for at in batch]
                texts = [rows[at] for at in chosen]
                near = torch.einsum("qd,ntd->nqt", vectors, self._vectors(texts)).cpu()
                near.masked_fill_(~_words(texts, near.shape[2])[:, None], -torch.inf)
                best[chosen] = torch.nan_to_num(near.amax(dim=2), neginf=0.0)
        weights = token_weights(own, [row.ids for row in rows])
        scores[:] = best.numpy() @ weights / weights.sum()
        return scores

    def _vectors(self, rows: Sequence[Encoding]) -> torch.Tensor:
        """Token vectors of length 1, float32, `(rows, longest, dimension)`; longest row first."""
        import torch

        ids, mask = pad([row.ids for row in rows], self._trunk.pad_id, self._trunk.device)
        with self._trunk.adapted(self._adapter):
            hidden = self._trunk.hidden(ids, mask, torch.zeros_like(ids))
        return torch.nn.functional.normalize(hidden.float(), dim=-1)

    def _encoded(self, texts: Sequence[str]) -> list[Encoding]:
        """Cut as transformers cuts: markers stay."""
        tokenizer = self._trunk.tokenizer
        room = self.max_tokens - tokenizer.num_special_tokens_to_add(False)
        rows = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for row in rows:
            row.truncate(room)
        return [tokenizer.post_process(row) for row in rows]


def token_weights(question: Sequence[int], passages: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """For each token of the question `log(1 + (n + 1) / (df + 1/2))`, `df` of the `n` passages having it.

    >>> token_weights([7, 9], [[7, 9], [7], [7, 8], [7]]).round(2).tolist()
    [0.75, 1.47]
    """
    known = [set(passage) for passage in passages]
    counts = {token: sum(token in each for each in known) for token in set(question)}
    found = np.array([counts[token] for token in question], dtype=np.float64)
    return np.asarray(np.log1p((len(passages) + 1) / (found + 0.5)))


def _words(rows: Sequence[Encoding], length: int) -> torch.Tensor:
    """Where the rows have tokens that are no markers, `(rows, length)`."""
    import torch

    mask = np.zeros((len(rows), length), dtype=bool)
    for at, row in enumerate(rows):
        mask[at, : len(row)] = ~np.array(row.special_tokens_mask, dtype=bool)
    return torch.from_numpy(mask)
