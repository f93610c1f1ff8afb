"""The prefilter of the injection classifier: logistic regression on the hashed words of sentences.

Sentences that an attack stands in are to pass, those of benign passages are not. Its threshold is a matter of time, not
of truth: what passes is read by the trunk, so it lets through as many benign passages as there is time for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..models.injection import normalised
from ..models.prefilter import BUCKETS, Prefilter, features, sentence_spans
from .data.rows import TrainingRow
from .false_positives import threshold_at

__all__ = ("fit_prefilter", "save_prefilter")

PENALTY = 10.0
"""Inverse weight of the L2 penalty."""


def fit_prefilter(
    train: Sequence[TrainingRow], dev: Sequence[TrainingRow], *, passed: float, seed: int = 0
) -> Prefilter | None:
    """Fitted on the passages of the train part, with the threshold that lets `passed` of the dev part's benign ones
    through; None where the train part has not passages of both labels.
    """
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    found = [(features(text), label) for row in train if row["kind"] == "passage" for text, label in _sentences(row)]
    labels = np.array([label for _, label in found])
    if not len(labels) or labels.all() or not labels.any():
        return None
    counts = [len(own) for own, _ in found]
    columns = np.fromiter((bucket for own, _ in found for bucket in own), dtype=np.int32)
    values = np.repeat(1 / np.sqrt(counts), counts)
    matrix = csr_matrix((values, columns, np.concatenate([[0], np.cumsum(counts)])), shape=(len(found), BUCKETS))
    model: Any = LogisticRegression(
        C=PENALTY, class_weight="balanced", solver="liblinear", max_iter=200, random_state=seed
    ).fit(matrix, labels)
    weight = model.coef_[0].astype(np.float16).astype(np.float32)  # as it is stored
    filter_ = Prefilter(weight, float(np.float16(model.intercept_[0])), 0.0)
    benign = [row for row in dev if row["kind"] == "passage" and row["label"] == "benign"]
    highest = np.array([_highest(filter_, row["text"]) for row in benign])
    threshold = threshold_at(highest, passed) if len(highest) else 0.0
    return Prefilter(filter_.weight, filter_.bias, threshold)


def save_prefilter(prefilter: Prefilter, path: Path) -> None:
    """Writes what `read_prefilter` reads, the threshold aside, in half precision."""
    from safetensors.numpy import save_file

    save_file(
        {"weight": prefilter.weight.astype(np.float16), "bias": np.array([prefilter.bias], dtype=np.float16)}, str(path)
    )


def _sentences(row: TrainingRow) -> Iterator[tuple[str, bool]]:
    """Of an attack the sentences that it stands in, of a benign passage all."""
    text, attack = row["text"], row["label"] == "injection"
    first, last = row.get("inner") or (0, len(text))
    for start, end in sentence_spans(text):
        if not attack or (start < last and end > first):
            yield normalised(text[start:end]), attack


def _highest(prefilter: Prefilter, text: str) -> float:
    found = prefilter.logits([normalised(text[start:end]) for start, end in sentence_spans(text)])
    return float(found.max()) if len(found) else -np.inf
