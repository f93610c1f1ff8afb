"""Catastrophic forgetting: what a training did to what the base could do before, on data that is not the task's.

Encoders (embedder, rerankers, critics, router): how far sentence vectors turned, and nDCG@10 of retrieval with them.
Language models: mean negative log-likelihood of a token over plain sentences, before and after.
McCloskey and Cohen, 1989, "Catastrophic Interference in Connectionist Networks".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..evals.answer_sets import load_judged_set, share_of
from ..evals.datasets import RetrievalSet
from ..evals.retrieval import DEPTH, score_runs
from ..evals.statistics import paired_difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = (
    "Encode",
    "general_change",
    "general_sentences",
    "language_change",
    "mean_states",
    "negative_log_likelihood",
)

Encode = Callable[[Sequence[str]], "NDArray[np.float32]"]
"""Texts to sentence vectors, a row each."""
MOST_QUERIES = 200
MOST_DOCUMENTS = 2000
_BATCH = 8


def general_sentences() -> list[str]:
    """Plain English sentences on many subjects, written for this purpose."""
    text = files(__package__).joinpath("general.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line.strip()]


def general_change(before: Encode, after: Encode, *, retrieval: str | Path | None = None) -> dict[str, Any]:
    """How an encoder's sentence vectors changed by a training.

    Args:
        before: the base; after: the trained encoder.
        retrieval: folder of a retrieval set; with it, nDCG@10 by cosine over at most 2,000 of its documents.

    Returns `cosine` (mean of the base's and the trained vector of a sentence: 1 is unchanged), `n`, and with a
    retrieval set `ndcg@10`: {set, n, documents, before, after, change, ci95}.
    """
    sentences = general_sentences()
    cosine = np.sum(_unit(before(sentences)) * _unit(after(sentences)), axis=1)
    result: dict[str, Any] = {"cosine": round(float(cosine.mean()), 4), "n": len(sentences)}
    if retrieval is not None:
        result["ndcg@10"] = _retrieval_change(before, after, load_judged_set(Path(retrieval)))
    return result


def mean_states(model: Any, tokenizer: Any, texts: Sequence[str], *, max_tokens: int = 256) -> NDArray[np.float32]:
    """Mean of the last layer's states of each text `(len(texts), hidden)`: the sentence vectors under a classifier.

    `model` is an encoder of transformers with any head, or PEFT's around one, `tokenizer` its tokenizer. What PEFT sets
    before a text (a prompt) is not counted.
    """
    import torch

    device = next(model.parameters()).device
    training = model.training
    model.eval()
    found = []
    try:
        for start in range(0, len(texts), _BATCH):
            batch = tokenizer(
                list(texts[start : start + _BATCH]),
                padding=True,
                truncation=True,
                max_length=max_tokens,
                return_tensors="pt",
            ).to(device)
            with torch.inference_mode():
                states = model(**batch, output_hidden_states=True).hidden_states[-1].float()
            weights = batch["attention_mask"].float()[:, :, None]
            states = states[:, -weights.shape[1] :]
            found.append(((states * weights).sum(1) / weights.sum(1)).cpu().numpy())
    finally:
        model.train(training)
    return np.concatenate(found)


def language_change(before: float, after: float) -> dict[str, Any]:
    """What `negative_log_likelihood` before and after a training says: both, and the perplexities."""
    return {
        "nll": {"before": round(before, 4), "after": round(after, 4), "change": round(after - before, 4)},
        "perplexity": {"before": round(math.exp(min(before, 50)), 2), "after": round(math.exp(min(after, 50)), 2)},
        "n": len(general_sentences()),
    }


def negative_log_likelihood(model: Any, tokenizer: Any, texts: Sequence[str] | None = None) -> float:
    """Mean negative log-likelihood of a token, the first of each text left out; None: the general sentences.

    `model` is a causal language model of transformers (or PEFT's around one), `tokenizer` its tokenizer. With PEFT the
    base's figure is found inside `model.disable_adapter()`.
    """
    import torch

    chosen = list(general_sentences() if texts is None else texts)
    device = next(model.parameters()).device
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    training = model.training
    model.eval()
    total, count = 0.0, 0
    try:
        with torch.inference_mode():
            for start in range(0, len(chosen), _BATCH):
                rows = [tokenizer(text)["input_ids"] for text in chosen[start : start + _BATCH]]
                longest = max(map(len, rows))
                ids = torch.full((len(rows), longest), pad)
                mask = torch.zeros((len(rows), longest), dtype=torch.long)
                for i, row in enumerate(rows):
                    ids[i, : len(row)] = torch.tensor(row)
                    mask[i, : len(row)] = 1
                ids, mask = ids.to(device), mask.to(device)
                logits = model(input_ids=ids, attention_mask=mask).logits[:, -longest:]
                losses = torch.nn.functional.cross_entropy(
                    logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none"
                )
                total += float((losses * mask[:, 1:]).sum())
                count += int(mask[:, 1:].sum())
    finally:
        model.train(training)
    return total / max(1, count)


def _retrieval_change(before: Encode, after: Encode, found: RetrievalSet) -> dict[str, Any]:
    queries, documents = _sample(found)
    judged = {key: dict(found.qrels[key]) for key in queries}
    columns = []
    for encode in (before, after):
        left, right = _unit(encode(list(queries.values()))), _unit(encode(list(documents.values())))
        names = list(documents)
        runs = {}
        for key, scores in zip(queries, left @ right.T, strict=True):
            best = np.argsort(-scores, kind="stable")[:DEPTH]
            runs[key] = {names[i]: float(scores[i]) for i in best}
        columns.append({key: values["ndcg@10"] for key, values in score_runs(runs, judged).items()})
    was, now = columns
    change = paired_difference(now, was, seed=0)
    return {
        "set": found.name,
        "n": len(queries),
        "documents": len(documents),
        "before": round(float(np.mean(list(was.values()))), 4),
        "after": round(float(np.mean(list(now.values()))), 4),
        "change": round(change["mean"], 4),
        "ci95": [round(change["low"], 4), round(change["high"], 4)],
    }


def _sample(found: RetrievalSet) -> tuple[dict[str, str], dict[str, str]]:
    """Queries and documents, bounded: the relevant ones and others, chosen by the hash of their ids."""
    keys = sorted((key for key in found.queries if found.qrels.get(key)), key=lambda key: share_of(key))[:MOST_QUERIES]
    queries = {key: found.queries[key] for key in keys}
    relevant = {doc for key in keys for doc, grade in found.qrels[key].items() if grade > 0 and doc in found.documents}
    others = sorted((key for key in found.documents if key not in relevant), key=lambda key: share_of(key))
    chosen = [*sorted(relevant), *others[: max(0, MOST_DOCUMENTS - len(relevant))]]
    return queries, {key: " ".join(filter(None, found.documents[key])) for key in chosen}


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    values = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(values / np.maximum(lengths, 1e-12), dtype=np.float32)
