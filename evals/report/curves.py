"""Retrieval curves: how much of the gold stands among the first k documents of a strategy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ..records import CitedDocument, Record
from ..statistics import mean_interval

__all__ = ("CurvePoint", "gold_curve", "gold_keys")


class CurvePoint(TypedDict):
    """Mean share of the gold found in the first `k` documents, with its 95 % bootstrap interval."""

    k: int
    mean: float
    low: float
    high: float


def gold_keys(document: CitedDocument, gold: Sequence[str]) -> set[str]:
    """The gold ids that a document stands for: a set names passages by their id, or documents by their source."""
    return {document["id"], document["source"]}.intersection(gold)


def gold_curve(records: Sequence[Record], *, seed: int = 0) -> list[CurvePoint]:
    """The curve over the answerable questions that have gold; empty where none has or no document was read.

    A record that failed, or stopped with fewer than k documents, counts with what it found.
    """
    judged = [record for record in records if record["answerable"] and record["gold"]]
    depth = max((len(record["documents"]) for record in judged), default=0)
    if not depth:
        return []
    shares = np.array([_shares(record, depth) for record in judged])
    return [_point(k, shares[:, k - 1], seed) for k in range(1, depth + 1)]


def _point(k: int, shares: NDArray[np.float64], seed: int) -> CurvePoint:
    low, high = mean_interval(shares, seed=seed)
    return CurvePoint(k=k, mean=round(float(shares.mean()), 4), low=round(low, 4), high=round(high, 4))


def _shares(record: Record, depth: int) -> list[float]:
    gold, found, shares = set(record["gold"]), set[str](), list[float]()
    for rank in range(depth):
        if rank < len(record["documents"]):
            found |= gold_keys(record["documents"][rank], record["gold"])
        shares.append(len(found) / len(gold))
    return shares
