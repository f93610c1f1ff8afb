"""Late interaction: each token of the question looks for its best match among the tokens of a passage.

    score(q, p) = sum_i w_i max_j cos(q_i, p_j) / sum_i w_i

Khattab and Zaharia, 2020, "ColBERT", https://arxiv.org/abs/2004.12832, with weights: `w_i` is high where few of the
passages that are compared have the token, for what stands in all of them tells none from another.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
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

__all__ = ("LATE_INTERACTION", "LateInteraction", "token_weights")

LATE_INTERACTION = "late-interaction"
"""What `settings.architecture` of an artifact says that is one."""
KEPT = 512
"""Passages whose vectors stay in memory: of 200 tokens each about 80 MB; what is asked next often finds the same."""


@dataclass(frozen=True, slots=True)
class _Text:
    ids: list[int]
    """Of its tokens, without markers."""
    vectors: torch.Tensor
    """Of length 1, in half precision, `(tokens, dimension)`."""


class LateInteraction:
    """Scores of passages for a question by an artifact that was trained for late interaction. Thread-safe.

    >>> model = LateInteraction.of(open_artifact("reranker:bundled", "reranker"))  # doctest: +SKIP
    >>> model.score("Who wrote Emma?", ["A novel by Jane Austen.", "A city."])  # doctest: +SKIP
    array([...], dtype=float32)
    """

    def __init__(self, trunk: Trunk, adapter: LoraAdapter | None, artifact: Artifact) -> None:
        """Wrap a loaded trunk, and what was trained on top of it."""
        self.artifact = artifact
        self.labels = artifact.manifest.labels
        self.max_tokens = min(artifact.manifest.max_tokens, trunk.max_tokens)
        self.batch_tokens = 4096 if trunk.device == "cpu" else 65536
        self._trunk, self._adapter = trunk, adapter
        self._known: OrderedDict[str, _Text] = OrderedDict()
        self._lock = threading.Lock()

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
        scores = np.zeros(len(passages), dtype=np.float32)
        asked = self._read([question])[0]
        if not asked.ids or not passages:
            return scores
        read = self._read(passages)
        own = asked.vectors.float()
        best = [(own @ text.vectors.float().T).amax(dim=1).cpu().numpy() if text.ids else 0.0 for text in read]
        weights = token_weights(asked.ids, [text.ids for text in read])
        scores[:] = [float((each * weights).sum() / weights.sum()) for each in best]
        return scores.clip(-1.0, 1.0)  # vectors in half precision are a little longer or shorter than 1

    def _read(self, texts: Sequence[str]) -> list[_Text]:
        """Ids and vectors of each text's tokens; those of the texts that were read last are still known."""
        with self._lock:
            known = {text: self._known[text] for text in texts if text in self._known}
            for text in known:
                self._known.move_to_end(text)
        new = [text for text in dict.fromkeys(texts) if text not in known]
        found = dict(zip(new, self._encoded(new), strict=True))
        with self._lock:
            self._known.update(found)
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
        known |= found
        return [known[text] for text in texts]

    def _encoded(self, texts: Sequence[str]) -> list[_Text]:
        """Texts through the trunk, cut as transformers cuts them: markers stay, and are compared with nothing."""
        import torch

        tokenizer = self._trunk.tokenizer
        room = self.max_tokens - tokenizer.num_special_tokens_to_add(False)
        rows = tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        for row in rows:
            row.truncate(room)
        words = [list(row.ids) for row in rows]
        rows = [tokenizer.post_process(row) for row in rows]
        order = sorted(range(len(rows)), key=lambda at: -len(rows[at]))
        result: dict[int, _Text] = {}
        for batch in batches([len(rows[at]) for at in order], self.batch_tokens):
            chosen = [order[at] for at in batch]
            ids, mask = pad([rows[at].ids for at in chosen], self._trunk.pad_id, self._trunk.device)
            with torch.inference_mode(), self._trunk.adapted(self._adapter):
                hidden = self._trunk.hidden(ids, mask, torch.zeros_like(ids)).float()
                vectors = torch.nn.functional.normalize(hidden, dim=-1).half()
            for at, own in zip(chosen, vectors, strict=True):
                kept = [place for place, special in enumerate(rows[at].special_tokens_mask) if not special]
                result[at] = _Text(words[at], own[kept])
        return [result[at] for at in range(len(rows))]


def token_weights(question: Sequence[int], passages: Sequence[Sequence[int]]) -> NDArray[np.float64]:
    """For each token of the question `log(1 + (n + 1) / (df + 1/2))`, `df` of the `n` passages having it.

    >>> token_weights([7, 9], [[7, 9], [7], [7, 8], [7]]).round(2).tolist()
    [0.75, 1.47]
    """
    known = [set(passage) for passage in passages]
    counts = {token: sum(token in each for each in known) for token in set(question)}
    found = np.array([counts[token] for token in question], dtype=np.float64)
    return np.asarray(np.log1p((len(passages) + 1) / (found + 0.5)))
