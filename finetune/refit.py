"""New thresholds and a new calibration for an evaluator that is trained already, by its user's own data."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import UsageError
from ..models.artifacts import Artifact, Calibration
from ..models.pair_classifier import load_pair_classifier, probabilities_of
from .artifact_files import update_manifest
from .calibration import expected_calibration_error, fit_calibration
from .data.dedup import PartFilter
from .data.parts import part_of
from .data.relevance import relevance_rows
from .data.rows import TrainingRow, validate
from .data.sources import load_sources
from .options import Tell, no_tell
from .recipes.evaluator import TASK
from .thresholds import fit_thresholds, measure_thresholds

__all__ = ("refit_calibration", "refit_thresholds", "store_calibration", "store_thresholds")

GOLD = 0.5
"""A row's label from which its passage counts as gold."""
_BATCH = 512


def refit_thresholds(
    spec: str, data: Sequence[Path], *, limit: int | None = None, tell: Tell = no_tell
) -> dict[str, Any]:
    """Thresholds chosen on the dev part of `data` and measured on its test part: {lower, upper, dev, test}.

    `data` is what the evaluator's recipe can make rows of: question sets, traces, rows. The split is by the hash of a
    document, so that none that the evaluator was trained on is in the dev part. `limit`: questions of each set. Raises
    `UsageError` where no question there has passages.
    """
    critic = load_pair_classifier(spec, "evaluator")
    with tempfile.TemporaryDirectory() as folder:
        rows = _rows(data, Path(folder), tell, limit=limit)
    dev, test = (_scored(critic, rows[part], part, tell) for part in ("dev", "test"))
    if not dev:
        raise UsageError("the dev part has no question with passages", hint="give more documents")
    chosen = fit_thresholds(dev)
    measured = measure_thresholds(test, chosen.lower, chosen.upper).report() if test else None
    return {"lower": chosen.lower, "upper": chosen.upper, "dev": chosen.report(), "test": measured}


def store_thresholds(artifact: Artifact, found: dict[str, Any]) -> None:
    """Writes thresholds, and what they do, into an artifact's manifest."""
    told = artifact.manifest
    thresholds = {**told.thresholds, "lower": float(found["lower"]), "upper": float(found["upper"])}
    metrics = {**told.metrics, "thresholds": {part: found[part] for part in ("dev", "test") if found.get(part)}}
    update_manifest(artifact, {"thresholds": thresholds, "metrics": metrics})


def refit_calibration(
    spec: str, data: Sequence[Path], *, limit: int | None = None, tell: Tell = no_tell
) -> dict[str, Any]:
    """A calibration fitted on the dev part of `data`, measured on its test part: {scale, shift, dev, test}.

    Rows are as in use, which those of a training are not: of each question the gold passage and what our retriever
    finds beside it, however near it comes, and no random passage. Every set counts alike, so that the largest does not
    set the scale for all. `limit`: questions of each set. Raises `UsageError` where the dev part has no row.
    """
    critic = load_pair_classifier(spec, "evaluator")
    with tempfile.TemporaryDirectory() as folder:
        rows = _rows(data, Path(folder), tell, limit=limit, random_negatives=0, margin=None)
    logits = {part: _logits(critic, rows[part], part, tell) for part in ("dev", "test")}
    labels = {part: np.array([float(row["label"]) for row in rows[part]]) for part in rows}
    sets = [row["origin"]["set"] for row in rows["dev"]]
    fitted = fit_calibration(logits["dev"], labels["dev"], weights=np.array([1 / sets.count(each) for each in sets]))
    before = critic.artifact.manifest.calibration

    def report(part: str) -> dict[str, Any]:
        ece = {
            name: expected_calibration_error(probabilities_of(logits[part], each), labels[part])
            for name, each in (("before", before), ("after", fitted))
        }
        return {"rows": len(rows[part]), **ece}

    told = {part: report(part) if rows[part] else None for part in ("dev", "test")}
    return {"scale": fitted.scale, "shift": list(fitted.shift), **told}


def store_calibration(artifact: Artifact, found: dict[str, Any]) -> None:
    """Writes a calibration into an artifact's manifest, and moves its thresholds along: no action changes."""
    told = artifact.manifest
    new = Calibration(scale=float(found["scale"]), shift=tuple(found["shift"]))
    names = list(told.thresholds)
    chances = np.clip([told.thresholds[name] for name in names], 1e-9, 1 - 1e-9)
    logits = (np.log(chances) - np.log1p(-chances) - told.calibration.shift[0]) / told.calibration.scale
    moved = probabilities_of(logits[:, None], new)[:, 0]
    thresholds = {name: float(value) for name, value in zip(names, moved, strict=True)}
    metrics = {**told.metrics, "calibration": {part: found[part] for part in ("dev", "test") if found.get(part)}}
    update_manifest(artifact, {"calibration": new, "thresholds": thresholds, "metrics": metrics})


def _rows(data: Sequence[Path], out: Path, tell: Tell, **chosen: Any) -> dict[str, list[TrainingRow]]:
    """Rows of the dev and the test part, and nothing that stands in both; what is mined is kept below `out`."""
    found: dict[str, list[TrainingRow]] = {"test": [], "dev": []}
    for row in relevance_rows(load_sources(data, tell=tell), out=out, parts=("dev", "test"), tell=tell, **chosen):
        part = part_of(row["origin"]["document"])
        if part in found and not validate("evaluator", row):
            found[part].append(row)
    kept = PartFilter()
    return {part: list(kept.part(rows)) for part, rows in found.items()}


def _scored(critic: Any, rows: Sequence[TrainingRow], part: str, tell: Tell) -> dict[str, list[tuple[float, bool]]]:
    """Of each question its passages: score, and whether it is gold."""
    questions: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    logits = _logits(critic, rows, part, tell)
    scores = probabilities_of(logits, critic.artifact.manifest.calibration)[:, 0]
    for row, score in zip(rows, scores, strict=True):
        asked = str(row.get("query") or row["question"])
        questions[f"{row['origin']['set']}\0{asked}"].append((float(score), row["label"] >= GOLD))
    return dict(questions)


def _logits(critic: Any, rows: Sequence[TrainingRow], part: str, tell: Tell) -> Any:
    """`(rows, 1)`."""
    found = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        found.append(critic.logits([TASK.pair(row) for row in batch]))
        tell(f"scoring the {part} part", start + len(batch), len(rows))
    return np.concatenate(found) if found else np.zeros((0, 1), dtype=np.float32)
